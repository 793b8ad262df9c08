
/*
 * Warns at configuration of a location of "ocsp_plus_status" or
 * "ocsp_plus_control" that nginx's own access modules leave open to everyone.
 */


#include "ngx_http_ocsp_plus.h"


/*
 * The first members of the location configurations of nginx's own access
 * modules, and the rules of one.  They are private to their files but have not
 * changed in a decade.
 */

typedef struct {
    ngx_array_t         *rules;
#if (NGX_HAVE_INET6)
    ngx_array_t         *rules6;
#endif
} ngx_http_ocsp_plus_access_t;


typedef struct {
    in_addr_t            mask;
    in_addr_t            addr;
    ngx_uint_t           deny;
} ngx_http_ocsp_plus_rule_t;


#if (NGX_HAVE_INET6)

typedef struct {
    struct in6_addr      addr;
    struct in6_addr      mask;
    ngx_uint_t           deny;
} ngx_http_ocsp_plus_rule6_t;

#endif


typedef struct {
    ngx_http_complex_value_t  *realm;
    void                      *user_file;    /* or the length of its name */
} ngx_http_ocsp_plus_auth_basic_t;


typedef struct {
    ngx_str_t            uri;
} ngx_http_ocsp_plus_auth_request_t;


#define ngx_http_ocsp_plus_offsets(type)                                      \
    sizeof(ngx_http_ocsp_plus_##type),                                        \
    offsetof(ngx_http_ocsp_plus_##type, mask),                                \
    sizeof(((ngx_http_ocsp_plus_##type *) NULL)->mask),                       \
    offsetof(ngx_http_ocsp_plus_##type, deny)


/* whether an address that no rule names is let in */

typedef enum {
    NGX_HTTP_OCSP_PLUS_UNDECIDED = 0,
    NGX_HTTP_OCSP_PLUS_ALLOWED,
    NGX_HTTP_OCSP_PLUS_DENIED
} ngx_http_ocsp_plus_verdict_t;


static ngx_uint_t ngx_http_ocsp_plus_asks_who(ngx_conf_t *cf);
static ngx_http_ocsp_plus_verdict_t ngx_http_ocsp_plus_verdict(
    ngx_array_t *rules, size_t size, size_t mask, size_t len, size_t deny);
static ngx_uint_t ngx_http_ocsp_plus_listens(ngx_conf_t *cf, int family);
static void *ngx_http_ocsp_plus_foreign_conf(ngx_conf_t *cf,
    const char *name);


/* runs when the location is complete */

void
ngx_http_ocsp_plus_check_access(ngx_conf_t *cf,
    ngx_http_ocsp_plus_loc_conf_t *conf)
{
    ngx_uint_t                     i, n, open, asks;
    ngx_http_core_loc_conf_t      *clcf;
    ngx_http_ocsp_plus_access_t   *access;
    ngx_http_ocsp_plus_verdict_t   verdict[2];

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->internal) {
        return;
    }

    access = ngx_http_ocsp_plus_foreign_conf(cf, "ngx_http_access_module");
    asks = ngx_http_ocsp_plus_asks_who(cf);

    n = 0;

#if (NGX_HAVE_INET6)
    if (ngx_http_ocsp_plus_listens(cf, AF_INET6)) {
        verdict[n++] = ngx_http_ocsp_plus_verdict(
                                  access ? access->rules6 : NULL,
                                  ngx_http_ocsp_plus_offsets(rule6_t));
    }
#endif

    if (ngx_http_ocsp_plus_listens(cf, AF_INET)) {
        verdict[n++] = ngx_http_ocsp_plus_verdict(
                                  access ? access->rules : NULL,
                                  ngx_http_ocsp_plus_offsets(rule_t));
    }

    open = 0;

    for (i = 0; i < n; i++) {

        if (clcf->satisfy == NGX_HTTP_SATISFY_ANY
            && verdict[i] == NGX_HTTP_OCSP_PLUS_ALLOWED)
        {
            /* no client has to authenticate */

            open = 1;

        } else if (verdict[i] != NGX_HTTP_OCSP_PLUS_DENIED && !asks) {
            open = 1;
        }
    }

    if (open) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"%s\" is open to everybody: add \"allow\" and "
                      "\"deny all\", or \"auth_basic\", in %s:%ui",
                      conf->directive, conf->file, conf->line);
    }
}


/* auth_basic, or auth_request */

static ngx_uint_t
ngx_http_ocsp_plus_asks_who(ngx_conf_t *cf)
{
    ngx_http_complex_value_t           *realm;
    ngx_http_ocsp_plus_auth_basic_t    *basic;
    ngx_http_ocsp_plus_auth_request_t  *request;

    basic = ngx_http_ocsp_plus_foreign_conf(cf, "ngx_http_auth_basic_module");
    realm = basic ? basic->realm : NULL;

    if (realm && realm != NGX_CONF_UNSET_PTR
        && basic->user_file && basic->user_file != NGX_CONF_UNSET_PTR
        && (realm->lengths
            || realm->value.len != 3
            || ngx_strncmp(realm->value.data, "off", 3) != 0))
    {
        return 1;
    }

    request = ngx_http_ocsp_plus_foreign_conf(cf,
                                              "ngx_http_auth_request_module");

    return request && request->uri.len;
}


/* any rules of another nginx, which have another size, count as closed */

static ngx_http_ocsp_plus_verdict_t
ngx_http_ocsp_plus_verdict(ngx_array_t *rules, size_t size, size_t mask,
    size_t len, size_t deny)
{
    u_char                  *rule;
    ngx_uint_t               i;
    static const u_char      any[16];

    if (rules == NULL) {
        return NGX_HTTP_OCSP_PLUS_UNDECIDED;
    }

    if (rules->size != size) {
        return NGX_HTTP_OCSP_PLUS_DENIED;
    }

    rule = rules->elts;

    for (i = 0; i < rules->nelts; i++, rule += size) {

        if (ngx_memcmp(rule + mask, any, len) == 0) {
            return *(ngx_uint_t *) (rule + deny) ? NGX_HTTP_OCSP_PLUS_DENIED
                                                 : NGX_HTTP_OCSP_PLUS_ALLOWED;
        }
    }

    return NGX_HTTP_OCSP_PLUS_UNDECIDED;
}


/* a Unix socket is guarded by the rights of its file */

static ngx_uint_t
ngx_http_ocsp_plus_listens(ngx_conf_t *cf, int family)
{
    ngx_uint_t                  i;
    ngx_http_conf_port_t       *port;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (cmcf->ports == NULL) {
        return 0;
    }

    port = cmcf->ports->elts;

    for (i = 0; i < cmcf->ports->nelts; i++) {

        if (port[i].family == family) {
            return 1;
        }
    }

    return 0;
}


static void *
ngx_http_ocsp_plus_foreign_conf(ngx_conf_t *cf, const char *name)
{
    ngx_uint_t            i;
    ngx_module_t         *module;
    ngx_http_conf_ctx_t  *ctx;

    ctx = cf->ctx;

    for (i = 0; cf->cycle->modules[i]; i++) {

        module = cf->cycle->modules[i];

        if (module->type == NGX_HTTP_MODULE
            && ngx_strcmp(module->name, name) == 0)
        {
            return ctx->loc_conf[module->ctx_index];
        }
    }

    return NULL;
}
