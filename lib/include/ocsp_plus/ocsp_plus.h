/*
 * The C ABI of ocsp_plus: what the nginx modules (or any other server) use of the core. Compiles as C and C++.
 *
 * Life of the objects: one op_config_t for each configuration, filled in the master; op_config_open_zone() before the
 * workers are forked; then in each worker one op_worker_t, and op_staple() in the handshake.
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

#define OP_API __attribute__((visibility("default")))

struct x509_st; /* OpenSSL's X509 */

typedef struct op_config_s op_config_t;
typedef struct op_worker_s op_worker_t;

typedef enum {
    OP_OK = 0,
    OP_ERROR = 1,     /* op_error_t says what and what to do */
    OP_BUSY = 2,      /* the zone's lock is taken: try again */
    OP_TOO_SMALL = 3  /* the zone: op_zone_required_size() says what is needed */
} op_status_t;

typedef struct {
    char    text[512]; /* terminated; for people, safe to print */
} op_error_t;

typedef struct {
    const char  *data;
    size_t       len;
} op_str_t;

/* --- configuration ------------------------------------------------------------------------------------------- */

/*
 * That there is one OpenSSL in this process and that it is of the version we were built for. To be called once, before
 * anything else; what follows would crash otherwise.
 */
OP_API op_status_t op_openssl_check(op_error_t *error);

/* OP_ERROR: nothing must be stapled with this OpenSSL, whatever else works; why, and what to do. */
OP_API op_status_t op_openssl_can_staple(op_error_t *error);

/* NULL: out of memory. */
OP_API op_config_t *op_config_create(void);
OP_API void op_config_destroy(op_config_t *config);

typedef struct {
    size_t           size; /* sizeof(op_settings_t): the table may grow */
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
    int              issuer_fetch; /* 0 or 1: get missing issuers where certificates say */
    op_str_t         cache; /* path of the cache directory; empty: none */
    op_str_t         zone_name; /* for people */
} op_settings_t;

OP_API void op_settings_defaults(op_settings_t *settings);

/* Copies the settings. OP_ERROR names a resolver that is no address. */
OP_API op_status_t op_config_set(op_config_t *config, const op_settings_t *settings, op_error_t *error);

/* Whether a DNS server is written as an IP address with an optional port. */
OP_API op_status_t op_address_check(op_str_t address, op_error_t *error);

/* Whether a responder URL can be used at all; OP_ERROR says why not. */
OP_API op_status_t op_url_check(op_str_t url, op_error_t *error);

/* Whether a proxy is written as above; OP_ERROR says why not, without a word of user or password. */
OP_API op_status_t op_proxy_check(op_str_t proxy, op_error_t *error);

/* Which handshakes the server refuses for want of a staple. */
typedef enum {
    OP_REQUIRE_OFF = 0,
    OP_REQUIRE_MUST_STAPLE = 1, /* those of certificates with the TLS feature extension */
    OP_REQUIRE_ON = 2
} op_require_t;

typedef struct {
    size_t                  size;
    struct x509_st         *leaf;
    struct x509_st *const  *issuers; /* candidates, in order of preference */
    size_t                  nissuers;
    const op_str_t         *responders; /* none: those of the certificate itself */
    size_t                  nresponders;
    struct x509_st *const  *responder_anchors; /* whom https responders are checked against; none: the system's */
    size_t                  nresponder_anchors;
    const op_str_t         *files; /* paths of responses made elsewhere, DER or PEM */
    size_t                  nfiles;
    const op_str_t         *servers; /* the server's names */
    size_t                  nservers;
    op_require_t            require;
} op_mention_t;

typedef struct {
    uint32_t    index; /* the certificate's number in this configuration */
    int         known; /* an earlier server named it */
    int         differs; /* and named other responders; they are joined */
    int         has_issuer;
    int         anchors_differ; /* and named other anchors for https responders; they are joined */
    int         issuer_lookup; /* it has none, but the certificate says where it may be fetched */
    const char *issuer_fault; /* what is wrong with the candidate of its issuer's name; empty: there is none. Static */
    int         has_responder;
    int         has_file;
    int         must_staple; /* RFC 7633 */
    int         required; /* this server refuses handshakes without a staple */
    const char *label; /* terminated, safe to print; lives as long as the config */
    char        ignored[256]; /* the first AIA URL that cannot be used, and why; empty: none */
    char        unusable[256]; /* why it can never be stapled; empty: it can. Else it has no number and no label */
    char        issuer_unusable[256]; /* why its issuer, which was found, counts as not found; empty: no such thing */
} op_added_t;

