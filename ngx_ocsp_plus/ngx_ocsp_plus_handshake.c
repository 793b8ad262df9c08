
/*
 * The handshake: the status callback, and what is remembered of it for
 * variables.
 */


#include "ngx_ocsp_plus.h"


#define NGX_OCSP_PLUS_LOG_INTERVAL  60    /* of refused handshakes, s */
#define NGX_OCSP_PLUS_CHAIN         8     /* looked at for an issuer */


static int ngx_ocsp_plus_status_callback(ngx_ssl_conn_t *ssl_conn,
    void *data);
static int ngx_ocsp_plus_status(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx);
static op_staple_status_t ngx_ocsp_plus_loaded(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate,
    time_t now, op_staple_t *staple);
static int ngx_ocsp_plus_without_staple(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate);
static ngx_ocsp_plus_certificate_t *ngx_ocsp_plus_find(
    ngx_ocsp_plus_ctx_t *ctx, X509 *leaf);
static void ngx_ocsp_plus_remember(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate,
    op_handshake_t what, uintptr_t memory);
static void *ngx_ocsp_plus_allocate(size_t size);
static void ngx_ocsp_plus_release(void *p);


/*
 * What the callback decided is remembered in a connection's ex_data, not as a
 * pointer but as a number: the end of the staple above two bits.  So there is
 * nothing to allocate and nothing to free.
 */

#define NGX_OCSP_PLUS_WITHOUT  1
#define NGX_OCSP_PLUS_GOOD     2
#define NGX_OCSP_PLUS_REVOKED  3

static int  ngx_ocsp_plus_index = -1;


ngx_int_t
ngx_ocsp_plus_set_callback(ngx_conf_t *cf, SSL_CTX *ssl,
    ngx_ocsp_plus_ctx_t *ctx)
{
    if (ngx_ocsp_plus_index == -1) {
        ngx_ocsp_plus_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);

        if (ngx_ocsp_plus_index == -1) {
            ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                          "SSL_get_ex_new_index() failed");
            return NGX_ERROR;
        }
    }

    SSL_CTX_set_tlsext_status_cb(ssl, ngx_ocsp_plus_status_callback);
    SSL_CTX_set_tlsext_status_arg(ssl, ctx);

    return NGX_OK;
}


/*
 * OpenSSL's queue of errors is left as it was: nginx would take an error of
 * ours for one of the connection, and what was there before is not ours
 */

static int
ngx_ocsp_plus_status_callback(ngx_ssl_conn_t *ssl_conn, void *data)
{
    int  rc;

    (void) ERR_set_mark();

    rc = ngx_ocsp_plus_status(ssl_conn, data);

    (void) ERR_pop_to_mark();

    return rc;
}


