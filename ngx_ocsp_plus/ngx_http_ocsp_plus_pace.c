
/*
 * Schedules the status documents that a worker writes.  A turn of nginx's loop
 * writes one piece, however many documents there are, so handshakes and
 * requests wait for one piece at most.  The number of documents is bounded, and
 * a client that does not read its document loses its place to others.
 */


#include "ngx_http_ocsp_plus.h"


/* each has a buffer and takes time of the worker */
#define NGX_HTTP_OCSP_PLUS_DOCUMENTS  32

/*
 * A client that takes nothing for so long, in ms, may lose its place: longer
 * than the round trip to a client that reads, and short enough that clients
 * which ask again and again leave some of the places to others.
 */
#define NGX_HTTP_OCSP_PLUS_STALLED    250

/* bytes that the kernel keeps for a client, without those in flight */
#define NGX_HTTP_OCSP_PLUS_UNSENT     32768

/* in ms, see ngx_http_ocsp_plus_wait() */
#define NGX_HTTP_OCSP_PLUS_HOLD       1000

/* seconds between two warnings that there is no room */
#define NGX_HTTP_OCSP_PLUS_WARN       60


static ngx_int_t ngx_http_ocsp_plus_make_room(ngx_log_t *log);
static void ngx_http_ocsp_plus_keep_little(ngx_connection_t *c);
static void ngx_http_ocsp_plus_wait(void);
static void ngx_http_ocsp_plus_turn(ngx_event_t *ev);
static void ngx_http_ocsp_plus_pace_end(void *data);


/* this process's */

static ngx_queue_t  ngx_http_ocsp_plus_documents;   /* counted ones */
static ngx_queue_t  ngx_http_ocsp_plus_waiting;     /* for a turn */
static ngx_uint_t   ngx_http_ocsp_plus_ndocuments;
static ngx_event_t  ngx_http_ocsp_plus_turn_event;
static time_t       ngx_http_ocsp_plus_warned;

/* names the descriptor of the event's timer in the log */
static ngx_connection_t  ngx_http_ocsp_plus_no_connection;


/*
 * Adds a document, which is removed with its request.  A brief one is neither
 * counted nor refused.  NGX_BUSY: there are too many.
 */

ngx_int_t
ngx_http_ocsp_plus_pace_add(ngx_http_request_t *r,
    ngx_http_ocsp_plus_pace_t *pace, ngx_uint_t brief)
{
    ngx_pool_cleanup_t  *cln;

    if (ngx_http_ocsp_plus_turn_event.handler == NULL) {
        ngx_queue_init(&ngx_http_ocsp_plus_documents);
        ngx_queue_init(&ngx_http_ocsp_plus_waiting);
        ngx_http_ocsp_plus_no_connection.fd = (ngx_socket_t) -1;
        ngx_http_ocsp_plus_turn_event.data = &ngx_http_ocsp_plus_no_connection;
        ngx_http_ocsp_plus_turn_event.handler = ngx_http_ocsp_plus_turn;
    }

    if (!brief
        && ngx_http_ocsp_plus_ndocuments >= NGX_HTTP_OCSP_PLUS_DOCUMENTS
        && ngx_http_ocsp_plus_make_room(r->connection->log) != NGX_OK)
    {
        return NGX_BUSY;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_ocsp_plus_pace_end;
    cln->data = pace;

    pace->request = r;
    pace->brief = brief;
    pace->taken = ngx_current_msec;

    if (!brief) {
        ngx_queue_insert_tail(&ngx_http_ocsp_plus_documents, &pace->queue);
        ngx_http_ocsp_plus_ndocuments++;
        pace->counted = 1;

        ngx_http_ocsp_plus_keep_little(r->connection);
    }

    return NGX_OK;
}


/* the document's write event handler is called in its turn */

void
ngx_http_ocsp_plus_pace_next(ngx_http_ocsp_plus_pace_t *pace)
{
    pace->taken = ngx_current_msec;

    if (pace->waits) {
        return;
    }

    pace->waits = 1;

    if (pace->brief) {
        ngx_queue_insert_head(&ngx_http_ocsp_plus_waiting, &pace->waiting);

    } else {
        ngx_queue_insert_tail(&ngx_http_ocsp_plus_waiting, &pace->waiting);
    }

    ngx_http_ocsp_plus_wait();
}


/*
 * Posts the next turn.  A worker that shuts down exits once no timer is left,
 * whatever is posted, so a timer is set while a document waits; if it expires
 * a turn only comes earlier.
 */

static void
ngx_http_ocsp_plus_wait(void)
{
    ngx_event_t  *ev;

    ev = &ngx_http_ocsp_plus_turn_event;

    /* a reload changes it where one process is all there is */

    ev->log = ngx_cycle->log;

    ngx_post_event(ev, &ngx_posted_next_events);

    if (!ev->timer_set) {
        ngx_add_timer(ev, NGX_HTTP_OCSP_PLUS_HOLD);
    }
}


static void
ngx_http_ocsp_plus_turn(ngx_event_t *ev)
{
    ngx_queue_t                *q;
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_ocsp_plus_pace_t  *pace;

    if (ngx_queue_empty(&ngx_http_ocsp_plus_waiting)) {
        return;
    }

    q = ngx_queue_head(&ngx_http_ocsp_plus_waiting);
    pace = ngx_queue_data(q, ngx_http_ocsp_plus_pace_t, waiting);

    ngx_queue_remove(q);
    pace->waits = 0;

    if (!ngx_queue_empty(&ngx_http_ocsp_plus_waiting)) {
        ngx_http_ocsp_plus_wait();

    } else if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    r = pace->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_http_ocsp_plus_status_piece(r);

    ngx_http_run_posted_requests(c);
}


/*
 * Bounds what the kernel buffers: it takes megabytes for a client that reads
 * nothing, and a worker would have to write them.  Does nothing without TCP.
 */

static void
ngx_http_ocsp_plus_keep_little(ngx_connection_t *c)
{
#ifdef TCP_NOTSENT_LOWAT

    int  unsent;

    unsent = NGX_HTTP_OCSP_PLUS_UNSENT;

    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT,
                      (const void *) &unsent, sizeof(int));

#endif
}


