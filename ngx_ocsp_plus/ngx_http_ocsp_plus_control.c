
/*
 * "ocsp_plus_control": asks the designated worker for a refresh.  Only POST
 * does anything, and no page of another site can make a browser do it.
 */


#include "ngx_http_ocsp_plus.h"


/*
 * The beginnings of the location configurations of nginx's own modules that
 * decide who may come in.  They are private to their files but have not
 * changed in a decade; a wrong guess would cost a warning.
 */

typedef struct {
    ngx_array_t         *rules;
#if (NGX_HAVE_INET6)
    ngx_array_t         *rules6;
#endif
#if (NGX_HAVE_UNIX_DOMAIN)
    ngx_array_t         *rules_un;
#endif
} ngx_http_ocsp_plus_access_t;


typedef struct {
    void                *realm;
} ngx_http_ocsp_plus_auth_basic_t;


typedef struct {
    ngx_str_t            uri;
} ngx_http_ocsp_plus_auth_request_t;


static ngx_int_t ngx_http_ocsp_plus_control_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ocsp_plus_cross_site(ngx_http_request_t *r);
static void *ngx_http_ocsp_plus_foreign_conf(ngx_conf_t *cf,
    const char *name);


char *
ngx_http_ocsp_plus_control(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ocsp_plus_loc_conf_t *olcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    if (olcf->control) {
        return "is duplicate";
    }

    olcf->control = 1;
    olcf->file = cf->conf_file->file.name.data;
    olcf->line = cf->conf_file->line;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_ocsp_plus_control_handler;

    return NGX_CONF_OK;
}


/* once the location is complete */

void
ngx_http_ocsp_plus_check_control(ngx_conf_t *cf,
    ngx_http_ocsp_plus_loc_conf_t *conf)
{
    ngx_http_ocsp_plus_access_t        *access;
    ngx_http_ocsp_plus_auth_basic_t    *basic;
    ngx_http_ocsp_plus_auth_request_t  *request;

    access = ngx_http_ocsp_plus_foreign_conf(cf, "ngx_http_access_module");

    if (access && access->rules) {
        return;
    }

#if (NGX_HAVE_INET6)
    if (access && access->rules6) {
        return;
    }
#endif

#if (NGX_HAVE_UNIX_DOMAIN)
    if (access && access->rules_un) {
        return;
    }
#endif

    basic = ngx_http_ocsp_plus_foreign_conf(cf, "ngx_http_auth_basic_module");

    if (basic && basic->realm) {
        return;
    }

    request = ngx_http_ocsp_plus_foreign_conf(cf,
                                              "ngx_http_auth_request_module");

    if (request && request->uri.len) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "\"ocsp_plus_control\" is open to everybody: add \"allow\" "
                  "and \"deny\", or \"auth_basic\", in %s:%ui",
                  conf->file, conf->line);
}


static void *
ngx_http_ocsp_plus_foreign_conf(ngx_conf_t *cf, const char *name)
{
    ngx_uint_t            i;
    ngx_module_t         *module;
    ngx_http_conf_ctx_t  *ctx;

    ctx = cf->ctx;

    for (i = 0; cf->cycle->modules[i]; i++) {

        module = cf->cycle->modules[i];

        if (module->type == NGX_HTTP_MODULE
            && ngx_strcmp(module->name, name) == 0)
        {
            return ctx->loc_conf[module->ctx_index];
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_ocsp_plus_control_handler(ngx_http_request_t *r)
{
    op_str_t                   args;
    ngx_int_t                  rc;
    ngx_str_t                  body;
    op_error_t                 text;
    ngx_ocsp_plus_conf_t      *ocf;
    ngx_http_complex_value_t   cv;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (r->method != NGX_HTTP_POST) {

        if (ngx_http_ocsp_plus_add_header(r, "Allow", "POST",
                                          sizeof("POST") - 1)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_NOT_ALLOWED;
    }

    if (ngx_http_ocsp_plus_cross_site(r)) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "ocsp_plus: a request of another site was refused by "
                      "\"ocsp_plus_control\"");
        return NGX_HTTP_FORBIDDEN;
    }

    ocf = ngx_http_get_module_main_conf(r, ngx_http_ocsp_plus_module);

    args.data = (const char *) r->args.data;
    args.len = r->args.len;

    rc = op_refresh(ocf->config, args, ngx_time(),
                    (int64_t) ngx_current_msec, &text);

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "ocsp_plus: refresh requested: status=%i answer=\"%s\"",
                  rc, text.text);

    body.len = ngx_strlen(text.text);
    body.data = ngx_pnalloc(r->pool, body.len + 1);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(body.data, text.text, body.len);
    body.data[body.len++] = '\n';

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));
    cv.value = body;

    ngx_str_set(&r->headers_out.content_type, "text/plain; charset=utf-8");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_send_response(r, rc, &r->headers_out.content_type, &cv);
}


/*
 * Browsers say by themselves, and no script can take it away, where a request
 * comes from: in Sec-Fetch-Site, older ones in Origin.  Tools say neither.
 */

static ngx_uint_t
ngx_http_ocsp_plus_cross_site(ngx_http_request_t *r)
{
    u_char           *host;
    size_t            len;
    ngx_table_elt_t  *site, *origin;

    site = ngx_http_ocsp_plus_header(r, "sec-fetch-site");

    if (site) {
        return !((site->value.len == 11
                  && ngx_strncmp(site->value.data, "same-origin", 11) == 0)
                 || (site->value.len == 4
                     && ngx_strncmp(site->value.data, "none", 4) == 0));
    }

    origin = ngx_http_ocsp_plus_header(r, "origin");

    if (origin == NULL) {
        return 0;
    }

    host = ngx_strlcasestrn(origin->value.data,
                            origin->value.data + origin->value.len,
                            (u_char *) "://", 3 - 1);

    if (host == NULL || r->headers_in.host == NULL) {
        return 1;
    }

    host += 3;
    len = origin->value.data + origin->value.len - host;

    return len != r->headers_in.host->value.len
           || ngx_strncasecmp(host, r->headers_in.host->value.data, len) != 0;
}
