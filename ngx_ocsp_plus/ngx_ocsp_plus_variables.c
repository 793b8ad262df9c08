
/*
 * The variables of http and stream: what a connection's handshake got.
 */


#include "ngx_ocsp_plus.h"


static ngx_int_t ngx_ocsp_plus_expires_in(ngx_pool_t *pool,
    ngx_variable_value_t *v, ngx_ocsp_plus_handshake_t *hs);
static ngx_int_t ngx_ocsp_plus_chain_staples(ngx_pool_t *pool,
    ngx_variable_value_t *v, ngx_ocsp_plus_handshake_t *hs);
static ngx_int_t ngx_ocsp_plus_cert_id(ngx_pool_t *pool,
    ngx_variable_value_t *v, ngx_ocsp_plus_handshake_t *hs);
static void ngx_ocsp_plus_set(ngx_variable_value_t *v, const char *text);
static void ngx_ocsp_plus_set_bytes(ngx_variable_value_t *v, u_char *data,
    size_t len);


ngx_ocsp_plus_variable_t  ngx_ocsp_plus_variables[] = {
    { ngx_string("ocsp_plus_staple"), NGX_OCSP_PLUS_VAR_STAPLE },
    { ngx_string("ocsp_plus_cert_status"), NGX_OCSP_PLUS_VAR_CERT_STATUS },
    { ngx_string("ocsp_plus_expires_in"), NGX_OCSP_PLUS_VAR_EXPIRES_IN },
    { ngx_string("ocsp_plus_cert_id"), NGX_OCSP_PLUS_VAR_CERT_ID },
    { ngx_string("ocsp_plus_chain"), NGX_OCSP_PLUS_VAR_CHAIN },
    { ngx_null_string, 0 }
};


static const char  *ngx_ocsp_plus_outcomes[] = {
    "",                                 /* NGX_OCSP_PLUS_STAPLE_PLAIN */
    "off",                              /* NGX_OCSP_PLUS_STAPLE_OFF */
    "resumed",                          /* NGX_OCSP_PLUS_STAPLE_RESUMED */
    "not_requested",                    /* ..._NOT_REQUESTED */
    "none",                             /* NGX_OCSP_PLUS_STAPLE_NONE */
    "sent",                             /* NGX_OCSP_PLUS_STAPLE_SENT */
    "foreign"                           /* NGX_OCSP_PLUS_STAPLE_FOREIGN */
};


ngx_int_t
ngx_ocsp_plus_variable(ngx_connection_t *c, ngx_pool_t *pool,
    ngx_variable_value_t *v, uintptr_t which)
{
    ngx_ocsp_plus_handshake_t  hs;

    ngx_ocsp_plus_handshake(c, &hs);

    switch (which) {

    case NGX_OCSP_PLUS_VAR_STAPLE:
        ngx_ocsp_plus_set(v, ngx_ocsp_plus_outcomes[hs.outcome]);
        return NGX_OK;

    case NGX_OCSP_PLUS_VAR_CERT_STATUS:
        ngx_ocsp_plus_set(v, hs.outcome != NGX_OCSP_PLUS_STAPLE_SENT ? ""
                             : hs.revoked ? "revoked" : "good");
        return NGX_OK;

    case NGX_OCSP_PLUS_VAR_EXPIRES_IN:
        return ngx_ocsp_plus_expires_in(pool, v, &hs);

    case NGX_OCSP_PLUS_VAR_CHAIN:
        return ngx_ocsp_plus_chain_staples(pool, v, &hs);

    default: /* NGX_OCSP_PLUS_VAR_CERT_ID */
        return ngx_ocsp_plus_cert_id(pool, v, &hs);
    }
}


static ngx_int_t
ngx_ocsp_plus_expires_in(ngx_pool_t *pool, ngx_variable_value_t *v,
    ngx_ocsp_plus_handshake_t *hs)
{
    u_char  *p;

    if (hs->outcome != NGX_OCSP_PLUS_STAPLE_SENT) {
        ngx_ocsp_plus_set(v, "");
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_ocsp_plus_set_bytes(v, p,
                            ngx_sprintf(p, "%T", hs->expires - ngx_time()) - p);
    return NGX_OK;
}


static ngx_int_t
ngx_ocsp_plus_chain_staples(ngx_pool_t *pool, ngx_variable_value_t *v,
    ngx_ocsp_plus_handshake_t *hs)
{
    u_char  *p;

    if (!hs->asked) {
        ngx_ocsp_plus_set(v, "");
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_ocsp_plus_set_bytes(v, p, ngx_sprintf(p, "%ui", hs->chain) - p);

    return NGX_OK;
}


static ngx_int_t
ngx_ocsp_plus_cert_id(ngx_pool_t *pool, ngx_variable_value_t *v,
    ngx_ocsp_plus_handshake_t *hs)
{
    u_char  *p;

    p = ngx_pnalloc(pool, 64);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (hs->leaf == NULL
        || op_certificate_id(hs->server, hs->leaf, (char *) p) != OP_OK)
    {
        ngx_ocsp_plus_set(v, "");
        return NGX_OK;
    }

    ngx_ocsp_plus_set_bytes(v, p, 64);

    return NGX_OK;
}


static void
ngx_ocsp_plus_set(ngx_variable_value_t *v, const char *text)
{
    ngx_ocsp_plus_set_bytes(v, (u_char *) text, ngx_strlen(text));
}


/* an empty value counts as not found: "-" in a log */

static void
ngx_ocsp_plus_set_bytes(ngx_variable_value_t *v, u_char *data, size_t len)
{
    v->data = data;
    v->len = len;
    v->valid = len ? 1 : 0;
    v->no_cacheable = 0;
    v->not_found = len ? 0 : 1;
}