static int
ngx_ocsp_plus_status(ngx_ssl_conn_t *ssl_conn, ngx_ocsp_plus_ctx_t *ctx)
{
    X509                         *leaf;
    op_staple_t                   staple;
    struct timeval                tv;
    op_staple_status_t            status;
    ngx_ocsp_plus_certificate_t  *certificate, loaded;

    leaf = SSL_get_certificate(ssl_conn);

    if (leaf == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }

    certificate = ngx_ocsp_plus_find(ctx, leaf);

    /*
     * not ngx_time(), which a long turn of the loop leaves behind, nor
     * time(), which lags by a tick of the kernel
     */

    ngx_gettimeofday(&tv);

    if (certificate && certificate->unusable) {
        status = OP_STAPLE_NONE;

    } else if (certificate) {
        status = op_staple(ctx->config, &certificate->id, tv.tv_sec,
                           ngx_ocsp_plus_allocate, ngx_ocsp_plus_release,
                           &staple);

    } else {

        /* set for this connection, by a variable or by another module */

        certificate = &loaded;

        ngx_memzero(&loaded, sizeof(ngx_ocsp_plus_certificate_t));
        loaded.leaf = leaf;

        if (!op_loaded(leaf, &loaded.id)) {
            return SSL_TLSEXT_ERR_NOACK;
        }

        status = ngx_ocsp_plus_loaded(ssl_conn, ctx, &loaded, tv.tv_sec,
                                      &staple);
    }

    if (status == OP_STAPLE_REVOKED
        && ctx->oscf->revoked == NGX_OCSP_PLUS_REVOKED_OMIT)
    {
        OPENSSL_free(staple.der);
        status = OP_STAPLE_NONE;
    }

    if (status == OP_STAPLE_NONE) {
        return ngx_ocsp_plus_without_staple(ssl_conn, ctx, certificate);
    }

    /* the response is OpenSSL's from here on */

    if (SSL_set_tlsext_status_ocsp_resp(ssl_conn, staple.der, staple.len)
        != 1)
    {
        OPENSSL_free(staple.der);
        return ngx_ocsp_plus_without_staple(ssl_conn, ctx, certificate);
    }

    ngx_ocsp_plus_remember(ssl_conn, ctx, certificate, OP_HANDSHAKE_STAPLED,
                           (uintptr_t) staple.expires_s << 2
                           | (status == OP_STAPLE_REVOKED
                              ? NGX_OCSP_PLUS_REVOKED : NGX_OCSP_PLUS_GOOD));

    return SSL_TLSEXT_ERR_OK;
}


/* unknown ones are handed to the designated worker, for the next handshake */

static op_staple_status_t
ngx_ocsp_plus_loaded(ngx_ssl_conn_t *ssl_conn, ngx_ocsp_plus_ctx_t *ctx,
    ngx_ocsp_plus_certificate_t *certificate, time_t now, op_staple_t *staple)
{
    int                  unknown, i, n;
    X509                *chain[NGX_OCSP_PLUS_CHAIN];
    STACK_OF(X509)      *certificates;
    op_staple_status_t   status;

    status = op_staple_loaded(ctx->config, ctx->profile, &certificate->id, now,
                              ngx_ocsp_plus_allocate, ngx_ocsp_plus_release,
                              staple, &unknown);

    if (!unknown) {
        return status;
    }

    n = 0;

    if (SSL_get0_chain_certs(ssl_conn, &certificates) && certificates) {
        n = ngx_min(sk_X509_num(certificates), NGX_OCSP_PLUS_CHAIN);

        for (i = 0; i < n; i++) {
            chain[i] = sk_X509_value(certificates, i);
        }
    }

    op_offer(ctx->config, ctx->profile, &certificate->id, certificate->leaf,
             chain, n, ngx_current_msec);

    return status;
}


static ngx_ocsp_plus_certificate_t *
ngx_ocsp_plus_find(ngx_ocsp_plus_ctx_t *ctx, X509 *leaf)
{
    ngx_uint_t                    i;
    ngx_ocsp_plus_certificate_t  *certificate;

    certificate = ctx->certificates.elts;

    for (i = 0; i < ctx->certificates.nelts; i++) {
        if (certificate[i].leaf == leaf) {
            return &certificate[i];
        }
    }

    return NULL;
}


/* a hello that has to be repeated comes here twice, but is one handshake */

static void
ngx_ocsp_plus_remember(ngx_ssl_conn_t *ssl_conn, ngx_ocsp_plus_ctx_t *ctx,
    ngx_ocsp_plus_certificate_t *certificate, op_handshake_t what,
    uintptr_t memory)
{
    if (SSL_get_ex_data(ssl_conn, ngx_ocsp_plus_index) == NULL) {
        op_count_handshake(ctx->config, ngx_worker, &certificate->id, what);
    }

    (void) SSL_set_ex_data(ssl_conn, ngx_ocsp_plus_index, (void *) memory);
}


