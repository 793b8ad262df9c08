
/*
 * The handshake: what the status callback does, and what is remembered of it
 * for variables and for those that got by it.
 */


#include "ngx_ocsp_plus.h"


#define NGX_OCSP_PLUS_LOG_INTERVAL  60    /* of refused handshakes, s */
#define NGX_OCSP_PLUS_CHAIN         64    /* looked at for an issuer */


static int ngx_ocsp_plus_status(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx);
static op_staple_status_t ngx_ocsp_plus_loaded(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate,
    time_t now, op_staple_t *staple);
static int ngx_ocsp_plus_without_staple(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate,
    ngx_uint_t foreign);
static ngx_uint_t ngx_ocsp_plus_foreign(ngx_ssl_conn_t *ssl_conn);
static ngx_uint_t ngx_ocsp_plus_requires(ngx_ocsp_plus_ctx_t *ctx,
    ngx_ocsp_plus_certificate_t *certificate);
static void ngx_ocsp_plus_tell_refused(
    ngx_ocsp_plus_certificate_t *certificate, ngx_uint_t ended);
static ngx_ocsp_plus_certificate_t *ngx_ocsp_plus_find(
    ngx_ocsp_plus_ctx_t *ctx, X509 *leaf);
static void ngx_ocsp_plus_remember(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate,
    op_handshake_t what, uintptr_t memory);
static void *ngx_ocsp_plus_allocate(size_t size);
static void ngx_ocsp_plus_release(void *p);


/*
 * What the callback decided is remembered in a connection's ex_data, not as a
 * pointer but as a number: the end of the staple above two bits, or what is
 * to be known where there is none.  So there is nothing to allocate and
 * nothing to free.
 */

#define NGX_OCSP_PLUS_WITHOUT  1
#define NGX_OCSP_PLUS_GOOD     2
#define NGX_OCSP_PLUS_REVOKED  3

#define NGX_OCSP_PLUS_FOREIGN  (1 << 2 | NGX_OCSP_PLUS_WITHOUT)
#define NGX_OCSP_PLUS_ENDED    (2 << 2 | NGX_OCSP_PLUS_WITHOUT)

static int  ngx_ocsp_plus_index = -1;


ngx_int_t
ngx_ocsp_plus_handshake_init(ngx_conf_t *cf)
{
    if (ngx_ocsp_plus_index == -1) {
        ngx_ocsp_plus_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);

        if (ngx_ocsp_plus_index == -1) {
            ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                          "SSL_get_ex_new_index() failed");
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * OpenSSL's queue of errors is left as it was: nginx would take an error of
 * ours for one of the connection, and what was there before is not ours
 */

int
ngx_ocsp_plus_status_callback(ngx_ssl_conn_t *ssl_conn, void *data)
{
    int                   rc;
    ngx_ocsp_plus_ctx_t  *ctx;

    ctx = ngx_ocsp_plus_ctx(ssl_conn);

    if (ctx == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }

    (void) ERR_set_mark();

    rc = ngx_ocsp_plus_status(ssl_conn, ctx);

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

        if (op_loaded(leaf, &loaded.id)) {
            status = ngx_ocsp_plus_loaded(ssl_conn, ctx, &loaded, tv.tv_sec,
                                          &staple);

        } else {
            loaded.id.loaded = 1;
            status = OP_STAPLE_NONE;
        }
    }

    if (status == OP_STAPLE_REVOKED
        && ctx->oscf->revoked == NGX_OCSP_PLUS_REVOKED_OMIT)
    {
        OPENSSL_free(staple.der);

        /* nor does anybody else's go out: it says what is not true any more */

        return ngx_ocsp_plus_without_staple(ssl_conn, ctx, certificate, 0);
    }

    if (status == OP_STAPLE_NONE) {
        return ngx_ocsp_plus_without_staple(ssl_conn, ctx, certificate,
                                            ngx_ocsp_plus_foreign(ssl_conn));
    }

    /* the response is OpenSSL's from here on */

    if (SSL_set_tlsext_status_ocsp_resp(ssl_conn, staple.der, staple.len)
        != 1)
    {
        OPENSSL_free(staple.der);
        return ngx_ocsp_plus_without_staple(ssl_conn, ctx, certificate, 0);
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
    uintptr_t                     memory;
    ngx_ocsp_plus_ctx_t          *ctx;
    ngx_ocsp_plus_certificate_t  *certificate;

    ngx_memzero(hs, sizeof(ngx_ocsp_plus_handshake_t));

    if (c->ssl == NULL) {
        return;
    }

    ctx = ngx_ocsp_plus_ctx(c->ssl->connection);

    if (ctx == NULL) {
        hs->outcome = NGX_OCSP_PLUS_STAPLE_OFF;
        return;
    }

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
        hs->outcome = memory == NGX_OCSP_PLUS_FOREIGN
                      ? NGX_OCSP_PLUS_STAPLE_FOREIGN
                      : NGX_OCSP_PLUS_STAPLE_NONE;
        break;

    default:

        /* the callback was not run */

        hs->outcome = SSL_get_tlsext_status_type(c->ssl->connection) == -1
                      ? NGX_OCSP_PLUS_STAPLE_NOT_REQUESTED
                      : NGX_OCSP_PLUS_STAPLE_NONE;
    }
}


/*
 * What our callback should have decided in the handshake and did not, because
 * another module's was in its place: counted now.  NGX_ABORT: the connection
 * must not be used, since the server requires a staple of ours.  To be called
 * for each request (http) and session (stream).
 */

