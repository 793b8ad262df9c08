
/*
 * "ocsp_plus_status": a status document, which the core writes piece by piece.
 * Any worker answers from the zone; between two pieces it serves its other
 * connections (ngx_http_ocsp_plus_pace.c), and it continues when the client has
 * taken what was sent.
 */


#include "ngx_http_ocsp_plus.h"


#define NGX_HTTP_OCSP_PLUS_PIECE  32768


typedef struct {
    op_document_t              *document;
    ngx_buf_t                  *buf;
    ngx_chain_t                *free;
    ngx_chain_t                *busy;
    ngx_http_ocsp_plus_pace_t  pace;
} ngx_http_ocsp_plus_status_ctx_t;


static ngx_int_t ngx_http_ocsp_plus_status_handler(ngx_http_request_t *r);
static void ngx_http_ocsp_plus_status_end(void *data);
static void ngx_http_ocsp_plus_status_write(ngx_http_request_t *r);
static ngx_int_t ngx_http_ocsp_plus_status_send(ngx_http_request_t *r,
    ngx_http_ocsp_plus_status_ctx_t *ctx);
static ngx_int_t ngx_http_ocsp_plus_status_wait(ngx_http_request_t *r);
static ngx_int_t ngx_http_ocsp_plus_send_header(ngx_http_request_t *r,
    op_document_t *document);


static ngx_conf_enum_t  ngx_http_ocsp_plus_formats[] = {
    { ngx_string("html"), OP_FORMAT_HTML },
    { ngx_string("json"), OP_FORMAT_JSON },
    { ngx_string("prometheus"), OP_FORMAT_PROMETHEUS },
    { ngx_string("ready"), OP_FORMAT_READY },
    { ngx_null_string, 0 }
};


