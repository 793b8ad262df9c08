
/*
 * The stream module: passes its servers to the core, which is in the http
 * module; that one is loaded first.
 */


#include "ngx_ocsp_plus.h"

#include <ngx_stream.h>
#include <ngx_stream_ssl_module.h>


#if (NGX_OCSP_PLUS_STREAM_SSL_SRV)
typedef ngx_stream_ssl_srv_conf_t  ngx_stream_ocsp_plus_ssl_t;
#else
typedef ngx_stream_ssl_conf_t      ngx_stream_ocsp_plus_ssl_t;
#endif


static void *ngx_stream_ocsp_plus_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_stream_ocsp_plus_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_stream_ocsp_plus_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data);
static void ngx_stream_ocsp_plus_handler(ngx_stream_session_t *s);
static ngx_int_t ngx_stream_ocsp_plus_init(ngx_conf_t *cf);


static ngx_command_t  ngx_stream_ocsp_plus_commands[] = {

    ngx_ocsp_plus_commands(NGX_STREAM_MAIN_CONF, NGX_STREAM_SRV_CONF,
                           NGX_STREAM_MAIN_CONF_OFFSET,
                           NGX_STREAM_SRV_CONF_OFFSET),

      ngx_null_command
};


static ngx_stream_module_t  ngx_stream_ocsp_plus_module_ctx = {
    ngx_stream_ocsp_plus_add_variables,    /* preconfiguration */
    ngx_stream_ocsp_plus_init,             /* postconfiguration */

    ngx_stream_ocsp_plus_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_ocsp_plus_create_srv_conf,         /* create server configuration */
    ngx_ocsp_plus_merge_srv_conf           /* merge server configuration */
};


ngx_module_t  ngx_stream_ocsp_plus_module = {
    NGX_MODULE_V1,
    &ngx_stream_ocsp_plus_module_ctx,      /* module context */
    ngx_stream_ocsp_plus_commands,         /* module directives */
    NGX_STREAM_MODULE,                     /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


/*
 * nginx calls this one first.  An http module of another build has other
 * structures: nothing of it may be used but its name.
 */

static void *
ngx_stream_ocsp_plus_create_main_conf(ngx_conf_t *cf)
{
    if (ngx_strcmp(ngx_ocsp_plus_build, NGX_OCSP_PLUS_BUILD) != 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "ocsp_plus: the stream module is version "
                      NGX_OCSP_PLUS_BUILD ", the http module in this process "
                      "is version %s: install both from one build, then "
                      "restart nginx (a reload keeps the old code)",
                      ngx_ocsp_plus_build);
        return NULL;
    }

    return ngx_ocsp_plus_create_main_conf(cf);
}


static ngx_int_t
ngx_stream_ocsp_plus_add_variables(ngx_conf_t *cf)
{
    ngx_stream_variable_t     *var;
    ngx_ocsp_plus_variable_t  *v;

    for (v = ngx_ocsp_plus_variables; v->name.len; v++) {

        var = ngx_stream_add_variable(cf, &v->name, 0);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = ngx_stream_ocsp_plus_variable;
        var->data = v->which;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_stream_ocsp_plus_variable(ngx_stream_session_t *s,
    ngx_stream_variable_value_t *v, uintptr_t data)
{
    return ngx_ocsp_plus_variable(s->connection, s->connection->pool, v, data);
}


/*
 * Runs before the server's own content handler: a handler of the preread phase
 * would make nginx wait for the client to speak first, and one of the ssl phase
 * is skipped after the handshake.
 */

static void
ngx_stream_ocsp_plus_handler(ngx_stream_session_t *s)
{
    ngx_ocsp_plus_srv_conf_t  *oscf;

    oscf = ngx_stream_get_module_srv_conf(s, ngx_stream_ocsp_plus_module);

    if (ngx_ocsp_plus_enforce(s->connection) != NGX_OK) {
        ngx_stream_finalize_session(s, NGX_STREAM_FORBIDDEN);
        return;
    }

    oscf->content(s);
}


static ngx_int_t
ngx_stream_ocsp_plus_init(ngx_conf_t *cf)
{
    ngx_uint_t                     s, enabled;
    ngx_ocsp_plus_conf_t          *ocf;
    ngx_ocsp_plus_server_t         server;
    ngx_ocsp_plus_srv_conf_t      *oscf;
    ngx_stream_core_srv_conf_t   **cscfp;
    ngx_stream_conf_ctx_t         *ctx;
    ngx_stream_ocsp_plus_ssl_t    *sscf;
    ngx_stream_core_main_conf_t   *cmcf;

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    ocf = ngx_stream_conf_get_module_main_conf(cf, ngx_stream_ocsp_plus_module);
    cmcf = ngx_stream_conf_get_module_main_conf(cf, ngx_stream_core_module);
    cscfp = cmcf->servers.elts;

    /* the block's own; cf->ctx is that of the last server here */

    ctx = (ngx_stream_conf_ctx_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                                 ngx_stream_module);

    sscf = ctx->srv_conf[ngx_stream_ssl_module.ctx_index];
    oscf = ctx->srv_conf[ngx_stream_ocsp_plus_module.ctx_index];

    if (ngx_ocsp_plus_add_preload(cf, ocf, oscf, &sscf->trusted_certificate,
                                  NGX_STREAM_MAIN_CONF)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    enabled = 0;

    for (s = 0; s < cmcf->servers.nelts; s++) {
        oscf = cscfp[s]->ctx->srv_conf[ngx_stream_ocsp_plus_module.ctx_index];
        enabled |= oscf->enable;
    }

    if (!enabled) {
        return NGX_OK;
    }

    for (s = 0; s < cmcf->servers.nelts; s++) {

        sscf = cscfp[s]->ctx->srv_conf[ngx_stream_ssl_module.ctx_index];
        oscf = cscfp[s]->ctx->srv_conf[ngx_stream_ocsp_plus_module.ctx_index];

        if (oscf->enable && cscfp[s]->handler) {
            oscf->content = cscfp[s]->handler;
            cscfp[s]->handler = ngx_stream_ocsp_plus_handler;
        }

        server.ssl = &sscf->ssl;
#if (NGX_OCSP_PLUS_STREAM_STAPLING)
        server.left_over = ngx_ocsp_plus_left_over(sscf);
#else
        server.left_over = 0;
#endif
#if (NGX_OCSP_PLUS_STREAM_COMPRESSION)
        server.compression = sscf->certificate_compression;
#else
        server.compression = 0;
#endif
        server.loads = (sscf->certificate_values != NULL);
        server.file = cscfp[s]->file_name;
        server.line = cscfp[s]->line;

        /* servers of stream had no names before nginx 1.25.5 */

#if (NGX_OCSP_PLUS_STREAM_NAMES)
        server.named = &cscfp[s]->server_names;
        server.offset = offsetof(ngx_stream_server_name_t, name);
#else
        server.named = NULL;
#endif

        if (ngx_ocsp_plus_add_server(cf, ocf, oscf, &server) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