ngx_int_t
ngx_ocsp_plus_enforce(ngx_connection_t *c)
{
    X509                         *leaf;
    uintptr_t                     memory;
    op_handshake_t                what;
    ngx_ssl_conn_t               *ssl_conn;
    ngx_ocsp_plus_ctx_t          *ctx;
    ngx_ocsp_plus_certificate_t  *certificate, loaded;

    if (c->ssl == NULL) {
        return NGX_OK;
    }

    ssl_conn = c->ssl->connection;

    ctx = ngx_ocsp_plus_ctx(ssl_conn);

    if (ctx == NULL) {
        return NGX_OK;
    }

    memory = (uintptr_t) SSL_get_ex_data(ssl_conn, ngx_ocsp_plus_index);

    if (memory) {
        return memory == NGX_OCSP_PLUS_ENDED ? NGX_ABORT : NGX_OK;
    }

    if (SSL_session_reused(ssl_conn)
        || SSL_get_tlsext_status_type(ssl_conn) == -1)
    {
        return NGX_OK;
    }

    leaf = SSL_get_certificate(ssl_conn);

    if (leaf == NULL) {
        return NGX_OK;
    }

    certificate = ngx_ocsp_plus_find(ctx, leaf);

    if (certificate == NULL) {
        certificate = &loaded;

        ngx_memzero(&loaded, sizeof(ngx_ocsp_plus_certificate_t));
        loaded.leaf = leaf;
        loaded.id.loaded = 1;
    }

    (void) ERR_set_mark();

    if (ngx_ocsp_plus_requires(ctx, certificate)) {
        what = OP_HANDSHAKE_REFUSED;
        memory = NGX_OCSP_PLUS_ENDED;

    } else if (ngx_ocsp_plus_foreign(ssl_conn)) {
        what = OP_HANDSHAKE_FOREIGN;
        memory = NGX_OCSP_PLUS_FOREIGN;

    } else {
        what = OP_HANDSHAKE_MISSING;
        memory = NGX_OCSP_PLUS_WITHOUT;
    }

    (void) ERR_pop_to_mark();

    ngx_ocsp_plus_remember(ssl_conn, ctx, certificate, what, memory);

    if (what != OP_HANDSHAKE_REFUSED) {
        return NGX_OK;
    }

    ngx_ocsp_plus_tell_refused(certificate, 1);

    return NGX_ABORT;
}


/* foreign: a response of another module is there, and may go out */

static int
ngx_ocsp_plus_without_staple(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate,
    ngx_uint_t foreign)
{
    if (ngx_ocsp_plus_requires(ctx, certificate)) {
        ngx_ocsp_plus_remember(ssl_conn, ctx, certificate,
                               OP_HANDSHAKE_REFUSED, NGX_OCSP_PLUS_WITHOUT);
        ngx_ocsp_plus_tell_refused(certificate, 0);
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }

    if (foreign) {
        ngx_ocsp_plus_remember(ssl_conn, ctx, certificate,
                               OP_HANDSHAKE_FOREIGN, NGX_OCSP_PLUS_FOREIGN);
        return SSL_TLSEXT_ERR_OK;
    }

    ngx_ocsp_plus_remember(ssl_conn, ctx, certificate, OP_HANDSHAKE_MISSING,
                           NGX_OCSP_PLUS_WITHOUT);

    return SSL_TLSEXT_ERR_NOACK;
}


/*
 * Whether another module has set a response.  Not if one of ours went into the
 * answer to the first hello of two: what is there now may be that one.
 */

static ngx_uint_t
ngx_ocsp_plus_foreign(ngx_ssl_conn_t *ssl_conn)
{
    long            len;
    uintptr_t       memory;
    unsigned char  *der;

    memory = (uintptr_t) SSL_get_ex_data(ssl_conn, ngx_ocsp_plus_index);

    if ((memory & 3) == NGX_OCSP_PLUS_GOOD
        || (memory & 3) == NGX_OCSP_PLUS_REVOKED)
    {
        return 0;
    }

    der = NULL;
    len = SSL_get_tlsext_status_ocsp_resp(ssl_conn, &der);

    return der != NULL && len > 0;
}


static ngx_uint_t
ngx_ocsp_plus_requires(ngx_ocsp_plus_ctx_t *ctx,
    ngx_ocsp_plus_certificate_t *certificate)
{
    if (!certificate->id.loaded) {
        return certificate->require;
    }

    return ctx->oscf->require == NGX_OCSP_PLUS_REQUIRE_ON
           || (ctx->oscf->require == NGX_OCSP_PLUS_REQUIRE_MUST_STAPLE
               && op_must_staple(certificate->leaf));
}


/* ended: the connection, after a handshake that was not refused */

static void
ngx_ocsp_plus_tell_refused(ngx_ocsp_plus_certificate_t *certificate,
    ngx_uint_t ended)
{
    time_t             now;
    op_error_t         text;
    const char        *label;

    static time_t      last[2];
    static ngx_uint_t  refused[2];

    /* nginx itself logs the alert at info only */

    now = ngx_time();
    refused[ended]++;

    if (now >= last[ended] && now - last[ended] < NGX_OCSP_PLUS_LOG_INTERVAL) {
        return;
    }

    label = certificate->label;

    if (label == NULL) {
        op_label(certificate->leaf, &text);
        label = text.text;
    }

    if (ended) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "ocsp_plus: connection ended, another module's status "
                      "callback was in its handshake and "
                      "\"ocsp_plus_require\" demands a response of ours: "
                      "certificate=%s refused=%ui", label, refused[ended]);

    } else {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "ocsp_plus: handshake refused, no valid response is "
                      "held and \"ocsp_plus_require\" demands one: "
                      "certificate=%s refused=%ui", label, refused[ended]);
    }

    last[ended] = now;
    refused[ended] = 0;
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
