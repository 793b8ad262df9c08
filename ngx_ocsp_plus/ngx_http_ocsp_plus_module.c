
/*
 * The http side: its servers, told to the engine.
 */


#include "ngx_ocsp_plus.h"

#include <ngx_http.h>
#include <ngx_http_ssl_module.h>


static ngx_int_t ngx_http_ocsp_plus_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_ocsp_plus_commands[] = {

    ngx_ocsp_plus_commands(NGX_HTTP_MAIN_CONF, NGX_HTTP_SRV_CONF,
                           NGX_HTTP_MAIN_CONF_OFFSET,
                           NGX_HTTP_SRV_CONF_OFFSET),

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ocsp_plus_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_ocsp_plus_init,               /* postconfiguration */

    ngx_ocsp_plus_create_main_conf,        /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_ocsp_plus_create_srv_conf,         /* create server configuration */
    ngx_ocsp_plus_merge_srv_conf,          /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_ocsp_plus_module = {
    NGX_MODULE_V1,
    &ngx_http_ocsp_plus_module_ctx,        /* module context */
    ngx_http_ocsp_plus_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_ocsp_plus_init(ngx_conf_t *cf)
{
    ngx_uint_t                   s;
    ngx_ocsp_plus_conf_t        *ocf;
    ngx_ocsp_plus_server_t       server;
    ngx_http_ssl_srv_conf_t     *sscf;
    ngx_http_core_srv_conf_t   **cscfp;
    ngx_ocsp_plus_srv_conf_t    *oscf;
    ngx_http_core_main_conf_t   *cmcf;

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    ocf = ngx_http_conf_get_module_main_conf(cf, ngx_http_ocsp_plus_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    cscfp = cmcf->servers.elts;

    for (s = 0; s < cmcf->servers.nelts; s++) {

        sscf = cscfp[s]->ctx->srv_conf[ngx_http_ssl_module.ctx_index];
        oscf = cscfp[s]->ctx->srv_conf[ngx_http_ocsp_plus_module.ctx_index];

        server.ssl = &sscf->ssl;
        server.stapling = sscf->stapling;
        server.file = cscfp[s]->file_name;
        server.line = cscfp[s]->line;

        if (ngx_ocsp_plus_add_server(cf, ocf, oscf, &server) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
