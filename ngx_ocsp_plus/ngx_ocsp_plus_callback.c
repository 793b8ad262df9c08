
/*
 * The status callback of a server's SSL_CTX, and how it stays ours.
 *
 * Other modules replace it while nginx runs: Lua's
 * ngx.ocsp.set_ocsp_status_resp() leaves its own in the SSL_CTX.  OpenSSL does
 * not notify us, so the shim checks for ours
 *
 *   - in each full handshake, by the callback that OpenSSL calls between the
 *     certificate callback, which is where such modules run, and the status
 *     callback: the one that may forbid resumption, which never does here;
 *   - every second, in case a module has replaced that one, too.
 *
 * ngx_ocsp_plus_enforce() finds a handshake that both have missed.
 */


#include "ngx_ocsp_plus.h"


#define NGX_OCSP_PLUS_TICK          1000  /* ms */
#define NGX_OCSP_PLUS_TICK_SERVERS  1024  /* checked per tick */
#define NGX_OCSP_PLUS_LOG_AGAIN     3600  /* s, for one server */


static int ngx_ocsp_plus_before_status(ngx_ssl_conn_t *ssl_conn,
    int is_forward_secure);
static void ngx_ocsp_plus_restore(ngx_ocsp_plus_ctx_t *ctx);
static void ngx_ocsp_plus_tick(void *data);


/* ex data index of SSL_CTX: its ngx_ocsp_plus_ctx_t */

static int             ngx_ocsp_plus_ctx_index = -1;

static op_host_ops_t   ngx_ocsp_plus_tick_host;
static void           *ngx_ocsp_plus_tick_timer;
static ngx_uint_t      ngx_ocsp_plus_tick_next;


ngx_int_t
ngx_ocsp_plus_set_callback(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_ctx_t *ctx)
{
    ngx_ocsp_plus_ctx_t  **watched;

    if (ngx_ocsp_plus_ctx_index == -1) {
        ngx_ocsp_plus_ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL,
                                                           NULL, NULL);

        if (ngx_ocsp_plus_ctx_index == -1) {
            ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                          "SSL_CTX_get_ex_new_index() failed");
            return NGX_ERROR;
        }
    }

    if (SSL_CTX_set_ex_data(ctx->ssl, ngx_ocsp_plus_ctx_index, ctx) == 0) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "SSL_CTX_set_ex_data() failed");
        return NGX_ERROR;
    }

    watched = ngx_array_push(&ocf->watched);
    if (watched == NULL) {
        return NGX_ERROR;
    }

    *watched = ctx;

    SSL_CTX_set_tlsext_status_cb(ctx->ssl, ngx_ocsp_plus_status_callback);

    ngx_ocsp_plus_watch(ctx->ssl);

    return NGX_OK;
}


/*
 * A connection has the callbacks of the server that it came to, not of the one
 * that the client names, so servers with "ocsp_plus off" need them, too.
 */

void
ngx_ocsp_plus_watch(SSL_CTX *ssl)
{
    if (ssl) {
        SSL_CTX_set_not_resumable_session_callback(ssl,
                                                ngx_ocsp_plus_before_status);
    }
}


/*
 * Returns the context of the server that the client has named; NULL if its
 * "ocsp_plus" is off.  The callback's argument may be another module's.
 */

ngx_ocsp_plus_ctx_t *
ngx_ocsp_plus_ctx(ngx_ssl_conn_t *ssl_conn)
{
    if (ngx_ocsp_plus_ctx_index == -1) {
        return NULL;
    }

    return SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl_conn),
                               ngx_ocsp_plus_ctx_index);
}


/* OpenSSL does not call it for a resumed session, which gets no status */

static int
ngx_ocsp_plus_before_status(ngx_ssl_conn_t *ssl_conn, int is_forward_secure)
{
    ngx_ocsp_plus_ctx_t  *ctx;

    ctx = ngx_ocsp_plus_ctx(ssl_conn);

    if (ctx) {
        ngx_ocsp_plus_restore(ctx);
    }

    /* the session may be resumed */

    return 0;
}


static void
ngx_ocsp_plus_restore(ngx_ocsp_plus_ctx_t *ctx)
{
    time_t    now;
    int     (*callback)(SSL *, void *);

    callback = NULL;

    SSL_CTX_get_tlsext_status_cb(ctx->ssl, &callback);

    if (callback == ngx_ocsp_plus_status_callback) {
        return;
    }

    SSL_CTX_set_tlsext_status_cb(ctx->ssl, ngx_ocsp_plus_status_callback);

    op_count_replaced(ctx->server, (uint32_t) ngx_worker);

    now = ngx_time();
    ctx->replaced++;

    if (ctx->logged && now >= ctx->logged
        && now - ctx->logged < NGX_OCSP_PLUS_LOG_AGAIN)
    {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "ocsp_plus: another module has replaced the status "
                  "callback of a server, ours was restored: server=\"%V\" "
                  "replaced=%ui", &ctx->name, ctx->replaced);

    ctx->logged = now;
    ctx->replaced = 0;
}


void
ngx_ocsp_plus_tick_start(void)
{
    ngx_ocsp_plus_host(&ngx_ocsp_plus_tick_host);

    ngx_ocsp_plus_tick_timer = ngx_ocsp_plus_tick_host.timer_add(
                      ngx_ocsp_plus_tick_host.ctx, ngx_ocsp_plus_tick, NULL);

    if (ngx_ocsp_plus_tick_timer) {
        ngx_ocsp_plus_tick_host.timer_set(ngx_ocsp_plus_tick_host.ctx,
                                          ngx_ocsp_plus_tick_timer,
                                          NGX_OCSP_PLUS_TICK);
    }
}


void
ngx_ocsp_plus_tick_stop(void)
{
    if (ngx_ocsp_plus_tick_timer) {
        ngx_ocsp_plus_tick_host.timer_del(ngx_ocsp_plus_tick_host.ctx,
                                          ngx_ocsp_plus_tick_timer);
        ngx_ocsp_plus_tick_timer = NULL;
    }
}


/*
 * Takes the servers from the running cycle: with "master_process off" a reload
 * replaces it while the timer runs.
 */

static void
ngx_ocsp_plus_tick(void *data)
{
    ngx_uint_t             i;
    ngx_ocsp_plus_ctx_t  **watched;
    ngx_ocsp_plus_conf_t  *ocf;

    ocf = (ngx_ocsp_plus_conf_t *) ngx_get_conf(ngx_cycle->conf_ctx,
                                                ngx_ocsp_plus_module);

    if (ocf) {
        watched = ocf->watched.elts;

        for (i = 0;
             i < ocf->watched.nelts && i < NGX_OCSP_PLUS_TICK_SERVERS;
             i++)
        {
            ngx_ocsp_plus_tick_next++;
            ngx_ocsp_plus_restore(watched[ngx_ocsp_plus_tick_next
                                          % ocf->watched.nelts]);
        }
    }

    ngx_ocsp_plus_tick_host.timer_set(ngx_ocsp_plus_tick_host.ctx,
                                      ngx_ocsp_plus_tick_timer,
                                      NGX_OCSP_PLUS_TICK);
}
