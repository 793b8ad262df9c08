
/*
 * Passes what nginx knows of a handshake to the core, carries the core's
 * decision out and remembers it for the variables.
 */


#include "ngx_ocsp_plus.h"


/*
 * SSL_CTRL_SET_TLSEXT_STATUS_REQ_OCSP_RESP_EX of OpenSSL 3.6, which headers of
 * older versions lack.  It takes a stack of OCSP_RESPONSE, for the certificates
 * in the order in which they are sent; older libraries return 0
 */

#define NGX_OCSP_PLUS_SET_RESPONSES  143


static ngx_int_t ngx_ocsp_plus_hello(ngx_ssl_conn_t *ssl_conn,
    op_hello_t *hello);
static void ngx_ocsp_plus_remember(ngx_ssl_conn_t *ssl_conn,
    op_decision_t *decision);
static size_t ngx_ocsp_plus_get_chain(void *ctx, X509 **to, size_t most);
static size_t ngx_ocsp_plus_set_responses(void *ctx,
    const op_response_t *responses, size_t n);
static ngx_int_t ngx_ocsp_plus_set_chain(ngx_ssl_conn_t *ssl_conn,
    const op_response_t *responses, size_t n);
static void ngx_ocsp_plus_free_response(void *p);
static void *ngx_ocsp_plus_allocate(size_t size);
static void ngx_ocsp_plus_release(void *p);


static const op_connection_ops_t  ngx_ocsp_plus_connection = {
    ngx_ocsp_plus_get_chain,
    ngx_ocsp_plus_set_responses,
    ngx_ocsp_plus_allocate,
    ngx_ocsp_plus_release
};


/* ex data index of SSL: op_decision_t's memory, a number */

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


int
ngx_ocsp_plus_status_callback(ngx_ssl_conn_t *ssl_conn, void *data)
{
    op_hello_t            hello;
    op_decision_t         decision;
    struct timeval        tv;
    ngx_ocsp_plus_ctx_t  *ctx;

    ctx = ngx_ocsp_plus_ctx(ssl_conn);

    if (ctx == NULL || ngx_ocsp_plus_hello(ssl_conn, &hello) != NGX_OK) {
        return SSL_TLSEXT_ERR_NOACK;
    }

    /*
     * ngx_time() lags by a long turn of the loop, time() by a tick of the
     * kernel
     */

    ngx_gettimeofday(&tv);
    hello.now_s = tv.tv_sec;

    /*
     * The mark restores OpenSSL's error queue: nginx would take an error of
     * ours for one of the connection
     */

    (void) ERR_set_mark();

    op_staple(ctx->server, &hello, &decision);

    (void) ERR_pop_to_mark();

    ngx_ocsp_plus_remember(ssl_conn, &decision);

    switch (decision.outcome) {

    case OP_STAPLED:
    case OP_FOREIGN:
        return SSL_TLSEXT_ERR_OK;

    case OP_REFUSED:
        return SSL_TLSEXT_ERR_ALERT_FATAL;

    default: /* OP_NO_STAPLE */
        return SSL_TLSEXT_ERR_NOACK;
    }
}


static ngx_int_t
ngx_ocsp_plus_hello(ngx_ssl_conn_t *ssl_conn, op_hello_t *hello)
{
    long            len;
    unsigned char  *der;

    hello->leaf = SSL_get_certificate(ssl_conn);

    if (hello->leaf == NULL) {
        return NGX_DECLINED;
    }

    der = NULL;
    len = SSL_get_tlsext_status_ocsp_resp(ssl_conn, &der);

    hello->ctx = ssl_conn;
    hello->connection = &ngx_ocsp_plus_connection;
    hello->tls13 = (SSL_version(ssl_conn) == TLS1_3_VERSION);
    hello->foreign = (der != NULL && len > 0);
    hello->memory = (uintptr_t) SSL_get_ex_data(ssl_conn, ngx_ocsp_plus_index);
    hello->now_s = ngx_time();
    hello->monotonic_ms = (int64_t) ngx_current_msec;
    hello->worker = (uint32_t) ngx_worker;

    return NGX_OK;
}


static void
ngx_ocsp_plus_remember(ngx_ssl_conn_t *ssl_conn, op_decision_t *decision)
{
    (void) SSL_set_ex_data(ssl_conn, ngx_ocsp_plus_index,
                           (void *) decision->memory);

    if (decision->line.text[0]) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "%s",
                      decision->line.text);
    }
}


