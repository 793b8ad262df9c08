
/*
 * Implements op_host_ops_t on nginx's event loop: descriptors, timers, clocks
 * and the log.
 *
 * Nothing here delays a graceful shutdown: timers are cancelable, and sockets
 * are idle connections, which nginx closes when the worker shuts down.
 */


#include "ngx_ocsp_plus.h"


typedef struct {
    ngx_connection_t   *connection;
    ngx_uint_t          interest;
    void              (*callback)(void *data, unsigned ready);
    void               *data;
} ngx_ocsp_plus_io_t;


typedef struct {
    ngx_event_t         event;
    void               *ident[4];    /* nginx's debug log takes it for a
                                        connection: its fd is ident[3] */
    void              (*callback)(void *data);
    void               *data;
} ngx_ocsp_plus_timer_t;


static void *ngx_ocsp_plus_io_add(void *ctx, int fd,
    void (*callback)(void *data, unsigned ready), void *data);
static int ngx_ocsp_plus_io_set(void *ctx, void *io, unsigned interest);
static void ngx_ocsp_plus_io_del(void *ctx, void *io);
static void ngx_ocsp_plus_io_handler(ngx_event_t *ev);
static ngx_int_t ngx_ocsp_plus_io_watch(ngx_event_t *ev, ngx_int_t event,
    ngx_uint_t wanted);
static void *ngx_ocsp_plus_timer_add(void *ctx, void (*callback)(void *data),
    void *data);
static void ngx_ocsp_plus_timer_set(void *ctx, void *timer, int64_t after);
static void ngx_ocsp_plus_timer_del(void *ctx, void *timer);
static void ngx_ocsp_plus_timer_handler(ngx_event_t *ev);
static void ngx_ocsp_plus_leave(void);
static int64_t ngx_ocsp_plus_now(void *ctx);
static int64_t ngx_ocsp_plus_monotonic(void *ctx);
static int ngx_ocsp_plus_log_enabled(void *ctx, int level);
static void ngx_ocsp_plus_log_write(void *ctx, int level, const char *line,
    size_t len);


void
ngx_ocsp_plus_host(op_host_ops_t *host)
{
    ngx_memzero(host, sizeof(op_host_ops_t));

    host->io_add = ngx_ocsp_plus_io_add;
    host->io_set = ngx_ocsp_plus_io_set;
    host->io_del = ngx_ocsp_plus_io_del;
    host->timer_add = ngx_ocsp_plus_timer_add;
    host->timer_set = ngx_ocsp_plus_timer_set;
    host->timer_del = ngx_ocsp_plus_timer_del;
    host->now_s = ngx_ocsp_plus_now;
    host->monotonic_ms = ngx_ocsp_plus_monotonic;

    ngx_ocsp_plus_log(&host->log, NULL);
}


void
ngx_ocsp_plus_log(op_log_ops_t *ops, ngx_log_t *log)
{
    ops->ctx = log;
    ops->log_enabled = ngx_ocsp_plus_log_enabled;
    ops->log_write = ngx_ocsp_plus_log_write;
}


static void *
ngx_ocsp_plus_io_add(void *ctx, int fd,
    void (*callback)(void *data, unsigned ready), void *data)
{
    ngx_connection_t    *c;
    ngx_ocsp_plus_io_t  *io;

    io = ngx_calloc(sizeof(ngx_ocsp_plus_io_t), ngx_cycle->log);
    if (io == NULL) {
        return NULL;
    }

    c = ngx_get_connection(fd, ngx_cycle->log);
    if (c == NULL) {
        ngx_free(io);
        return NULL;
    }

    c->data = io;
    c->idle = 1;

    c->read->handler = ngx_ocsp_plus_io_handler;
    c->read->log = ngx_cycle->log;
    c->write->handler = ngx_ocsp_plus_io_handler;
    c->write->log = ngx_cycle->log;

    io->connection = c;
    io->callback = callback;
    io->data = data;

    return io;
}


static int
ngx_ocsp_plus_io_set(void *ctx, void *data, unsigned interest)
{
    ngx_ocsp_plus_io_t  *io = data;

    io->interest = interest;

    return ngx_ocsp_plus_io_watch(io->connection->read, NGX_READ_EVENT,
                                  interest & OP_IO_READ)
           == NGX_OK
           && ngx_ocsp_plus_io_watch(io->connection->write, NGX_WRITE_EVENT,
                                     interest & OP_IO_WRITE)
              == NGX_OK;
}


