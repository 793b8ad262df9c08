
/*
 * Shared by the files of the shim, which adapts nginx to the C ABI of the core
 * (ocsp_plus/ocsp_plus.h) and decides nothing about OCSP itself.
 */


#ifndef _NGX_OCSP_PLUS_H_INCLUDED_
#define _NGX_OCSP_PLUS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_openssl.h>

#include <ocsp_plus/ocsp_plus.h>
#include <ocsp_plus/version.h>


/*
 * The http and the stream module have to agree on the version, and on a sum
 * of the headers that both are compiled with, which config makes.  The modules
 * are two files, and nginx may run an older http module than the one on disk.
 */

#define NGX_OCSP_PLUS_BUILD                                                   \
    OCSP_PLUS_VERSION " (" ngx_value(NGX_OCSP_PLUS_HEADERS) ")"

extern const char  ngx_ocsp_plus_build[];


/* one for a cycle, whether its directives stand in http or in stream */

typedef struct {
    op_config_t         *config;
    op_lock_ops_t        lock;
    ngx_shm_zone_t      *shm_zone;
    ngx_shmtx_t          mutex;              /* the zone's; not in the zone */
    ngx_atomic_uint_t    lock_held_by;       /* pid, at the last try */
    ngx_uint_t           lock_tries;
    ngx_msec_t           lock_since;

    ngx_str_t            zone_name;
    size_t               zone_size;

    ngx_array_t         *resolvers;          /* op_str_t */
    ngx_flag_t           ipv4;
    ngx_flag_t           ipv6;
    ngx_msec_t           resolver_timeout;
    time_t               resolver_valid;

    ngx_msec_t           timeout;
    ngx_int_t            concurrency;
    time_t               retry_min;
    time_t               retry_max;
    size_t               max_response;

    ngx_str_t            proxy;              /* empty: off */
    op_share_t           share;              /* no places: off */
    ngx_uint_t           certid;
    ngx_flag_t           issuer_fetch;
    ngx_str_t            cache;              /* empty: off */
    ngx_msec_t           startup_wait;

    ngx_array_t         *preload;            /* ngx_str_t, patterns */
    ngx_uint_t           preload_block;      /* http's or stream's */
    u_char              *preload_file;       /* the directive's */
    ngx_uint_t           preload_line;

    ngx_array_t          trusted;            /* ngx_ocsp_plus_trusted_t */
    ngx_array_t          files;              /* ngx_str_t, of all servers */
    ngx_array_t          watched;            /* ngx_ocsp_plus_ctx_t *, whose
                                                status callback is ours */
    ngx_uint_t           left_over;          /* NGX_OCSP_PLUS_LEFT_OVER_*, warned
                                                of already */
    unsigned             share_set:1;
    unsigned             unfit:1;            /* nothing is stapled with this
                                                OpenSSL */
} ngx_ocsp_plus_conf_t;


/*
 * a file that ocsp_plus_trusted_certificate,
 * ocsp_plus_responder_trusted_certificate or ocsp_plus_preload names, read once
 */

typedef struct {
    ngx_str_t            name;
    STACK_OF(X509)      *certificates;       /* NULL: it cannot be read */
} ngx_ocsp_plus_trusted_t;


/* a server's configuration, http or stream */

struct ngx_stream_session_s;

typedef struct {
    ngx_flag_t           enable;
    ngx_array_t         *responders;         /* op_str_t */
    ngx_array_t         *files;              /* op_str_t */
    ngx_str_t            trusted_certificate;
    ngx_str_t            responder_trusted_certificate;
    ngx_uint_t           require;            /* op_require_t */
    ngx_uint_t           revoked;
    time_t               refresh;            /* 0: auto */
    ngx_flag_t           chain;
    op_server_t         *server;             /* NULL: it is not added */

    /* stream: the content handler that ours calls */
    void               (*content)(struct ngx_stream_session_s *s);
} ngx_ocsp_plus_srv_conf_t;


#define NGX_OCSP_PLUS_CERTID_SHA1          0
#define NGX_OCSP_PLUS_CERTID_AUTO          1