/*
 * One server's certificate. A certificate has one entry however many servers name it. OP_ERROR: a responder that cannot
 * be used, or no memory; nothing in the certificate is an error.
 */
OP_API op_status_t op_config_add(op_config_t *config, const op_mention_t *mention, op_added_t *added,
                                 op_error_t *error);
OP_API size_t op_config_count(const op_config_t *config);

/*
 * A server, for certificates that it loads per connection: `leaf` and `files` are not looked at, `issuers` are those
 * that the operator trusts. `loads`: it is known that it does; others may because some module sets a certificate.
 * `error` is written to with OP_OK as well: a trusted certificate that cannot be used and is left out; empty: none.
 */
OP_API op_status_t op_config_add_profile(op_config_t *config, const op_mention_t *mention, int loads,
                                         uint64_t *profile, op_error_t *error);

/* --- the cache directory ------------------------------------------------------------------------------------- */

/* Who reads and writes it: the workers' user. */
typedef struct {
    uint32_t  uid;
    uint32_t  gid;
    int       prepared; /* 1: the master is root and calls op_cache_prepare() for this user; 0: it is that user */
} op_cache_user_t;

/*
 * Makes the directory where there is none, and with `prepared` hands it to the user unless something of root's lies in
 * it. In the master; nothing inside the directory is opened or changed. OP_ERROR: what could not be done, for a notice:
 * a directory that is of no use is reported by whoever uses it. Waits for the disk.
 */
OP_API op_status_t op_cache_prepare(const op_config_t *config, const op_cache_user_t *user, op_error_t *error);

typedef enum {
    OP_CACHE_FINE = 0, /* or there is none */
    OP_CACHE_UNUSABLE = 1, /* nothing can be kept: the text says why and what to do */
    OP_CACHE_ON_NETWORK = 2 /* it lies on a network file system: the text names directory and kind */
} op_cache_state_t;

/* What the user will find once op_cache_prepare() was called. Changes nothing. Waits for the disk. */
OP_API op_cache_state_t op_cache_check(const op_config_t *config, const op_cache_user_t *user, op_error_t *text);

/* --- the shared zone ----------------------------------------------------------------------------------------- */

/* Bytes, at the least. `loads`: some server loads certificates per connection. */
OP_API size_t op_zone_required_size(size_t certificates, int loads);
OP_API size_t op_zone_default_size(size_t certificates, int loads);
/* Whether op_config_add_profile() was told of such a server. */
OP_API int op_config_loads(const op_config_t *config);

/* The lock of the shared memory; lock() must not wait. */
typedef struct {
    void  *ctx;
    int  (*trylock)(void *ctx); /* 1: it is ours */
    void (*unlock)(void *ctx);
} op_lock_ops_t;

/*
 * Adopts the zone that an earlier configuration left at `base`, or writes a new one, and registers the configuration's
 * certificates in it. `old_base` (may be NULL): a zone of another size that this one replaces; nobody reads it but
 * op_start(), and until that is over it has to stay mapped.
 * `fresh`: the memory comes straight from the kernel, so it is zero already and its pages need not be touched.
 * In the master, before fork; the memory must outlive `config` and all its workers.
 */
typedef struct {
    int       kept; /* the zone's contents were adopted */
    uint32_t  generation;
} op_zone_opened_t;

OP_API op_status_t op_config_open_zone(op_config_t *config, void *base, size_t size, int fresh,
                                       const void *old_base, size_t old_size, const op_lock_ops_t *lock,
                                       int64_t monotonic_ms, op_zone_opened_t *opened, op_error_t *error);

/* --- the handshake ------------------------------------------------------------------------------------------- */

typedef enum {
    OP_STAPLE_NONE = 0,
    OP_STAPLE_GOOD = 1,
    OP_STAPLE_REVOKED = 2
} op_staple_status_t;

typedef struct {
    unsigned char       *der; /* from the allocator given; the caller's */
    size_t               len;
    int64_t              expires_s; /* wall clock */
} op_staple_t;

/* A certificate in the handshake: one of the configuration, or one that was loaded for the connection. */
typedef struct {
    int            loaded; /* 0 or 1 */
    uint32_t       index; /* its number in this configuration; of a loaded one that of its entry */
    unsigned char  id[32];
} op_certificate_t;

