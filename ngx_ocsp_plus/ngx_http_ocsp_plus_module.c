
/*
 * The http module: passes its servers to the core.
 */


#include "ngx_http_ocsp_plus.h"

#include <ngx_http_ssl_module.h>


static void *ngx_http_ocsp_plus_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_ocsp_plus_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_ocsp_plus_post_read_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_ocsp_plus_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_ocsp_plus_addresses(ngx_conf_t *cf,
    ngx_http_core_main_conf_t *cmcf);


static ngx_command_t  ngx_http_ocsp_plus_commands[] = {

    ngx_ocsp_plus_commands(NGX_HTTP_MAIN_CONF, NGX_HTTP_SRV_CONF,
                           NGX_HTTP_MAIN_CONF_OFFSET,
                           NGX_HTTP_SRV_CONF_OFFSET),

    { ngx_string("ocsp_plus_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_ocsp_plus_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("ocsp_plus_control"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_ocsp_plus_control,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_ocsp_plus_module_ctx = {
    ngx_http_ocsp_plus_add_variables,      /* preconfiguration */
    ngx_http_ocsp_plus_init,               /* postconfiguration */

    ngx_ocsp_plus_create_main_conf,        /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_ocsp_plus_create_srv_conf,         /* create server configuration */
    ngx_ocsp_plus_merge_srv_conf,          /* merge server configuration */

    ngx_http_ocsp_plus_create_loc_conf,    /* create location configuration */
    ngx_http_ocsp_plus_merge_loc_conf      /* merge location configuration */
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


static void *
ngx_http_ocsp_plus_create_loc_conf(ngx_conf_t *cf)
{
    /*
     * set by ngx_pcalloc():
     *
     *     olcf->format = OP_FORMAT_ANY;
     *     olcf->directive = NULL;
     */

    return ngx_pcalloc(cf->pool, sizeof(ngx_http_ocsp_plus_loc_conf_t));
}


/* handlers are not inherited, so nor is what belongs to them */

static char *
ngx_http_ocsp_plus_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_ocsp_plus_loc_conf_t *conf = child;

    /* readiness is for any load balancer and reveals little */

    if (conf->directive && conf->format != OP_FORMAT_READY) {
        ngx_http_ocsp_plus_check_access(cf, conf);
    }

    if (ngx_http_ocsp_plus_control_names(cf, conf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* runs before any other module answers; HTTP/2 and HTTP/3 end the stream */

static ngx_int_t
ngx_http_ocsp_plus_post_read_handler(ngx_http_request_t *r)
{
    if (ngx_ocsp_plus_enforce(r->connection) != NGX_OK) {
        return NGX_HTTP_CLOSE;
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_ocsp_plus_init(ngx_conf_t *cf)
{
    ngx_uint_t                   s, enabled;
    ngx_http_handler_pt         *h;
    ngx_ocsp_plus_conf_t        *ocf;
    ngx_ocsp_plus_server_t       server;
    ngx_http_conf_ctx_t         *ctx;
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

    /* the block's own */

    ctx = (ngx_http_conf_ctx_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                               ngx_http_module);

    sscf = ctx->srv_conf[ngx_http_ssl_module.ctx_index];
    oscf = ctx->srv_conf[ngx_http_ocsp_plus_module.ctx_index];

    if (ngx_ocsp_plus_add_preload(cf, ocf, oscf, &sscf->trusted_certificate,
                                  NGX_HTTP_MAIN_CONF)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    enabled = 0;

    for (s = 0; s < cmcf->servers.nelts; s++) {
        oscf = cscfp[s]->ctx->srv_conf[ngx_http_ocsp_plus_module.ctx_index];
        enabled |= oscf->enable;
    }

    if (!enabled) {
        return NGX_OK;
    }

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_POST_READ_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_ocsp_plus_post_read_handler;

    for (s = 0; s < cmcf->servers.nelts; s++) {

        sscf = cscfp[s]->ctx->srv_conf[ngx_http_ssl_module.ctx_index];
        oscf = cscfp[s]->ctx->srv_conf[ngx_http_ocsp_plus_module.ctx_index];

        server.ssl = &sscf->ssl;
        server.left_over = ngx_ocsp_plus_left_over(sscf);
#if (NGX_OCSP_PLUS_HTTP_COMPRESSION)
        server.compression = sscf->certificate_compression;
#else
        server.compression = 0;
#endif
        server.loads = (sscf->certificate_values != NULL);
        server.file = cscfp[s]->file_name;
        server.line = cscfp[s]->line;
        server.named = &cscfp[s]->server_names;
        server.offset = offsetof(ngx_http_server_name_t, name);

        if (ngx_ocsp_plus_add_server(cf, ocf, oscf, &server) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_ocsp_plus_recording() ? ngx_http_ocsp_plus_addresses(cf, cmcf)
                                     : NGX_OK;
}


/* tells the inventory where servers expect TLS over TCP */

static ngx_int_t
ngx_http_ocsp_plus_addresses(ngx_conf_t *cf, ngx_http_core_main_conf_t *cmcf)
{
    ngx_uint_t                  p, a, s;
    op_str_t                    text;
    op_error_t                  error;
    ngx_http_conf_port_t       *port;
    ngx_http_conf_addr_t       *addr;
    ngx_ocsp_plus_srv_conf_t   *oscf;
    ngx_http_core_srv_conf_t  **cscfp;
    u_char                      buf[NGX_SOCKADDR_STRLEN];

    port = cmcf->ports ? cmcf->ports->elts : NULL;

    for (p = 0; port && p < cmcf->ports->nelts; p++) {
        addr = port[p].addrs.elts;

        for (a = 0; a < port[p].addrs.nelts; a++) {

            if (!addr[a].opt.ssl || port[p].family == AF_UNIX) {
                continue;
            }

            text.data = (const char *) buf;
            text.len = ngx_sock_ntop(addr[a].opt.sockaddr, addr[a].opt.socklen,
                                     buf, NGX_SOCKADDR_STRLEN, 1);

            cscfp = addr[a].servers.elts;

            for (s = 0; s < addr[a].servers.nelts; s++) {
                oscf = cscfp[s]->ctx->srv_conf[
                                        ngx_http_ocsp_plus_module.ctx_index];

                if (oscf->server
                    && op_server_listens(oscf->server, text,
                                         addr[a].opt.proxy_protocol, &error)
                       != OP_OK)
                {
                    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "ocsp_plus: %s",
                                  error.text);
                    return NGX_ERROR;
                }
            }
        }
    }

    return NGX_OK;
}