#define NGX_OCSP_PLUS_REVOKED_STAPLE       0
#define NGX_OCSP_PLUS_REVOKED_OMIT         1


/* directives of nginx's own stapling, which ours replace */

#define NGX_OCSP_PLUS_LEFT_OVER_STAPLING   0x01
#define NGX_OCSP_PLUS_LEFT_OVER_FILE       0x02
#define NGX_OCSP_PLUS_LEFT_OVER_RESPONDER  0x04

#define ngx_ocsp_plus_left_over(sscf)                                         \
    (((sscf)->stapling == 1 ? NGX_OCSP_PLUS_LEFT_OVER_STAPLING : 0)           \
     | ((sscf)->stapling_file.len ? NGX_OCSP_PLUS_LEFT_OVER_FILE : 0)         \
     | ((sscf)->stapling_responder.len ? NGX_OCSP_PLUS_LEFT_OVER_RESPONDER    \
                                       : 0))


/* a server as ngx_ocsp_plus_certificates.c sees it, http or stream */

typedef struct {
    ngx_ssl_t           *ssl;
    ngx_uint_t           left_over;          /* NGX_OCSP_PLUS_LEFT_OVER_* */
    ngx_flag_t           compression;        /* ssl_certificate_compression */
    ngx_uint_t           loads;              /* certificates per connection */
    u_char              *file;
    ngx_uint_t           line;
    ngx_array_t         *named;              /* its elements hold its names;
                                                NULL: it has none */
    size_t               offset;             /* the name's in such an element */
    op_str_t            *names;              /* while it is added */
    ngx_uint_t           nnames;
} ngx_ocsp_plus_server_t;


/* the callback's data of an SSL_CTX */

typedef struct {
    SSL_CTX             *ssl;
    op_server_t         *server;
    ngx_str_t            name;               /* the server's, for people */
    ngx_uint_t           replaced;           /* since the last line */
    time_t               logged;             /* when it was; 0: never */
    ngx_flag_t           chain;              /* ocsp_plus_chain */
} ngx_ocsp_plus_ctx_t;


/* the outcome of a connection's handshake */

typedef struct {
    ngx_uint_t           outcome;
    X509                *leaf;               /* NULL: none */
    op_server_t         *server;
    time_t               expires;            /* the sent staple's end */
    ngx_uint_t           chain;              /* staples after the leaf's */
    unsigned             revoked:1;          /* the staple says so */
    unsigned             asked:1;            /* for a status, where
                                                ocsp_plus_chain is on */
} ngx_ocsp_plus_handshake_t;


#define NGX_OCSP_PLUS_STAPLE_PLAIN          0    /* no handshake */
#define NGX_OCSP_PLUS_STAPLE_OFF            1    /* ocsp_plus off */
#define NGX_OCSP_PLUS_STAPLE_RESUMED        2
#define NGX_OCSP_PLUS_STAPLE_NOT_REQUESTED  3
#define NGX_OCSP_PLUS_STAPLE_NONE           4
#define NGX_OCSP_PLUS_STAPLE_SENT           5
#define NGX_OCSP_PLUS_STAPLE_FOREIGN        6    /* another module's */


/* a variable, http or stream */

typedef struct {
    ngx_str_t            name;
    uintptr_t            which;
} ngx_ocsp_plus_variable_t;


#define NGX_OCSP_PLUS_VAR_STAPLE       0
#define NGX_OCSP_PLUS_VAR_CERT_STATUS  1
#define NGX_OCSP_PLUS_VAR_EXPIRES_IN   2
#define NGX_OCSP_PLUS_VAR_CERT_ID      3
#define NGX_OCSP_PLUS_VAR_CHAIN        4


static ngx_inline op_str_t
ngx_ocsp_plus_str(ngx_str_t *from)
{
    op_str_t  to;

    to.data = (const char *) from->data;
    to.len = from->len;

    return to;
}


/* ngx_ocsp_plus_module.c */

extern ngx_module_t      ngx_ocsp_plus_module;
extern op_worker_t      *ngx_ocsp_plus_worker;