OP_API void op_configured(const op_config_t *config, uint32_t index, op_certificate_t *certificate);
/* Hashes it. 0: no memory, most likely; `certificate` is of no use. */
OP_API int op_loaded(struct x509_st *leaf, op_certificate_t *certificate);

/*
 * The response to staple for a certificate at this second. No lock, no parsing; one allocation.
 * OP_STAPLE_NONE: nothing valid is held (or memory is short): `staple` is untouched.
 */
OP_API op_staple_status_t op_staple(const op_config_t *config, const op_certificate_t *certificate, int64_t now_s,
                                    void *(*allocate)(size_t), void (*release)(void *), op_staple_t *staple);

/*
 * The same for a loaded one, whose entry is looked up and noted in `certificate`. `unknown` (may be set whatever is
 * returned): nobody fetches for it yet; hand it over with op_offer().
 */
OP_API op_staple_status_t op_staple_loaded(const op_config_t *config, uint64_t profile, op_certificate_t *certificate,
                                           int64_t now_s, void *(*allocate)(size_t), void (*release)(void *),
                                           op_staple_t *staple, int *unknown);

/*
 * Hands a loaded certificate to the designated worker, which fetches for it from then on; `chain` are candidates for
 * its issuer, of which those are used that have its name. Bounded: where too many are on their way it does nothing, nor
 * for what this process has handed over a moment ago; of one that is longer than 256 kB of DER with its issuer (in a
 * zone of less than 4 MB: a sixteenth of that) the designated worker is only told, and logs it. No lock.
 */
OP_API void op_offer(op_config_t *config, uint64_t profile, const op_certificate_t *certificate, struct x509_st *leaf,
                     struct x509_st *const *chain, size_t nchain, int64_t monotonic_ms);

/* Whether clients that honour it refuse the certificate without a staple (RFC 7633). Parses an extension. */
OP_API int op_must_staple(struct x509_st *leaf);

/*
 * Text that others wrote, a file's name for one, as it is safe to print: of control and format characters and of what is
 * no UTF-8 each byte as \xNN. Into `size` bytes, more than 0, terminated; cut between characters where it does not fit.
 * Four bytes for each of `text` and one more are always enough. Returns the length.
 */
OP_API size_t op_printable(op_str_t text, char *to, size_t size);

/* What log lines call a certificate, also one that is unusable; safe to print. */
OP_API void op_label(struct x509_st *leaf, op_error_t *text);

/* What a handshake that asked for a status came to. */
typedef enum {
    OP_HANDSHAKE_STAPLED = 0,
    OP_HANDSHAKE_MISSING = 1,
    OP_HANDSHAKE_REFUSED = 2, /* missing, and refused for it */
    OP_HANDSHAKE_FOREIGN = 3 /* missing, and a response that another module had set went out */
} op_handshake_t;

/* Atomic; `worker` is nginx's worker number. */
OP_API void op_count_handshake(const op_config_t *config, uint32_t worker, const op_certificate_t *certificate,
                               op_handshake_t what);

/* Counts a status callback that another module had replaced and that was put back. Atomic. */
OP_API void op_count_replaced(const op_config_t *config, uint32_t worker);

/* The certificate's id: 64 hexadecimal digits, not terminated. */
OP_API void op_certificate_id(const op_certificate_t *certificate, char id[64]);

/* --- the status ---------------------------------------------------------------------------------------------- */

/*
 * A status document while it is being written, from the zone, by any worker: a piece at a time, each of at most the
 * size asked for and the work of a millisecond or two.
 */
typedef struct op_document_s op_document_t;

typedef enum {
    OP_FORMAT_ANY = 0, /* by `format=`, else by the Accept header, else JSON */
    OP_FORMAT_HTML = 1,
    OP_FORMAT_JSON = 2,
    OP_FORMAT_PROMETHEUS = 3,
    OP_FORMAT_READY = 4
} op_format_t;

typedef struct {
    size_t       size;
    op_format_t  format;
    op_str_t     args; /* the query string */
    op_str_t     accept; /* the Accept header; empty: none */
    int64_t      now_s;
    int64_t      monotonic_ms;
} op_document_request_t;

typedef struct {
    int       status; /* of HTTP */
    op_str_t  content_type;
    op_str_t  content_security_policy; /* empty: none */
    int       varies; /* with the Accept header */
} op_document_head_t;

