/*
 * The C ABI of ocsp_plus: the core's interface to the nginx modules or any other server. Compiles as C and C++.
 *
 * Life of the objects: one op_config_t for each configuration, filled in the master with one op_server_t for each server;
 * op_config_findings() once it is complete; op_config_open_zone() before the workers are forked; then in each worker one
 * op_worker_t, and op_staple() in the handshake.
 *
 * No exception leaves these functions and none of them blocks. Strings are not terminated: pointer and length.
 * Everything passed in is borrowed for the call unless said otherwise. Nothing may be used by two threads.
 */
#ifndef OCSP_PLUS_H
#define OCSP_PLUS_H

#include <stddef.h>
#include <stdint.h>

#include "ocsp_plus/defaults.h"

#ifdef __cplusplus
extern "C" {
#endif

struct x509_st; /* OpenSSL's X509 */

typedef struct op_config_s op_config_t;
typedef struct op_server_s op_server_t;
typedef struct op_worker_s op_worker_t;

typedef enum {
    OP_OK = 0,
    OP_ERROR = 1,     /* op_error_t says what and what to do */
    OP_BUSY = 2,      /* the zone's lock is taken: try again */
    OP_TOO_SMALL = 3, /* the zone is too small: op_zone_size() returns the size needed */
    OP_UNFIT = 4      /* this OpenSSL must not staple: op_error_t says why */
} op_status_t;

/* A text for people: terminated, safe to print. */
typedef struct {
    char    text[512];
} op_text_t;

typedef op_text_t op_error_t; /* the fault, and what to do about it */

typedef struct {
    const char  *data;
    size_t       len;
} op_str_t;

/* --- configuration ------------------------------------------------------------------------------------------- */

/*
 * Checks that this process has one OpenSSL, of the version we were built for. Call it first: after OP_ERROR anything else
 * would crash. OP_UNFIT: all works, but this OpenSSL must not staple.
 */
op_status_t op_openssl_check(op_error_t *error);

/* NULL: out of memory. */
op_config_t *op_config_create(void);
void op_config_destroy(op_config_t *config);

/* The store that nodes share (ocsp_plus_share). Empty strings: not given. */
typedef struct {
    const op_str_t         *places; /* "redis://", "rediss://" or "unix:" (net/redis_place.h) */
    size_t                  nplaces; /* 0: nothing is shared */
    op_str_t                sentinel; /* the places are sentinels that know the server by this name */
    op_str_t                prefix;
    op_str_t                user;
    op_str_t                password; /* no error shows it */
    int64_t                 timeout_ms; /* 0: not given */
    struct x509_st *const  *trusted; /* for places with TLS; none: the system's */
    size_t                  ntrusted;
    op_str_t                certificate; /* PEM, with its chain; shown to servers that ask for one */
    op_str_t                key; /* PEM; no error shows it */
} op_share_t;

typedef struct {
    const op_str_t  *resolvers; /* "address[:port]"; none: the system's */
    size_t           nresolvers;
    int              ipv4; /* 0 or 1 */
    int              ipv6;
    int64_t          resolver_timeout_ms;
    int64_t          resolver_valid_s;
    int64_t          timeout_ms;
    size_t           concurrency;
    int64_t          retry_min_s;
    int64_t          retry_max_s;
    size_t           max_response; /* bytes */
    op_str_t         proxy; /* "http://[user:password@]host[:port]"; empty: none */
    int              certid_auto; /* 0 or 1: SHA-256 where a responder refuses SHA-1 */
    int              issuer_fetch; /* 0 or 1: fetch missing issuers from the certificates' caIssuers URLs */
    op_str_t         cache; /* path of the cache directory; empty: none */
    op_share_t       share;
    op_str_t         zone_name; /* for people */
} op_settings_t;

void op_settings_defaults(op_settings_t *settings);

/* Copies the settings. OP_ERROR names a resolver that is no address. */
op_status_t op_config_set(op_config_t *config, const op_settings_t *settings, op_error_t *error);

typedef enum {
    OP_VALUE_ADDRESS = 0,  /* address of a DNS server: an IP address with an optional port */
    OP_VALUE_URL = 1,      /* URL of a responder */
    OP_VALUE_PROXY = 2,    /* URL of a proxy; its error shows neither user nor password, nor do the next two */
    OP_VALUE_PLACE = 3,    /* place of the shared store */
    OP_VALUE_SENTINEL = 4, /* place of a sentinel that knows the store */
    OP_VALUE_PREFIX = 5    /* prefix of the store's keys */
} op_value_t;

/* Checks a directive's value. OP_ERROR: it cannot be used. */
op_status_t op_config_check(op_value_t kind, op_str_t text, op_error_t *error);

/* Handshakes without a staple that the server refuses. */
typedef enum {
    OP_REQUIRE_OFF = 0,
    OP_REQUIRE_MUST_STAPLE = 1, /* those with a certificate that has the TLS feature extension */
    OP_REQUIRE_ON = 2
} op_require_t;

/* A server's directives. What it points to stays unchanged until the server's last op_server_add(). */
typedef struct {
    op_str_t                place; /* the server's place in the configuration, for people: "file:line" */
    const op_str_t         *names;
    size_t                  nnames;
    const op_str_t         *responders; /* none: each certificate's own */
    size_t                  nresponders;
    struct x509_st *const  *trusted; /* issuers, in order of preference */
    size_t                  ntrusted;
    struct x509_st *const  *responder_anchors; /* trust anchors for https responders; none: the system's */
    size_t                  nresponder_anchors;
    const op_str_t         *files; /* paths of responses made elsewhere, DER or PEM */
    size_t                  nfiles;
    op_require_t            require;
    int64_t                 refresh_s; /* its certificates' responders are asked at least so often; 0: auto */
    int                     omit_revoked; /* 0 or 1: a response that says revoked is not stapled */
    int                     chain; /* 0 or 1: certificates sent after a configured one are stapled too, where they can be */
    int                     loads; /* 1: it loads certificates per connection; 0: unknown, another module may set some */
    int                     preload; /* 1: no server, but certificates that servers will load per connection */
} op_server_directives_t;

/* Adds a server, which lives as long as the config. NULL: a responder cannot be used, or memory is out. */
op_server_t *op_server_create(op_config_t *config, const op_server_directives_t *directives, op_error_t *error);

/*
 * Adds one of the server's certificates. `leaf` keeps its address as long as the config lives. `chain` is sent with it
 * and searched for its issuer after `trusted`; `file` is its path, for people. OP_ERROR: memory is out; nothing in the
 * certificate is an error.
 */
op_status_t op_server_add(op_server_t *server, struct x509_st *leaf, struct x509_st *const *chain, size_t nchain,
                          op_str_t file, op_error_t *error);

/* Receives log lines. Levels are nginx's: 1 emerg, 3 crit … 8 debug. */
typedef struct {
    void     *ctx;
    int     (*log_enabled)(void *ctx, int level);
    void    (*log_write)(void *ctx, int level, const char *line, size_t len);
} op_log_ops_t;

/*
 * Logs what the operator should know of the configuration. Call it once all servers and the settings are complete.
 * OP_ERROR: the configuration must not come into force; the last line says why or, if memory is out, `error` does, which
 * is empty otherwise.
 */
op_status_t op_config_findings(op_config_t *config, const op_log_ops_t *log, op_error_t *error);

/* --- the cache directory ------------------------------------------------------------------------------------- */

/* The worker user, who reads and writes the directory. */
typedef struct {
    uint32_t  uid;
    uint32_t  gid;
    int       prepared; /* 1: the master is root and calls op_cache_prepare(); 0: the master is this user */
} op_cache_user_t;

/*
 * Creates a missing directory, and with `prepared` hands it to the user unless it holds something of root's. Call it in
 * the master: it opens and changes nothing inside the directory. OP_ERROR is worth a notice only: whoever uses a useless
 * directory reports it. Waits for the disk.
 */
op_status_t op_cache_prepare(const op_config_t *config, const op_cache_user_t *user, op_error_t *error);

typedef enum {
    OP_CACHE_FINE = 0, /* usable, or no directory is configured */
    OP_CACHE_UNUSABLE = 1, /* nothing can be kept: the text says why and what to do */
    OP_CACHE_ON_NETWORK = 2 /* on a network file system: the text names directory and kind */
} op_cache_state_t;

/* Returns what the user will find after op_cache_prepare(). Changes nothing. Waits for the disk. */
op_cache_state_t op_cache_check(const op_config_t *config, const op_cache_user_t *user, op_text_t *text);

/* --- the inventory: under `nginx -t`, for `ocsp-plus plan` ------------------------------------------------------ */

/* Keeps what is added from now on for op_config_inventory(). Call it right after op_config_create(). */
op_status_t op_config_record(op_config_t *config, op_error_t *error);

/* Facts that nginx knows of itself. */
typedef struct {
    op_str_t         version; /* nginx's */
    op_str_t         user_name; /* the worker user's; empty: nginx does not change its user */
    op_cache_user_t  user;
} op_origin_t;

/*
 * Tells where a server expects TLS: "address:port", for the inventory. proxied: after a header of the PROXY protocol.
 * Does nothing if nothing is recorded.
 */
op_status_t op_server_listens(op_server_t *server, op_str_t address, int proxied, op_error_t *error);

/*
 * Writes what the configuration names to a descriptor, as a document (admin/inventory.h) without keys and passwords; waits
 * for whoever reads it. OP_ERROR: it was not written whole, or nothing was recorded.
 */
op_status_t op_config_inventory(const op_config_t *config, const op_origin_t *origin, int fd, op_error_t *error);

/* --- the shared zone ----------------------------------------------------------------------------------------- */

typedef struct {
    size_t  needed; /* minimum in bytes; 0: nothing needs a zone */
    size_t  suggested;
    size_t  certificates;
    int     loads; /* some server loads certificates per connection */
} op_zone_size_t;

void op_zone_size(const op_config_t *config, op_zone_size_t *size);

/* The lock of the shared memory. */
typedef struct {
    void  *ctx;
    int  (*trylock)(void *ctx); /* 1: taken; must not wait */
    void (*unlock)(void *ctx);
} op_lock_ops_t;

/*
 * Adopts the zone that an earlier configuration left at `base`, or formats a new one, and registers the configuration's
 * certificates in it. `old_base` (may be NULL): a zone of another size that this one replaces; only op_start() reads it,
 * and it stays mapped until that returns. `fresh`: the memory comes straight from the kernel, so it is zero already and
 * its pages need not be touched. Call it in the master, before fork; the memory outlives `config` and all its workers.
 */
op_status_t op_config_open_zone(op_config_t *config, void *base, size_t size, int fresh,
                                       const void *old_base, size_t old_size, const op_lock_ops_t *lock,
                                       int64_t monotonic_ms, op_error_t *error);

/* --- the handshake ------------------------------------------------------------------------------------------- */

/* The outcome of a handshake that asks for a status. */
typedef enum {
    OP_STAPLED = 0, /* our response: the connection has it */
    OP_NO_STAPLE = 1,
    OP_FOREIGN = 2, /* another module's response stays */
    OP_REFUSED = 3
} op_outcome_t;

/* A response for a connection, in memory of its allocate(). */
typedef struct {
    unsigned char  *der;
    size_t          len;
} op_response_t;

#define OP_MAX_STAPLES 9 /* most staples of a connection: the leaf's, and those of certificates after it */

/* The connection of a handshake; used during the call only. */
typedef struct {
    size_t   (*chain)(void *ctx, struct x509_st **to, size_t most); /* writes certificates beside the leaf; their number */
    /*
     * Takes the leaf's response and those of the certificates after it, in their order, 1 to OP_MAX_STAPLES. Returns how many
     * are sent: all, or 1, the leaf's, and has then released the others. 0: none, and all are still the caller's.
     */
    size_t   (*staple)(void *ctx, const op_response_t *responses, size_t n);
    void    *(*allocate)(size_t size); /* memory for a response */
    void     (*release)(void *p);
} op_connection_ops_t;

/* A client's hello that asks for a status. */
typedef struct {
    void                       *ctx;
    const op_connection_ops_t  *connection;
    struct x509_st             *leaf; /* the server's certificate, configured or loaded for the connection */
    int                         tls13; /* 0 or 1: the handshake is of TLS 1.3 */
    int                         foreign; /* 1: another module has set a response for the connection */
    uintptr_t                   memory; /* op_decision_t's of an earlier hello of the connection; 0: there was none */
    int64_t                     now_s;
    int64_t                     monotonic_ms; /* may lag */
    uint32_t                    worker; /* nginx's worker number, for the counters */
} op_hello_t;

typedef struct {
    op_outcome_t  outcome;
    uintptr_t     memory; /* keep it with the connection, for op_hello_t; never 0 */
    op_text_t     line; /* to be logged at level error; empty: none */
} op_decision_t;

/*
 * Decides and counts a handshake, and offers a certificate that was loaded for the connection to the designated worker if
 * that does not have it. Takes no lock, parses no response and allocates once for each.
 */
void op_staple(op_server_t *server, const op_hello_t *hello, op_decision_t *decision);

/*
 * Decides and counts, after the handshake, one in which another module's status callback ran instead of ours;
 * `connection` is not used. With `memory` it returns the earlier decision. OP_REFUSED: the connection must be closed.
 */
void op_settle(op_server_t *server, const op_hello_t *hello, op_decision_t *decision);

typedef struct {
    op_outcome_t  outcome;
    int           revoked; /* OP_STAPLED: the response says so */
    int64_t       expires_s; /* OP_STAPLED: the response's end, wall clock */
    size_t        chain; /* OP_STAPLED: the staples of certificates after the leaf */
} op_remembered_t;

/* Reads a connection's memory, which is not 0. */
void op_recall(uintptr_t memory, op_remembered_t *remembered);

/* Writes the id of a certificate that the server shows: 64 hexadecimal digits, not terminated. OP_ERROR: memory is out. */
op_status_t op_certificate_id(const op_server_t *server, struct x509_st *leaf, char id[64]);

/* Counts, atomically, a status callback that another module had replaced and that was put back. */
void op_count_replaced(const op_server_t *server, uint32_t worker);

/*
 * Writes a text of others, such as a file's name, safe to print: each byte of a control or format character, or of no
 * UTF-8, as \xNN. Writes at most `size` bytes, which is not 0, terminated; cuts between characters what does not fit. Four
 * bytes for each of `text` and one more are always enough. Returns the length.
 */
size_t op_printable(op_str_t text, char *to, size_t size);

/* --- the status ---------------------------------------------------------------------------------------------- */

/*
 * A status document that is being written. Any worker writes it from the zone, piece by piece; a piece takes a millisecond
 * or two and has at most the size asked for.
 */
typedef struct op_document_s op_document_t;

typedef enum {
    OP_FORMAT_ANY = 0, /* `format=` decides, else the Accept header, else JSON */
    OP_FORMAT_HTML = 1,
    OP_FORMAT_JSON = 2,
    OP_FORMAT_PROMETHEUS = 3,
    OP_FORMAT_READY = 4
} op_format_t;

typedef struct {
    op_format_t  format;
    op_str_t     args; /* the query string */
    op_str_t     accept; /* the Accept header; empty: none */
    op_str_t     control; /* the path of a control location in the same server; empty: none */
    int64_t      now_s;
    int64_t      monotonic_ms;
} op_document_request_t;

typedef struct {
    int       status; /* HTTP's */
    op_str_t  content_type;
    op_str_t  content_security_policy; /* empty: none */
    int       varies; /* with the Accept header */
    int       brief; /* the document is one short piece, however many certificates there are */
} op_document_head_t;

typedef enum {
    OP_DOCUMENT_WORKING = 0, /* nothing yet: call again in the loop's next turn */
    OP_DOCUMENT_MORE = 1, /* `len` bytes were written, and more follow */
    OP_DOCUMENT_DONE = 2, /* the last `len` bytes, maybe none, were written */
    OP_DOCUMENT_FAILED = 3 /* out of memory */
} op_document_state_t;

/* `request` is borrowed for the call; the config outlives the document. NULL: out of memory. */
op_document_t *op_document_begin(const op_config_t *config, const op_document_request_t *request);
op_document_state_t op_document_next(op_document_t *document, unsigned char *to, size_t size, size_t *len);
/*
 * Returns the head, which lives as long as the document. `brief` is final at once, the rest once op_document_next() has
 * returned anything but OP_DOCUMENT_WORKING.
 */
void op_document_head(const op_document_t *document, op_document_head_t *head);
void op_document_end(op_document_t *document);

/*
 * Asks the designated worker, in whichever process, to fetch what the query string names: `refresh=all`, at most once a
 * minute, `refresh=<name>` or `refresh=<certificate id>`. Returns an HTTP status and writes `text` for the client: 202
 * accepted, 400, 404, 429, 503.
 */
int op_refresh(const op_config_t *config, op_str_t args, int64_t now_s, int64_t monotonic_ms, op_text_t *text);

/* --- the start helper ---------------------------------------------------------------------------------------- */

/* The helper reports progress: after each piece of work, and ten times a second while it waits for others. */
typedef struct {
    void   *ctx;
    void  (*report)(void *ctx); /* must not wait */
} op_progress_ops_t;

/*
 * Fills the zone before the workers begin: from the zone that it replaces, if any, from the cache directory and the files,
 * all of it through the gate; then from the responders, for up to `wait_ms` and for as long as something is missing that
 * may still come. Runs its own event loop and returns when it is done. Call it in an unprivileged process of its own,
 * forked after op_config_open_zone(), which ends afterwards and may be killed at any instruction. `progress` may be NULL.
 */
op_status_t op_start(op_config_t *config, const op_log_ops_t *log, const op_lock_ops_t *lock, int32_t pid,
                            int64_t wait_ms, const op_progress_ops_t *progress, op_error_t *error);

/* --- the worker ---------------------------------------------------------------------------------------------- */

#define OP_IO_READ 1u
#define OP_IO_WRITE 2u

/*
 * The event loop. Watches are level-triggered; `ready` is a set of OP_IO_*, errors count as both. Timers fire once and
 * never from inside timer_set(). Callbacks may delete any watch or timer, their own included.
 */
typedef struct {
    void     *ctx;
    void   *(*io_add)(void *ctx, int fd, void (*callback)(void *data, unsigned ready), void *data); /* NULL: refused */
    int     (*io_set)(void *ctx, void *io, unsigned interest); /* 1: done */
    void    (*io_del)(void *ctx, void *io); /* called before the descriptor is closed */
    void   *(*timer_add)(void *ctx, void (*callback)(void *data), void *data); /* NULL: out of memory */
    void    (*timer_set)(void *ctx, void *timer, int64_t after_ms); /* negative: disarm */
    void    (*timer_del)(void *ctx, void *timer);
    int64_t (*now_s)(void *ctx); /* wall clock */
    int64_t (*monotonic_ms)(void *ctx); /* CLOCK_MONOTONIC: the same for all processes */
    op_log_ops_t log;
} op_host_ops_t;

/*
 * Starts this worker's contender for the lease, whose holder is the designated worker and refreshes responses. Call it
 * after fork. `host` and `lock` are copied, what they point to outlives the worker. NULL: `error` says why.
 */
op_worker_t *op_worker_start(op_config_t *config, const op_host_ops_t *host, const op_lock_ops_t *lock,
                                    int32_t pid, uint32_t slot, op_error_t *error);
/* Ends sockets and timers at once and frees the lease, since the worker is about to leave. */
void op_worker_retire(op_worker_t *worker);
void op_worker_stop(op_worker_t *worker);

#ifdef __cplusplus
}
#endif

#endif /* OCSP_PLUS_H */
