
/*
 * What became of the connection's handshake, for log_format and add_header.
 */


#include "ngx_http_ocsp_plus.h"


static ngx_int_t ngx_http_ocsp_plus_staple(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_ocsp_plus_cert_status(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_ocsp_plus_expires_in(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_ocsp_plus_cert_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static void ngx_http_ocsp_plus_set(ngx_http_variable_value_t *v,
    const char *text);


static ngx_http_variable_t  ngx_http_ocsp_plus_vars[] = {

    { ngx_string("ocsp_plus_staple"), NULL,
      ngx_http_ocsp_plus_staple, 0, 0, 0 },

    { ngx_string("ocsp_plus_cert_status"), NULL,
      ngx_http_ocsp_plus_cert_status, 0, 0, 0 },

    { ngx_string("ocsp_plus_expires_in"), NULL,
      ngx_http_ocsp_plus_expires_in, 0, 0, 0 },

    { ngx_string("ocsp_plus_cert_id"), NULL,
      ngx_http_ocsp_plus_cert_id, 0, 0, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_ocsp_plus_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_ocsp_plus_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ocsp_plus_staple(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_ocsp_plus_handshake_t  hs;

    ngx_ocsp_plus_handshake(r->connection, &hs);

    switch (hs.outcome) {

    case NGX_OCSP_PLUS_STAPLE_SENT:
        ngx_http_ocsp_plus_set(v, "sent");
        break;

    case NGX_OCSP_PLUS_STAPLE_NONE:
        ngx_http_ocsp_plus_set(v, "none");
        break;

    case NGX_OCSP_PLUS_STAPLE_NOT_REQUESTED:
        ngx_http_ocsp_plus_set(v, "not_requested");
        break;

    case NGX_OCSP_PLUS_STAPLE_RESUMED:
        ngx_http_ocsp_plus_set(v, "resumed");
        break;

    case NGX_OCSP_PLUS_STAPLE_OFF:
        ngx_http_ocsp_plus_set(v, "off");
        break;

    default: /* NGX_OCSP_PLUS_STAPLE_PLAIN */
        ngx_http_ocsp_plus_set(v, "");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ocsp_plus_cert_status(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_ocsp_plus_handshake_t  hs;

    ngx_ocsp_plus_handshake(r->connection, &hs);

    ngx_http_ocsp_plus_set(v, hs.outcome != NGX_OCSP_PLUS_STAPLE_SENT ? ""
                              : hs.revoked ? "revoked" : "good");

    return NGX_OK;
}


static ngx_int_t
ngx_http_ocsp_plus_expires_in(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                     *p;
    ngx_ocsp_plus_handshake_t   hs;

    ngx_ocsp_plus_handshake(r->connection, &hs);

    if (hs.outcome != NGX_OCSP_PLUS_STAPLE_SENT) {
        ngx_http_ocsp_plus_set(v, "");
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;
    v->len = ngx_sprintf(p, "%T", hs.expires - ngx_time()) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_ocsp_plus_cert_id(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                     *p;
    ngx_ocsp_plus_handshake_t   hs;

    ngx_ocsp_plus_handshake(r->connection, &hs);

    if (hs.config == NULL) {
        ngx_http_ocsp_plus_set(v, "");
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 64);
    if (p == NULL) {
        return NGX_ERROR;
    }

    op_certificate_id(hs.config, hs.index, (char *) p);

    v->data = p;
    v->len = 64;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static void
ngx_http_ocsp_plus_set(ngx_http_variable_value_t *v, const char *text)
{
    v->data = (u_char *) text;
    v->len = ngx_strlen(text);
    v->valid = v->len ? 1 : 0;
    v->no_cacheable = 0;
    v->not_found = v->len ? 0 : 1;
}