void
ngx_ocsp_plus_handshake(ngx_connection_t *c, ngx_ocsp_plus_handshake_t *hs)
{
    SSL_CTX                       *ssl;
    uintptr_t                      memory;
    ngx_ocsp_plus_ctx_t           *ctx;
    ngx_ocsp_plus_certificate_t   *certificate;
    int                          (*callback)(SSL *, void *);

    ngx_memzero(hs, sizeof(ngx_ocsp_plus_handshake_t));

    if (c->ssl == NULL) {
        return;
    }

    /* of the server that the client has named */

    ssl = SSL_get_SSL_CTX(c->ssl->connection);

    callback = NULL;
    ctx = NULL;

    SSL_CTX_get_tlsext_status_cb(ssl, &callback);

    if (callback != ngx_ocsp_plus_status_callback) {
        hs->outcome = NGX_OCSP_PLUS_STAPLE_OFF;
        return;
    }

    SSL_CTX_get_tlsext_status_arg(ssl, &ctx);

    if (SSL_session_reused(c->ssl->connection)) {
        hs->outcome = NGX_OCSP_PLUS_STAPLE_RESUMED;
        return;
    }

    hs->leaf = SSL_get_certificate(c->ssl->connection);

    certificate = ngx_ocsp_plus_find(ctx, hs->leaf);
    if (certificate && !certificate->unusable) {
        hs->configured = &certificate->id;
    }

    memory = (uintptr_t) SSL_get_ex_data(c->ssl->connection,
                                         ngx_ocsp_plus_index);

    switch (memory & 3) {

    case NGX_OCSP_PLUS_GOOD:
    case NGX_OCSP_PLUS_REVOKED:
        hs->outcome = NGX_OCSP_PLUS_STAPLE_SENT;
        hs->expires = (time_t) (memory >> 2);
        hs->revoked = ((memory & 3) == NGX_OCSP_PLUS_REVOKED);
        break;

    case NGX_OCSP_PLUS_WITHOUT:
        hs->outcome = NGX_OCSP_PLUS_STAPLE_NONE;
        break;

    default:

        /* the callback was not run, or did not know the certificate */

        hs->outcome = SSL_get_tlsext_status_type(c->ssl->connection) == -1
                      ? NGX_OCSP_PLUS_STAPLE_NOT_REQUESTED
                      : NGX_OCSP_PLUS_STAPLE_NONE;
    }
}


static int
ngx_ocsp_plus_without_staple(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate)
{
    time_t             now;
    op_error_t         text;

    static time_t      last;
    static ngx_uint_t  refused;

    if (certificate->id.loaded) {
        certificate->require =
            ctx->oscf->require == NGX_OCSP_PLUS_REQUIRE_ON
            || (ctx->oscf->require == NGX_OCSP_PLUS_REQUIRE_MUST_STAPLE
                && op_must_staple(certificate->leaf));
    }

    if (!certificate->require) {
        ngx_ocsp_plus_remember(ssl_conn, ctx, certificate,
                               OP_HANDSHAKE_MISSING, NGX_OCSP_PLUS_WITHOUT);
        return SSL_TLSEXT_ERR_NOACK;
    }

    ngx_ocsp_plus_remember(ssl_conn, ctx, certificate, OP_HANDSHAKE_REFUSED,
                           NGX_OCSP_PLUS_WITHOUT);

    /* nginx itself logs the alert at info only */

    now = ngx_time();
    refused++;

    if (now - last >= NGX_OCSP_PLUS_LOG_INTERVAL || now < last) {

        if (certificate->label == NULL) {
            op_label(certificate->leaf, &text);
        }

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "ocsp_plus: handshake refused, no valid response is "
                      "held and \"ocsp_plus_require\" demands one: "
                      "certificate=%s refused=%ui",
                      certificate->label ? certificate->label : text.text,
                      refused);
        last = now;
        refused = 0;
    }

    return SSL_TLSEXT_ERR_ALERT_FATAL;
}


static void *
ngx_ocsp_plus_allocate(size_t size)
{
    return OPENSSL_malloc(size);
}


static void
ngx_ocsp_plus_release(void *p)
{
    OPENSSL_free(p);
}