void
ngx_ocsp_plus_handshake(ngx_connection_t *c, ngx_ocsp_plus_handshake_t *hs)
{
    uintptr_t             memory;
    ngx_ssl_conn_t       *ssl_conn;
    op_remembered_t       remembered;
    ngx_ocsp_plus_ctx_t  *ctx;

    ngx_memzero(hs, sizeof(ngx_ocsp_plus_handshake_t));

    if (c->ssl == NULL) {
        return;
    }

    ssl_conn = c->ssl->connection;

    ctx = ngx_ocsp_plus_ctx(ssl_conn);

    if (ctx == NULL) {
        hs->outcome = NGX_OCSP_PLUS_STAPLE_OFF;
        return;
    }

    if (SSL_session_reused(ssl_conn)) {
        hs->outcome = NGX_OCSP_PLUS_STAPLE_RESUMED;
        return;
    }

    hs->leaf = SSL_get_certificate(ssl_conn);
    hs->server = ctx->server;
    hs->outcome = NGX_OCSP_PLUS_STAPLE_NONE;

    memory = (uintptr_t) SSL_get_ex_data(ssl_conn, ngx_ocsp_plus_index);

    if (memory == 0) {

        /* the callback was not run */

        if (SSL_get_tlsext_status_type(ssl_conn) == -1) {
            hs->outcome = NGX_OCSP_PLUS_STAPLE_NOT_REQUESTED;

        } else {
            hs->asked = (ctx->chain != 0);
        }

        return;
    }

    hs->asked = (ctx->chain != 0);

    op_recall(memory, &remembered);

    if (remembered.outcome == OP_STAPLED) {
        hs->outcome = NGX_OCSP_PLUS_STAPLE_SENT;
        hs->expires = (time_t) remembered.expires_s;
        hs->revoked = remembered.revoked;
        hs->chain = remembered.chain;

    } else if (remembered.outcome == OP_FOREIGN) {
        hs->outcome = NGX_OCSP_PLUS_STAPLE_FOREIGN;
    }
}


/*
 * Decides now what our callback would have decided in the handshake if another
 * module's had not been in its place.  Called for each request (http) and
 * session (stream).  NGX_ABORT: the connection must be closed, since the server
 * requires a staple of ours.
 */

ngx_int_t
ngx_ocsp_plus_enforce(ngx_connection_t *c)
{
    op_hello_t            hello;
    op_decision_t         decision;
    ngx_ssl_conn_t       *ssl_conn;
    ngx_ocsp_plus_ctx_t  *ctx;

    if (c->ssl == NULL) {
        return NGX_OK;
    }

    ssl_conn = c->ssl->connection;

    ctx = ngx_ocsp_plus_ctx(ssl_conn);

    if (ctx == NULL || ngx_ocsp_plus_hello(ssl_conn, &hello) != NGX_OK) {
        return NGX_OK;
    }

    if (hello.memory == 0
        && (SSL_session_reused(ssl_conn)
            || SSL_get_tlsext_status_type(ssl_conn) == -1))
    {
        return NGX_OK;
    }

    (void) ERR_set_mark();

    op_settle(ctx->server, &hello, &decision);

    (void) ERR_pop_to_mark();

    ngx_ocsp_plus_remember(ssl_conn, &decision);

    return decision.outcome == OP_REFUSED ? NGX_ABORT : NGX_OK;
}


static size_t
ngx_ocsp_plus_get_chain(void *ctx, X509 **to, size_t most)
{
    ngx_ssl_conn_t *ssl_conn = ctx;

    size_t           i, n;
    STACK_OF(X509)  *chain;

    if (SSL_get0_chain_certs(ssl_conn, &chain) == 0 || chain == NULL) {
        return 0;
    }

    n = ngx_min((size_t) sk_X509_num(chain), most);

    for (i = 0; i < n; i++) {
        to[i] = sk_X509_value(chain, (int) i);
    }

    return n;
}


/* OpenSSL owns what it has taken */

static size_t
ngx_ocsp_plus_set_responses(void *ctx, const op_response_t *responses, size_t n)
{
    ngx_ssl_conn_t *ssl_conn = ctx;

    size_t     i, first;
    ngx_int_t  rc;

    rc = n > 1 ? ngx_ocsp_plus_set_chain(ssl_conn, responses, n) : NGX_DECLINED;

    first = 0;

    if (rc != NGX_OK) {

        if (SSL_set_tlsext_status_ocsp_resp(ssl_conn, responses[0].der,
                                            responses[0].len)
            != 1)
        {
            return 0;
        }

        first = 1;
    }

    for (i = first; i < n; i++) {
        OPENSSL_free(responses[i].der);
    }

    return first ? 1 : n;
}


/* the responses stay the caller's: OpenSSL takes them parsed */

static ngx_int_t
ngx_ocsp_plus_set_chain(ngx_ssl_conn_t *ssl_conn,
    const op_response_t *responses, size_t n)
{
    size_t                i;
    OCSP_RESPONSE        *response;
    OPENSSL_STACK        *stack;
    const unsigned char  *p;

    stack = OPENSSL_sk_new_reserve(NULL, (int) n);
    if (stack == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {

        p = responses[i].der;

        response = d2i_OCSP_RESPONSE(NULL, &p, (long) responses[i].len);
        if (response == NULL) {
            goto failed;
        }

        /* there is room, so it cannot fail */

        (void) OPENSSL_sk_push(stack, response);
    }

    if (SSL_ctrl(ssl_conn, NGX_OCSP_PLUS_SET_RESPONSES, 0, stack) == 1) {
        return NGX_OK;
    }

failed:

    OPENSSL_sk_pop_free(stack, ngx_ocsp_plus_free_response);

    return NGX_ERROR;
}


static void
ngx_ocsp_plus_free_response(void *p)
{
    OCSP_RESPONSE_free(p);
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