/*
 * Ends the document whose client has taken nothing for longest, as nginx does
 * after "send_timeout", but only once another document needs the place.
 */

static ngx_int_t
ngx_http_ocsp_plus_make_room(ngx_log_t *log)
{
    ngx_queue_t                *q;
    ngx_event_t                *wev;
    ngx_msec_int_t              since, longest;
    ngx_http_ocsp_plus_pace_t  *pace, *stalled;

    stalled = NULL;
    longest = NGX_HTTP_OCSP_PLUS_STALLED - 1;

    for (q = ngx_queue_head(&ngx_http_ocsp_plus_documents);
         q != ngx_queue_sentinel(&ngx_http_ocsp_plus_documents);
         q = ngx_queue_next(q))
    {
        pace = ngx_queue_data(q, ngx_http_ocsp_plus_pace_t, queue);
        since = (ngx_msec_int_t) (ngx_current_msec - pace->taken);

        /* a subrequest has no client of its own */

        if (!pace->waits && since > longest
            && pace->request == pace->request->main)
        {
            longest = since;
            stalled = pace;
        }
    }

    if (stalled) {
        ngx_http_ocsp_plus_pace_leave(stalled);

        wev = stalled->request->connection->write;
        wev->timedout = 1;
        wev->delayed = 0;
        ngx_post_event(wev, &ngx_posted_events);

        return NGX_OK;
    }

    if (ngx_time() - ngx_http_ocsp_plus_warned >= NGX_HTTP_OCSP_PLUS_WARN) {
        ngx_http_ocsp_plus_warned = ngx_time();

        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "ocsp_plus: %d status documents are being written by "
                      "this worker, further requests get 503: restrict "
                      "access to \"ocsp_plus_status\"",
                      NGX_HTTP_OCSP_PLUS_DOCUMENTS);
    }

    return NGX_DECLINED;
}


/*
 * Frees the place of a document that is complete, even if its request lasts
 * (it waits for a body that was announced and does not come).
 */

void
ngx_http_ocsp_plus_pace_leave(ngx_http_ocsp_plus_pace_t *pace)
{
    if (pace->waits) {
        pace->waits = 0;
        ngx_queue_remove(&pace->waiting);

        if (ngx_queue_empty(&ngx_http_ocsp_plus_waiting)
            && ngx_http_ocsp_plus_turn_event.timer_set)
        {
            ngx_del_timer(&ngx_http_ocsp_plus_turn_event);
        }
    }

    if (pace->counted) {
        pace->counted = 0;
        ngx_queue_remove(&pace->queue);
        ngx_http_ocsp_plus_ndocuments--;
    }
}


static void
ngx_http_ocsp_plus_pace_end(void *data)
{
    ngx_http_ocsp_plus_pace_leave(data);
}
