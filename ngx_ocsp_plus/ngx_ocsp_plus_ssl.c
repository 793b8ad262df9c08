
/*
 * A server's certificates: told to the core at configuration, stapled in
 * the handshake.
 *
 * The table that leads from a certificate to its entry belongs to the
 * SSL_CTX.  Nothing is attached to certificates themselves: newer nginx
 * shares them among servers and over reloads.
 */


#include "ngx_ocsp_plus.h"


#define NGX_OCSP_PLUS_LOG_INTERVAL  60    /* of refused handshakes, s */


typedef struct {
    X509                       *leaf;
    uint32_t                    index;
    const char                 *label;
    unsigned                    require:1;   /* no handshake without */
} ngx_ocsp_plus_certificate_t;


typedef struct {
    op_config_t                *config;
    ngx_ocsp_plus_srv_conf_t   *oscf;
    ngx_array_t                 certificates;    /* of the SSL_CTX */
} ngx_ocsp_plus_ctx_t;


static ngx_int_t ngx_ocsp_plus_add_certificate(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf,
    ngx_ocsp_plus_server_t *server, ngx_ocsp_plus_ctx_t *ctx);
static ngx_int_t ngx_ocsp_plus_issuers(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf, SSL_CTX *ssl,
    ngx_array_t *issuers);
static ngx_int_t ngx_ocsp_plus_push_all(ngx_array_t *issuers,
    STACK_OF(X509) *certificates);
static STACK_OF(X509) *ngx_ocsp_plus_trusted(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_str_t *file, const char *directive);
static STACK_OF(X509) *ngx_ocsp_plus_read_certificates(ngx_conf_t *cf,
    ngx_str_t *name, const char *directive);
static int ngx_ocsp_plus_status_callback(ngx_ssl_conn_t *ssl_conn,
    void *data);
static int ngx_ocsp_plus_without_staple(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate);
static ngx_ocsp_plus_certificate_t *ngx_ocsp_plus_find(
    ngx_ocsp_plus_ctx_t *ctx, X509 *leaf);
static void ngx_ocsp_plus_remember(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate,
    op_handshake_t what, uintptr_t memory);
static void *ngx_ocsp_plus_allocate(size_t size);
static void ngx_ocsp_plus_release(void *p);


/*
 * What the callback decided is remembered in a connection's ex_data, not as a
 * pointer but as a number: the end of the staple above two bits.  So there is
 * nothing to allocate and nothing to free.
 */

#define NGX_OCSP_PLUS_WITHOUT  1
#define NGX_OCSP_PLUS_GOOD     2
#define NGX_OCSP_PLUS_REVOKED  3

static int  ngx_ocsp_plus_index = -1;


ngx_int_t
ngx_ocsp_plus_add_server(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_ocsp_plus_server_t *server)
{
    X509                 *current;
    SSL_CTX              *ssl;
    ngx_int_t             rc;
    ngx_ocsp_plus_ctx_t  *ctx;

    if (!oscf->enable || server->ssl->ctx == NULL) {
        return NGX_OK;
    }

    ssl = server->ssl->ctx;

    if (ngx_ocsp_plus_index == -1) {
        ngx_ocsp_plus_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);

        if (ngx_ocsp_plus_index == -1) {
            ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                          "SSL_get_ex_new_index() failed");
            return NGX_ERROR;
        }
    }

    /* certificates that OpenSSL compresses beforehand carry no staple */

    if (server->compression) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"ocsp_plus\" is incompatible with "
                      "\"ssl_certificate_compression\", turn off one of "
                      "them in %s:%ui", server->file, server->line);
        return NGX_ERROR;
    }

    if (server->stapling == 1 && !ocf->took_over) {
        ocf->took_over = 1;
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"ssl_stapling\" is ignored where \"ocsp_plus\" is on, "
                      "which has taken over, first in %s:%ui",
                      server->file, server->line);
    }

    ctx = ngx_pcalloc(cf->pool, sizeof(ngx_ocsp_plus_ctx_t));
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    ctx->config = ocf->config;
    ctx->oscf = oscf;

    if (ngx_array_init(&ctx->certificates, cf->pool, 2,
                       sizeof(ngx_ocsp_plus_certificate_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    current = SSL_CTX_get0_certificate(ssl);
    rc = NGX_OK;

    if (SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_FIRST)) {

        do {
            rc = ngx_ocsp_plus_add_certificate(cf, ocf, oscf, server, ctx);

        } while (rc == NGX_OK
                 && SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_NEXT));

        SSL_CTX_select_current_cert(ssl, current);
    }

    ERR_clear_error();

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    SSL_CTX_set_tlsext_status_cb(ssl, ngx_ocsp_plus_status_callback);
    SSL_CTX_set_tlsext_status_arg(ssl, ctx);

    return NGX_OK;
}