/* ngx_ocsp_plus_conf.c */

char *ngx_ocsp_plus_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_ocsp_plus_conf_resolver(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_ocsp_plus_conf_retry(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_ocsp_plus_conf_responder(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_ocsp_plus_conf_share(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_ocsp_plus_conf_proxy(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_ocsp_plus_conf_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_ocsp_plus_conf_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_ocsp_plus_conf_refresh(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_ocsp_plus_conf_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_int_t ngx_ocsp_plus_choose(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_conf_enum_t *e, ngx_uint_t *choice);
void *ngx_ocsp_plus_create_main_conf(ngx_conf_t *cf);
void *ngx_ocsp_plus_create_srv_conf(ngx_conf_t *cf);
char *ngx_ocsp_plus_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child);

extern ngx_conf_enum_t        ngx_ocsp_plus_require[];
extern ngx_conf_enum_t        ngx_ocsp_plus_revoked[];
extern ngx_conf_enum_t        ngx_ocsp_plus_certid[];
extern ngx_conf_num_bounds_t  ngx_ocsp_plus_conf_timeout;
extern ngx_conf_num_bounds_t  ngx_ocsp_plus_conf_concurrency;
extern ngx_conf_num_bounds_t  ngx_ocsp_plus_conf_max_response;

/* ngx_ocsp_plus_certificates.c */

ngx_int_t ngx_ocsp_plus_add_server(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_ocsp_plus_server_t *server);
ngx_int_t ngx_ocsp_plus_add_certificate(ngx_conf_t *cf, op_server_t *server,
    X509 *leaf, STACK_OF(X509) *chain, op_str_t *place);
ngx_int_t ngx_ocsp_plus_place(ngx_pool_t *pool, u_char *file, ngx_uint_t line,
    op_str_t *place);
ngx_int_t ngx_ocsp_plus_push_file(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_str_t *file, const char *directive, const char *otherwise,
    ngx_array_t *issuers);
ngx_int_t ngx_ocsp_plus_push_all(ngx_array_t *issuers,
    STACK_OF(X509) *certificates, int first);

/* ngx_ocsp_plus_preload.c */

char *ngx_ocsp_plus_conf_preload(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_ocsp_plus_add_preload(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_str_t *trusted, ngx_uint_t block);

/* ngx_ocsp_plus_files.c */

STACK_OF(X509) *ngx_ocsp_plus_trusted(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_str_t *file, const char *directive,
    const char *otherwise);
STACK_OF(X509) *ngx_ocsp_plus_chain(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_str_t *file, const char *directive,
    const char *otherwise);
ngx_int_t ngx_ocsp_plus_text(ngx_conf_t *cf, ngx_str_t *file,
    const char *directive, ngx_str_t *content);
ngx_fd_t ngx_ocsp_plus_open_regular(u_char *name, off_t *size,
    const char **why);
u_char *ngx_ocsp_plus_printable(ngx_pool_t *pool, ngx_str_t *name);

/* ngx_ocsp_plus_callback.c */

ngx_int_t ngx_ocsp_plus_set_callback(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_ctx_t *ctx);
void ngx_ocsp_plus_watch(SSL_CTX *ssl);
ngx_ocsp_plus_ctx_t *ngx_ocsp_plus_ctx(ngx_ssl_conn_t *ssl_conn);
void ngx_ocsp_plus_tick_start(void);
void ngx_ocsp_plus_tick_stop(void);

/* ngx_ocsp_plus_handshake.c */

ngx_int_t ngx_ocsp_plus_handshake_init(ngx_conf_t *cf);
int ngx_ocsp_plus_status_callback(ngx_ssl_conn_t *ssl_conn, void *data);
ngx_int_t ngx_ocsp_plus_enforce(ngx_connection_t *c);
void ngx_ocsp_plus_handshake(ngx_connection_t *c,
    ngx_ocsp_plus_handshake_t *hs);

/* ngx_ocsp_plus_variables.c */

ngx_int_t ngx_ocsp_plus_variable(ngx_connection_t *c, ngx_pool_t *pool,
    ngx_variable_value_t *v, uintptr_t which);

extern ngx_ocsp_plus_variable_t  ngx_ocsp_plus_variables[];

/* ngx_ocsp_plus_report.c */

ngx_int_t ngx_ocsp_plus_report(ngx_log_t *log, ngx_ocsp_plus_conf_t *ocf);
void ngx_ocsp_plus_check_files(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf);

/* ngx_ocsp_plus_inventory.c */

ngx_int_t ngx_ocsp_plus_record(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf);
ngx_int_t ngx_ocsp_plus_write_inventory(ngx_cycle_t *cycle,
    ngx_ocsp_plus_conf_t *ocf);
ngx_uint_t ngx_ocsp_plus_recording(void);

/* ngx_ocsp_plus_zone.c */

ngx_int_t ngx_ocsp_plus_add_zone(ngx_cycle_t *cycle,
    ngx_ocsp_plus_conf_t *ocf);

/* ngx_ocsp_plus_start.c */

void ngx_ocsp_plus_check_object(ngx_cycle_t *cycle);
void ngx_ocsp_plus_prepare_cache(ngx_cycle_t *cycle,
    ngx_ocsp_plus_conf_t *ocf);
void ngx_ocsp_plus_check_cache(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf);
void ngx_ocsp_plus_start(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf);
void ngx_ocsp_plus_cache_user(ngx_cycle_t *cycle, op_cache_user_t *user);

/* ngx_ocsp_plus_host.c */

void ngx_ocsp_plus_host(op_host_ops_t *host);
void ngx_ocsp_plus_log(op_log_ops_t *ops, ngx_log_t *log);


/*
 * Directives of http and stream; ctx names the offsets, in which the blocks
 * differ.
 */

#define ngx_ocsp_plus_commands(MAIN, SRV, MAIN_OFFSET, SRV_OFFSET)            \
                                                                              \
    { ngx_string("ocsp_plus_zone"),                                           \
      MAIN|NGX_CONF_TAKE1,                                                    \
      ngx_ocsp_plus_conf_zone,                                                \
      MAIN_OFFSET,                                                            \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_resolver"),                                       \
      MAIN|NGX_CONF_1MORE,                                                    \
      ngx_ocsp_plus_conf_resolver,                                            \
      MAIN_OFFSET,                                                            \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_proxy"),                                          \
      MAIN|NGX_CONF_TAKE1,                                                    \
      ngx_ocsp_plus_conf_proxy,                                               \
      MAIN_OFFSET,                                                            \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_share"),                                          \
      MAIN|NGX_CONF_1MORE,                                                    \
      ngx_ocsp_plus_conf_share,                                               \
      MAIN_OFFSET,                                                            \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_certid"),                                         \
      MAIN|NGX_CONF_TAKE1,                                                    \
      ngx_ocsp_plus_conf_enum,                                                \
      MAIN_OFFSET,                                                            \
      offsetof(ngx_ocsp_plus_conf_t, certid),                                 \
      ngx_ocsp_plus_certid },                                                 \
                                                                              \
    { ngx_string("ocsp_plus_issuer_fetch"),                                   \
      MAIN|NGX_CONF_FLAG,                                                     \
      ngx_conf_set_flag_slot,                                                 \
      MAIN_OFFSET,                                                            \
      offsetof(ngx_ocsp_plus_conf_t, issuer_fetch),                           \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_timeout"),                                        \
      MAIN|NGX_CONF_TAKE1,                                                    \
      ngx_conf_set_msec_slot,                                                 \
      MAIN_OFFSET,                                                            \
      offsetof(ngx_ocsp_plus_conf_t, timeout),                                \
      &ngx_ocsp_plus_conf_timeout },                                          \
                                                                              \
    { ngx_string("ocsp_plus_concurrency"),                                    \
      MAIN|NGX_CONF_TAKE1,                                                    \
      ngx_conf_set_num_slot,                                                  \
      MAIN_OFFSET,                                                            \
      offsetof(ngx_ocsp_plus_conf_t, concurrency),                            \
      &ngx_ocsp_plus_conf_concurrency },                                      \
                                                                              \
    { ngx_string("ocsp_plus_retry"),                                          \
      MAIN|NGX_CONF_TAKE2,                                                    \
      ngx_ocsp_plus_conf_retry,                                               \
      MAIN_OFFSET,                                                            \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_max_response"),                                   \
      MAIN|NGX_CONF_TAKE1,                                                    \
      ngx_conf_set_size_slot,                                                 \
      MAIN_OFFSET,                                                            \
      offsetof(ngx_ocsp_plus_conf_t, max_response),                           \
      &ngx_ocsp_plus_conf_max_response },                                     \
                                                                              \
    { ngx_string("ocsp_plus_cache"),                                          \
      MAIN|NGX_CONF_TAKE1,                                                    \
      ngx_ocsp_plus_conf_cache,                                               \
      MAIN_OFFSET,                                                            \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_startup_wait"),                                   \
      MAIN|NGX_CONF_TAKE1,                                                    \
      ngx_conf_set_msec_slot,                                                 \
      MAIN_OFFSET,                                                            \
      offsetof(ngx_ocsp_plus_conf_t, startup_wait),                           \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_preload"),                                        \
      MAIN|NGX_CONF_1MORE,                                                    \
      ngx_ocsp_plus_conf_preload,                                             \
      MAIN_OFFSET,                                                            \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus"),                                                \
      MAIN|SRV|NGX_CONF_FLAG,                                                 \
      ngx_conf_set_flag_slot,                                                 \
      SRV_OFFSET,                                                             \
      offsetof(ngx_ocsp_plus_srv_conf_t, enable),                             \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_responder"),                                      \
      MAIN|SRV|NGX_CONF_1MORE,                                                \
      ngx_ocsp_plus_conf_responder,                                           \
      SRV_OFFSET,                                                             \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_responder_trusted_certificate"),                  \
      MAIN|SRV|NGX_CONF_TAKE1,                                                \
      ngx_conf_set_str_slot,                                                  \
      SRV_OFFSET,                                                             \
      offsetof(ngx_ocsp_plus_srv_conf_t, responder_trusted_certificate),      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_trusted_certificate"),                            \
      MAIN|SRV|NGX_CONF_TAKE1,                                                \
      ngx_conf_set_str_slot,                                                  \
      SRV_OFFSET,                                                             \
      offsetof(ngx_ocsp_plus_srv_conf_t, trusted_certificate),                \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_file"),                                           \
      MAIN|SRV|NGX_CONF_1MORE,                                                \
      ngx_ocsp_plus_conf_file,                                                \
      SRV_OFFSET,                                                             \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_require"),                                        \
      MAIN|SRV|NGX_CONF_TAKE1,                                                \
      ngx_ocsp_plus_conf_enum,                                                \
      SRV_OFFSET,                                                             \
      offsetof(ngx_ocsp_plus_srv_conf_t, require),                            \
      ngx_ocsp_plus_require },                                                \
                                                                              \
    { ngx_string("ocsp_plus_revoked"),                                        \
      MAIN|SRV|NGX_CONF_TAKE1,                                                \
      ngx_ocsp_plus_conf_enum,                                                \
      SRV_OFFSET,                                                             \
      offsetof(ngx_ocsp_plus_srv_conf_t, revoked),                            \
      ngx_ocsp_plus_revoked },                                                \
                                                                              \
    { ngx_string("ocsp_plus_refresh"),                                        \
      MAIN|SRV|NGX_CONF_TAKE1,                                                \
      ngx_ocsp_plus_conf_refresh,                                             \
      SRV_OFFSET,                                                             \
      0,                                                                      \
      NULL },                                                                 \
                                                                              \
    { ngx_string("ocsp_plus_chain"),                                          \
      MAIN|SRV|NGX_CONF_FLAG,                                                 \
      ngx_conf_set_flag_slot,                                                 \
      SRV_OFFSET,                                                             \
      offsetof(ngx_ocsp_plus_srv_conf_t, chain),                              \
      NULL }


#endif /* _NGX_OCSP_PLUS_H_INCLUDED_ */