typedef enum {
    OP_DOCUMENT_WORKING = 0, /* nothing yet: call again in the loop's next turn */
    OP_DOCUMENT_MORE = 1, /* `len` bytes, and more to come */
    OP_DOCUMENT_DONE = 2, /* `len` bytes, maybe none; that was all */
    OP_DOCUMENT_FAILED = 3 /* out of memory */
} op_document_state_t;

/* `request` is borrowed for the call; the config outlives the document. NULL: out of memory. */
OP_API op_document_t *op_document_begin(const op_config_t *config, const op_document_request_t *request);
OP_API op_document_state_t op_document_next(op_document_t *document, unsigned char *to, size_t size, size_t *len);
/* Readiness, or an error: all of it is one short piece, however many certificates there are. */
OP_API int op_document_is_brief(const op_document_t *document);
/* Final as soon as op_document_next() has said anything but OP_DOCUMENT_WORKING. Lives as long as the document. */
OP_API void op_document_head(const op_document_t *document, op_document_head_t *head);
OP_API void op_document_end(op_document_t *document);

/*
 * Asks the designated worker, whichever process it is, to fetch now what the query string names: `refresh=all`, once a
 * minute at most, or `refresh=<certificate id>`. An HTTP status, and `text` for the client: 202 accepted, 400, 404, 429,
 * 503.
 */
OP_API int op_refresh(const op_config_t *config, op_str_t args, int64_t now_s, int64_t monotonic_ms, op_error_t *text);

/* Where log lines go. Levels are nginx's: 3 crit … 8 debug. */
typedef struct {
    void     *ctx;
    int     (*log_enabled)(void *ctx, int level);
    void    (*log_write)(void *ctx, int level, const char *line, size_t len);
} op_log_ops_t;

/* --- the start helper ---------------------------------------------------------------------------------------- */

/* Called in the helper while it gets on: after each piece of work, and ten times a second while it waits for others. */
typedef struct {
    void   *ctx;
    void  (*report)(void *ctx); /* must not wait */
} op_progress_ops_t;

/*
 * Fills the zone before the workers begin: from the zone that it replaces, where there is one, from the cache directory
 * and the files, all of it through the gate; then from the responders, for up to `wait_ms` and for as long as something
 * is missing that may still come. Runs its own event loop and returns when it is done. To be called in a process of its
 * own, forked after op_config_open_zone(), unprivileged, that ends afterwards: whoever forked it may kill it at any
 * instruction. `progress` may be NULL.
 */
OP_API op_status_t op_start(op_config_t *config, const op_log_ops_t *log, const op_lock_ops_t *lock, int32_t pid,
                            int64_t wait_ms, const op_progress_ops_t *progress, op_error_t *error);

/* --- the worker ---------------------------------------------------------------------------------------------- */

#define OP_IO_READ 1u
#define OP_IO_WRITE 2u

/*
 * The event loop. Watches are level-triggered; `ready` is a set of OP_IO_*, errors count as both. Timers fire once and
 * never from inside timer_set(). Callbacks may delete any watch or timer, also the one they are called for.
 */
typedef struct {
    size_t    size;
    void     *ctx;
    void   *(*io_add)(void *ctx, int fd, void (*callback)(void *data, unsigned ready), void *data); /* NULL: refused */
    int     (*io_set)(void *ctx, void *io, unsigned interest); /* 1: done */
    void    (*io_del)(void *ctx, void *io); /* before the descriptor is closed */
    void   *(*timer_add)(void *ctx, void (*callback)(void *data), void *data); /* NULL: out of memory */
    void    (*timer_set)(void *ctx, void *timer, int64_t after_ms); /* negative: disarm */
    void    (*timer_del)(void *ctx, void *timer);
    int64_t (*now_s)(void *ctx); /* wall clock */
    int64_t (*monotonic_ms)(void *ctx); /* CLOCK_MONOTONIC: the same for all processes */
    op_log_ops_t log;
} op_host_ops_t;

/*
 * Starts this worker's part in refreshing; one of all workers is the designated one at a time. After fork. `host` and
 * `lock` are copied, what they point to outlives the worker. NULL: `error` says why.
 */
OP_API op_worker_t *op_worker_start(op_config_t *config, const op_host_ops_t *host, const op_lock_ops_t *lock,
                                    int32_t pid, uint32_t slot, op_error_t *error);
/* The worker is asked to leave: sockets and timers end at once and the lease is free. */
OP_API void op_worker_retire(op_worker_t *worker);
OP_API void op_worker_stop(op_worker_t *worker);

#ifdef __cplusplus
}
#endif

#endif /* OCSP_PLUS_H */