/* level-triggered, unlike nginx's own connections: c-ares expects it */

static ngx_int_t
ngx_ocsp_plus_io_watch(ngx_event_t *ev, ngx_int_t event, ngx_uint_t wanted)
{
    if (wanted && !ev->active) {
        return ngx_add_event(ev, event, NGX_LEVEL_EVENT);
    }

    if (!wanted && ev->active) {
        return ngx_del_event(ev, event, 0);
    }

    return NGX_OK;
}


static void
ngx_ocsp_plus_io_del(void *ctx, void *data)
{
    ngx_ocsp_plus_io_t  *io = data;

    ngx_connection_t  *c;

    c = io->connection;

    (void) ngx_ocsp_plus_io_set(ctx, io, 0);

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    /* the descriptor stays open, its owner closes it */

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;

    ngx_free(io);
}


static void
ngx_ocsp_plus_io_handler(ngx_event_t *ev)
{
    unsigned             ready;
    ngx_connection_t    *c;
    ngx_ocsp_plus_io_t  *io;

    c = ev->data;

    if (c->close) {

        /* nginx closes its idle connections: the worker leaves */

        ngx_ocsp_plus_leave();
        return;
    }

    io = c->data;
    ready = ev->write ? OP_IO_WRITE : OP_IO_READ;

    if (io->interest & ready) {
        io->callback(io->data, ready);
    }
}


static void *
ngx_ocsp_plus_timer_add(void *ctx, void (*callback)(void *data), void *data)
{
    ngx_ocsp_plus_timer_t  *timer;

    timer = ngx_calloc(sizeof(ngx_ocsp_plus_timer_t), ngx_cycle->log);
    if (timer == NULL) {
        return NULL;
    }

    timer->ident[3] = (void *) -1;
    timer->callback = callback;
    timer->data = data;

    timer->event.handler = ngx_ocsp_plus_timer_handler;
    timer->event.data = timer->ident;
    timer->event.log = ngx_cycle->log;
    timer->event.cancelable = 1;

    return timer;
}


static void
ngx_ocsp_plus_timer_set(void *ctx, void *data, int64_t after)
{
    ngx_ocsp_plus_timer_t  *timer = data;

    ngx_event_t  *ev;

    ev = &timer->event;

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }

    if (after > 0) {
        ngx_add_timer(ev, (ngx_msec_t) ngx_min(after, NGX_MAX_INT32_VALUE));

    } else if (after == 0) {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}


static void
ngx_ocsp_plus_timer_del(void *ctx, void *timer)
{
    ngx_ocsp_plus_timer_set(ctx, timer, -1);
    ngx_free(timer);
}


static void
ngx_ocsp_plus_timer_handler(ngx_event_t *ev)
{
    ngx_ocsp_plus_timer_t  *timer;

    if (ngx_exiting || ngx_terminate) {
        ngx_ocsp_plus_leave();
        return;
    }

    timer = (ngx_ocsp_plus_timer_t *)
                ((u_char *) ev - offsetof(ngx_ocsp_plus_timer_t, event));

    timer->callback(timer->data);
}


static void
ngx_ocsp_plus_leave(void)
{
    if (ngx_ocsp_plus_worker) {
        op_worker_retire(ngx_ocsp_plus_worker);
    }
}


static int64_t
ngx_ocsp_plus_now(void *ctx)
{
    return ngx_time();
}


static int64_t
ngx_ocsp_plus_monotonic(void *ctx)
{
    return (int64_t) ngx_current_msec;
}


/* a given log, else that of the current cycle, which a reload replaces */

static int
ngx_ocsp_plus_log_enabled(void *ctx, int level)
{
    ngx_log_t  *log;

    log = ctx ? ctx : ngx_cycle->log;

    if (level == NGX_LOG_DEBUG) {
        return (log->log_level & NGX_LOG_DEBUG_EVENT) != 0;
    }

    return log->log_level >= (ngx_uint_t) level;
}


static void
ngx_ocsp_plus_log_write(void *ctx, int level, const char *line, size_t len)
{
    ngx_log_t  *log;

    log = ctx ? ctx : ngx_cycle->log;

    if (log == ctx) {

        /* no event loop updates the time here */

        ngx_time_update();
    }

    ngx_log_error((ngx_uint_t) level, log, 0, "%*s", len, line);
}