/*
 * What the status calls a server: the names in an array whose elements hold
 * one at an offset, else where the server stands.
 */

ngx_int_t
ngx_ocsp_plus_names(ngx_conf_t *cf, ngx_ocsp_plus_server_t *server,
    ngx_array_t *server_names, size_t offset, ngx_array_t *names)
{
    size_t       len;
    u_char      *p;
    op_str_t    *str;
    ngx_str_t   *name;
    ngx_uint_t   n;

    names->nelts = 0;

    for (n = 0; server_names && n < server_names->nelts; n++) {

        p = server_names->elts;
        name = (ngx_str_t *) (p + n * server_names->size + offset);

        if (name->len == 0) {
            continue;
        }

        str = ngx_array_push(names);
        if (str == NULL) {
            return NGX_ERROR;
        }

        str->data = (const char *) name->data;
        str->len = name->len;
    }

    if (names->nelts == 0) {

        len = ngx_strlen(server->file) + 1 + NGX_INT_T_LEN;

        p = ngx_pnalloc(cf->temp_pool, len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        str = ngx_array_push(names);
        if (str == NULL) {
            return NGX_ERROR;
        }

        str->data = (const char *) p;
        str->len = ngx_snprintf(p, len, "%s:%ui", server->file, server->line)
                   - p;
    }

    server->names = names->elts;
    server->nnames = names->nelts;

    return NGX_OK;
}


/* the SSL_CTX's current certificate */

static ngx_int_t
ngx_ocsp_plus_add_certificate(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_ocsp_plus_server_t *server,
    ngx_ocsp_plus_ctx_t *ctx)
{
    op_added_t                    added;
    op_error_t                    error;
    ngx_array_t                   issuers, anchors;
    op_mention_t                  mention;
    STACK_OF(X509)               *certificates;
    ngx_ocsp_plus_certificate_t  *certificate;

    if (ngx_array_init(&issuers, cf->temp_pool, 4, sizeof(X509 *)) != NGX_OK
        || ngx_array_init(&anchors, cf->temp_pool, 4, sizeof(X509 *))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_ocsp_plus_issuers(cf, ocf, oscf, server->ssl->ctx, &issuers)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (oscf->responder_trusted_certificate.len) {
        certificates = ngx_ocsp_plus_trusted(cf, ocf,
                                  &oscf->responder_trusted_certificate,
                                  "ocsp_plus_responder_trusted_certificate");

        if (certificates == NULL
            || ngx_ocsp_plus_push_all(&anchors, certificates) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_memzero(&mention, sizeof(op_mention_t));

    mention.size = sizeof(op_mention_t);
    mention.leaf = SSL_CTX_get0_certificate(server->ssl->ctx);
    mention.issuers = issuers.elts;
    mention.nissuers = issuers.nelts;
    mention.responder_anchors = anchors.elts;
    mention.nresponder_anchors = anchors.nelts;

    if (oscf->responders) {
        mention.responders = oscf->responders->elts;
        mention.nresponders = oscf->responders->nelts;
    }

    if (oscf->files) {
        mention.files = oscf->files->elts;
        mention.nfiles = oscf->files->nelts;
    }

    mention.servers = server->names;
    mention.nservers = server->nnames;
    mention.require = oscf->require;

    if (op_config_add(ocf->config, &mention, &added, &error) != OP_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "ocsp_plus cannot use a certificate: %s in %s:%ui",
                      error.text, server->file, server->line);
        return NGX_ERROR;
    }

    if (ngx_ocsp_plus_note(cf->pool, ocf, server, mention.leaf, &added)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    certificate = ngx_array_push(&ctx->certificates);
    if (certificate == NULL) {
        return NGX_ERROR;
    }

    certificate->leaf = mention.leaf;
    certificate->index = added.index;
    certificate->label = added.label;
    certificate->require = added.required;

    return NGX_OK;
}


/* where an issuer may be found, in order of preference */

static ngx_int_t
ngx_ocsp_plus_issuers(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, SSL_CTX *ssl, ngx_array_t *issuers)
{
    int                     i;
    X509                   *certificate, **issuer;
    STACK_OF(X509)         *certificates;
    STACK_OF(X509_OBJECT)  *objects;

    if (oscf->trusted_certificate.len) {
        certificates = ngx_ocsp_plus_trusted(cf, ocf,
                                             &oscf->trusted_certificate,
                                             "ocsp_plus_trusted_certificate");

        if (certificates == NULL
            || ngx_ocsp_plus_push_all(issuers, certificates) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    /* ssl_trusted_certificate and ssl_client_certificate */

    objects = X509_STORE_get0_objects(SSL_CTX_get_cert_store(ssl));

    for (i = 0; i < sk_X509_OBJECT_num(objects); i++) {

        certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        if (certificate == NULL) {
            continue;
        }

        issuer = ngx_array_push(issuers);
        if (issuer == NULL) {
            return NGX_ERROR;
        }

        *issuer = certificate;
    }

    /* the chain that is sent to clients */

    if (SSL_CTX_get0_chain_certs(ssl, &certificates) && certificates) {
        return ngx_ocsp_plus_push_all(issuers, certificates);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_ocsp_plus_push_all(ngx_array_t *issuers, STACK_OF(X509) *certificates)
{
    int     i;
    X509  **issuer;

    for (i = 0; i < sk_X509_num(certificates); i++) {

        issuer = ngx_array_push(issuers);
        if (issuer == NULL) {
            return NGX_ERROR;
        }

        *issuer = sk_X509_value(certificates, i);
    }

    return NGX_OK;
}


/* each file is read once, however many servers name it */

static STACK_OF(X509) *
ngx_ocsp_plus_trusted(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_str_t *file, const char *directive)
{
    ngx_str_t                 name;
    ngx_uint_t                i;
    STACK_OF(X509)           *certificates;
    ngx_ocsp_plus_trusted_t  *trusted;

    name = *file;

    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return NULL;
    }

    trusted = ocf->trusted.elts;

    for (i = 0; i < ocf->trusted.nelts; i++) {

        if (trusted[i].name.len == name.len
            && ngx_strncmp(trusted[i].name.data, name.data, name.len) == 0)
        {
            return trusted[i].certificates;
        }
    }

    certificates = ngx_ocsp_plus_read_certificates(cf, &name, directive);
    if (certificates == NULL) {
        return NULL;
    }

    trusted = ngx_array_push(&ocf->trusted);
    if (trusted == NULL) {
        sk_X509_pop_free(certificates, X509_free);
        return NULL;
    }

    trusted->name = name;
    trusted->certificates = certificates;

    return certificates;
}


static STACK_OF(X509) *
ngx_ocsp_plus_read_certificates(ngx_conf_t *cf, ngx_str_t *name,
    const char *directive)
{
    BIO             *bio;
    X509            *certificate;
    u_long           n;
    STACK_OF(X509)  *certificates;

    bio = BIO_new_file((char *) name->data, "r");
    if (bio == NULL) {
        ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                      "BIO_new_file(\"%V\") failed for \"%s\"", name,
                      directive);
        return NULL;
    }

    certificates = sk_X509_new_null();

    while (certificates) {

        certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);

        if (certificate == NULL) {
            n = ERR_peek_last_error();

            if (sk_X509_num(certificates) > 0
                && ERR_GET_LIB(n) == ERR_LIB_PEM
                && ERR_GET_REASON(n) == PEM_R_NO_START_LINE)
            {
                /* the end of the file */

                ERR_clear_error();
                break;
            }

            ngx_ssl_error(NGX_LOG_EMERG, cf->log, 0,
                          "no PEM certificate can be read from \"%V\" of "
                          "\"%s\"", name, directive);

            sk_X509_pop_free(certificates, X509_free);
            certificates = NULL;
            break;
        }

        if (sk_X509_push(certificates, certificate) == 0) {
            X509_free(certificate);
            sk_X509_pop_free(certificates, X509_free);
            certificates = NULL;
        }
    }

    BIO_free(bio);

    return certificates;
}


static int
ngx_ocsp_plus_status_callback(ngx_ssl_conn_t *ssl_conn, void *data)
{
    ngx_ocsp_plus_ctx_t *ctx = data;

    op_staple_t                   staple;
    struct timeval                tv;
    op_staple_status_t            status;
    ngx_ocsp_plus_certificate_t  *certificate;

    certificate = ngx_ocsp_plus_find(ctx, SSL_get_certificate(ssl_conn));

    if (certificate == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }

    /*
     * not ngx_time(), which a long turn of the loop leaves behind, nor
     * time(), which lags by a tick of the kernel
     */

    ngx_gettimeofday(&tv);

    status = op_staple(ctx->config, certificate->index, tv.tv_sec,
                       ngx_ocsp_plus_allocate, ngx_ocsp_plus_release, &staple);

    if (status == OP_STAPLE_REVOKED
        && ctx->oscf->revoked == NGX_OCSP_PLUS_REVOKED_OMIT)
    {
        OPENSSL_free(staple.der);
        status = OP_STAPLE_NONE;
    }

    if (status == OP_STAPLE_NONE) {
        return ngx_ocsp_plus_without_staple(ssl_conn, ctx, certificate);
    }

    /* the response is OpenSSL's from here on */

    if (SSL_set_tlsext_status_ocsp_resp(ssl_conn, staple.der, staple.len)
        != 1)
    {
        OPENSSL_free(staple.der);
        return ngx_ocsp_plus_without_staple(ssl_conn, ctx, certificate);
    }

    ngx_ocsp_plus_remember(ssl_conn, ctx, certificate, OP_HANDSHAKE_STAPLED,
                           (uintptr_t) staple.expires_s << 2
                           | (status == OP_STAPLE_REVOKED
                              ? NGX_OCSP_PLUS_REVOKED : NGX_OCSP_PLUS_GOOD));

    return SSL_TLSEXT_ERR_OK;
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
        op_count_handshake(ctx->config, ngx_worker, certificate->index, what);
    }

    (void) SSL_set_ex_data(ssl_conn, ngx_ocsp_plus_index, (void *) memory);
}


void
ngx_ocsp_plus_handshake(ngx_connection_t *c, ngx_ocsp_plus_handshake_t *hs)
{
    SSL_CTX                       *ssl;
    uintptr_t                      memory;
    ngx_ocsp_plus_ctx_t           *ctx;
    ngx_ocsp_plus_certificate_t   *certificate;
    int                          (*callback)(SSL *, void *);

    ngx_memzero(hs, sizeof(ngx_ocsp_plus_handshake_t));

    if (c->ssl == NULL) {
        return;
    }

    /* of the server that the client has named */

    ssl = SSL_get_SSL_CTX(c->ssl->connection);

    callback = NULL;
    ctx = NULL;

    SSL_CTX_get_tlsext_status_cb(ssl, &callback);

    if (callback != ngx_ocsp_plus_status_callback) {
        hs->outcome = NGX_OCSP_PLUS_STAPLE_OFF;
        return;
    }

    SSL_CTX_get_tlsext_status_arg(ssl, &ctx);

    if (SSL_session_reused(c->ssl->connection)) {
        hs->outcome = NGX_OCSP_PLUS_STAPLE_RESUMED;
        return;
    }

    certificate = ngx_ocsp_plus_find(ctx,
                                     SSL_get_certificate(c->ssl->connection));
    if (certificate) {
        hs->config = ctx->config;
        hs->index = certificate->index;
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
        hs->outcome = NGX_OCSP_PLUS_STAPLE_NONE;
        break;

    default:

        /* the callback was not run, or did not know the certificate */

        hs->outcome = SSL_get_tlsext_status_type(c->ssl->connection) == -1
                      ? NGX_OCSP_PLUS_STAPLE_NOT_REQUESTED
                      : NGX_OCSP_PLUS_STAPLE_NONE;
    }
}


static int
ngx_ocsp_plus_without_staple(ngx_ssl_conn_t *ssl_conn,
    ngx_ocsp_plus_ctx_t *ctx, ngx_ocsp_plus_certificate_t *certificate)
{
    time_t             now;

    static time_t      last;
    static ngx_uint_t  refused;

    if (!certificate->require) {
        ngx_ocsp_plus_remember(ssl_conn, ctx, certificate,
                               OP_HANDSHAKE_MISSING, NGX_OCSP_PLUS_WITHOUT);
        return SSL_TLSEXT_ERR_NOACK;
    }

    ngx_ocsp_plus_remember(ssl_conn, ctx, certificate, OP_HANDSHAKE_REFUSED,
                           NGX_OCSP_PLUS_WITHOUT);

    /* nginx itself logs the alert at info only */

    now = ngx_time();
    refused++;

    if (now - last >= NGX_OCSP_PLUS_LOG_INTERVAL || now < last) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "ocsp_plus: handshake refused, no valid response is "
                      "held and \"ocsp_plus_require\" demands one: "
                      "certificate=%s refused=%ui", certificate->label,
                      refused);
        last = now;
        refused = 0;
    }

    return SSL_TLSEXT_ERR_ALERT_FATAL;
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