char *
ngx_http_ocsp_plus_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ocsp_plus_loc_conf_t *olcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_ocsp_plus_status_handler) {
        return "is duplicate";
    }

    if (cf->args->nelts == 2
        && ngx_ocsp_plus_choose(cf, cmd, ngx_http_ocsp_plus_formats,
                                     &olcf->format)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    olcf->directive = "ocsp_plus_status";
    olcf->file = cf->conf_file->file.name.data;
    olcf->line = cf->conf_file->line;

    clcf->handler = ngx_http_ocsp_plus_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_ocsp_plus_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_str_t                         control;
    ngx_table_elt_t                  *h;
    op_document_head_t                head;
    ngx_pool_cleanup_t               *cln;
    ngx_ocsp_plus_conf_t             *ocf;
    op_document_request_t             request;
    ngx_http_ocsp_plus_loc_conf_t    *olcf;
    ngx_http_ocsp_plus_status_ctx_t  *ctx;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ocsp_plus_module);
    ocf = ngx_http_get_module_main_conf(r, ngx_http_ocsp_plus_module);

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_ocsp_plus_status_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memzero(&request, sizeof(op_document_request_t));

    control = ngx_http_ocsp_plus_control_path(r);

    request.format = olcf->format;
    request.args = ngx_ocsp_plus_str(&r->args);
    request.control = ngx_ocsp_plus_str(&control);
    request.now_s = ngx_time();
    request.monotonic_ms = (int64_t) ngx_current_msec;

    h = ngx_http_ocsp_plus_header(r, "accept", 0);

    if (h) {
        request.accept = ngx_ocsp_plus_str(&h->value);
    }

    ctx->document = op_document_begin(ocf->config, &request);
    if (ctx->document == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_ocsp_plus_status_end;
    cln->data = ctx->document;

    op_document_head(ctx->document, &head);

    rc = ngx_http_ocsp_plus_pace_add(r, &ctx->pace, head.brief);

    if (rc == NGX_BUSY) {

        if (ngx_http_ocsp_plus_add_header(r, "Retry-After", "1", 1)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->buf = ngx_create_temp_buf(r->pool, NGX_HTTP_OCSP_PLUS_PIECE);
    if (ctx->buf == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_ocsp_plus_module);

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_ocsp_plus_status_write;

    r->main->count++;

    ngx_http_ocsp_plus_pace_next(&ctx->pace);

    return NGX_DONE;
}


static void
ngx_http_ocsp_plus_status_end(void *data)
{
    op_document_end(data);
}


/* write event handler: the client can take more */

static void
ngx_http_ocsp_plus_status_write(ngx_http_request_t *r)
{
    off_t                             sent;
    ngx_event_t                      *wev;
    ngx_chain_t                      *out;
    ngx_connection_t                 *c;
    ngx_http_ocsp_plus_status_ctx_t  *ctx;

    c = r->connection;
    wev = c->write;

    ctx = ngx_http_get_module_ctx(r, ngx_http_ocsp_plus_module);

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;
        ngx_http_ocsp_plus_pace_leave(&ctx->pace);
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (ctx->busy && !wev->delayed) {

        sent = c->sent;

        if (ngx_http_output_filter(r, NULL) == NGX_ERROR) {
            ngx_http_finalize_request(r, NGX_ERROR);
            return;
        }

        if (c->sent != sent) {
            ctx->pace.taken = ngx_current_msec;
        }

        out = NULL;

        ngx_chain_update_chains(r->pool, &ctx->free, &ctx->busy, &out,
                                (ngx_buf_tag_t) &ngx_http_ocsp_plus_module);
    }

    if (ctx->busy) {

        if (ngx_http_ocsp_plus_status_wait(r) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    ngx_http_ocsp_plus_pace_next(&ctx->pace);
}


/* called when the document has its turn */

void
ngx_http_ocsp_plus_status_piece(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_event_t                      *wev;
    ngx_http_ocsp_plus_status_ctx_t  *ctx;

    wev = r->connection->write;

    if (wev->timer_set && !wev->delayed) {
        ngx_del_timer(wev);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_ocsp_plus_module);

    rc = ngx_http_ocsp_plus_status_send(r, ctx);

    if (rc != NGX_AGAIN) {
        ngx_http_ocsp_plus_pace_leave(&ctx->pace);
        ngx_http_finalize_request(r, rc);
        return;
    }

    if (!ctx->busy) {
        ngx_http_ocsp_plus_pace_next(&ctx->pace);
        return;
    }

    if (ngx_http_ocsp_plus_status_wait(r) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


/* NGX_AGAIN: more follows; else the code to finalize the request with */

static ngx_int_t
ngx_http_ocsp_plus_status_send(ngx_http_request_t *r,
    ngx_http_ocsp_plus_status_ctx_t *ctx)
{
    size_t                len;
    ngx_int_t             rc;
    ngx_buf_t            *b;
    ngx_chain_t          *out;
    op_document_state_t   state;

    b = ctx->buf;
    b->pos = b->start;

    state = op_document_next(ctx->document, b->start, b->end - b->start, &len);

    b->last = b->start + len;

    if (state == OP_DOCUMENT_WORKING) {
        return NGX_AGAIN;
    }

    if (state == OP_DOCUMENT_FAILED) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "ocsp_plus: no memory for the status");

        return r->header_sent ? NGX_ERROR : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!r->header_sent) {
        rc = ngx_http_ocsp_plus_send_header(r, ctx->document);

        if (rc == NGX_ERROR || rc > NGX_OK) {
            return rc;
        }

        if (r->header_only) {
            return NGX_OK;
        }
    }

    out = ctx->free;

    if (out) {
        ctx->free = NULL;

    } else {
        out = ngx_alloc_chain_link(r->pool);
        if (out == NULL) {
            return NGX_ERROR;
        }
    }

    b->tag = (ngx_buf_tag_t) &ngx_http_ocsp_plus_module;
    b->temporary = 1;
    b->flush = 1;

    if (state == OP_DOCUMENT_DONE) {
        b->last_buf = (r == r->main);
        b->last_in_chain = 1;

        if (len == 0) {
            b->temporary = 0;
        }
    }

    out->buf = b;
    out->next = NULL;

    rc = ngx_http_output_filter(r, out);

    if (rc == NGX_ERROR) {
        return rc;
    }

    if (state == OP_DOCUMENT_DONE) {

        /* nginx sends what the client has not taken yet */

        return NGX_OK;
    }

    ngx_chain_update_chains(r->pool, &ctx->free, &ctx->busy, &out,
                            (ngx_buf_tag_t) &ngx_http_ocsp_plus_module);

    return NGX_AGAIN;
}


/* waits until the client has taken what was sent */

static ngx_int_t
ngx_http_ocsp_plus_status_wait(ngx_http_request_t *r)
{
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;

    clcf = ngx_http_get_module_loc_conf(r->main, ngx_http_core_module);

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    return ngx_handle_write_event(wev, clcf->send_lowat);
}


static ngx_int_t
ngx_http_ocsp_plus_send_header(ngx_http_request_t *r, op_document_t *document)
{
    u_char              *p;
    op_document_head_t   head;

    op_document_head(document, &head);

    r->headers_out.status = head.status;
    r->headers_out.content_type.data = (u_char *) head.content_type.data;
    r->headers_out.content_type.len = head.content_type.len;

    p = ngx_strlchr(r->headers_out.content_type.data,
                    r->headers_out.content_type.data
                    + r->headers_out.content_type.len, ';');

    r->headers_out.content_type_len = p
                            ? (size_t) (p - r->headers_out.content_type.data)
                            : r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_http_ocsp_plus_add_header(r, "Cache-Control", "no-store",
                                      sizeof("no-store") - 1)
        != NGX_OK
        || ngx_http_ocsp_plus_add_header(r, "X-Content-Type-Options",
                                         "nosniff", sizeof("nosniff") - 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (head.varies
        && ngx_http_ocsp_plus_add_header(r, "Vary", "Accept",
                                         sizeof("Accept") - 1)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (head.content_security_policy.len
        && (ngx_http_ocsp_plus_add_header(r, "Content-Security-Policy",
                                          head.content_security_policy.data,
                                          head.content_security_policy.len)
            != NGX_OK
            || ngx_http_ocsp_plus_add_header(r, "Referrer-Policy",
                                             "no-referrer",
                                             sizeof("no-referrer") - 1)
               != NGX_OK))
    {
        return NGX_ERROR;
    }

    return ngx_http_send_header(r);
}
