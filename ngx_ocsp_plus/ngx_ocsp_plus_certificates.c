
/*
 * A server's certificates, told to the core at configuration.
 *
 * The table that leads from a certificate to its entry belongs to the
 * SSL_CTX.  Nothing is attached to certificates themselves: newer nginx
 * shares them among servers and over reloads.
 */


#include "ngx_ocsp_plus.h"


static ngx_int_t ngx_ocsp_plus_add_certificate(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf,
    ngx_ocsp_plus_server_t *server, ngx_ocsp_plus_ctx_t *ctx);
static ngx_int_t ngx_ocsp_plus_mention(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf,
    ngx_ocsp_plus_server_t *server, ngx_array_t *issuers,
    op_mention_t *mention);
static ngx_int_t ngx_ocsp_plus_add_profile(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf,
    ngx_ocsp_plus_server_t *server, ngx_ocsp_plus_ctx_t *ctx);
static ngx_int_t ngx_ocsp_plus_issuers(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf, SSL_CTX *ssl,
    ngx_array_t *issuers);
static ngx_int_t ngx_ocsp_plus_staple_nothing(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf,
    ngx_ocsp_plus_server_t *server, op_error_t *why);


ngx_int_t
ngx_ocsp_plus_add_server(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_ocsp_plus_server_t *server)
{
    X509                 *current;
    SSL_CTX              *ssl;
    ngx_int_t             rc;
    op_error_t            error;
    ngx_ocsp_plus_ctx_t  *ctx;

    if (!oscf->enable || server->ssl->ctx == NULL) {
        return NGX_OK;
    }

    ssl = server->ssl->ctx;

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

    ctx->ssl = ssl;
    ctx->config = ocf->config;
    ctx->oscf = oscf;
    ctx->name.data = (u_char *) server->names[0].data;
    ctx->name.len = server->names[0].len;

    if (ngx_array_init(&ctx->certificates, cf->pool, 2,
                       sizeof(ngx_ocsp_plus_certificate_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_ocsp_plus_add_profile(cf, ocf, oscf, server, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    (void) ERR_set_mark();

    current = SSL_CTX_get0_certificate(ssl);
    rc = NGX_OK;

    if (SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_FIRST)) {

        do {
            rc = ngx_ocsp_plus_add_certificate(cf, ocf, oscf, server, ctx);

        } while (rc == NGX_OK
                 && SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_NEXT));

        SSL_CTX_select_current_cert(ssl, current);
    }

    (void) ERR_pop_to_mark();

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (op_openssl_can_staple(&error) != OP_OK) {
        return ngx_ocsp_plus_staple_nothing(cf, ocf, oscf, server, &error);
    }

    if (ngx_ocsp_plus_handshake_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_ocsp_plus_set_callback(cf, ocf, ctx);
}


/*
 * The engine works as ever, so that an upgrade of OpenSSL finds all in place,
 * but no handshake sees of it, nor of nginx's own stapling.
 */

static ngx_int_t
ngx_ocsp_plus_staple_nothing(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_ocsp_plus_server_t *server,
    op_error_t *why)
{
    if (oscf->require == NGX_OCSP_PLUS_REQUIRE_ON) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"ocsp_plus_require on\" would refuse every handshake "
                      "that asks for a status: %s in %s:%ui",
                      why->text, server->file, server->line);
        return NGX_ERROR;
    }

    if (!ocf->openssl_told) {
        ocf->openssl_told = 1;
        ngx_log_error(NGX_LOG_ERR, cf->log, 0,
                      "ocsp_plus: nothing is stapled at all: %s",
                      why->text);
    }

    SSL_CTX_set_tlsext_status_cb(server->ssl->ctx, NULL);
    SSL_CTX_set_tlsext_status_arg(server->ssl->ctx, NULL);

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

        p = ngx_pnalloc(cf->pool, len);
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
    ngx_array_t                   issuers;
    op_mention_t                  mention;
    STACK_OF(X509)               *chain;
    ngx_ocsp_plus_certificate_t  *certificate;

    if (ngx_ocsp_plus_mention(cf, ocf, oscf, server, &issuers, &mention)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    mention.leaf = SSL_CTX_get0_certificate(server->ssl->ctx);

    /* the chain that is sent to clients is looked at last */

    if (SSL_CTX_get0_chain_certs(server->ssl->ctx, &chain) && chain) {

        if (ngx_ocsp_plus_push_all(&issuers, chain) != NGX_OK) {
            return NGX_ERROR;
        }

        mention.issuers = issuers.elts;
        mention.nissuers = issuers.nelts;
    }

    if (ngx_ocsp_plus_register(cf, ocf, server, &mention, &added) != NGX_OK) {
        return NGX_ERROR;
    }

    certificate = ngx_array_push(&ctx->certificates);
    if (certificate == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(certificate, sizeof(ngx_ocsp_plus_certificate_t));

    certificate->leaf = mention.leaf;
    certificate->require = added.required;

    if (added.unusable[0]) {
        certificate->unusable = 1;
        return NGX_OK;
    }

    op_configured(ocf->config, added.index, &certificate->id);
    certificate->label = added.label;

    return NGX_OK;
}


ngx_int_t
ngx_ocsp_plus_register(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_server_t *server, op_mention_t *mention, op_added_t *added)
{
    op_error_t  error;

    if (op_config_add(ocf->config, mention, added, &error) != OP_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "ocsp_plus cannot use a certificate: %s in %s:%ui",
                      error.text, server->file, server->line);
        return NGX_ERROR;
    }

    if (added->unusable[0]) {
        ocf->unusable = 1;
        return ngx_ocsp_plus_report_unusable(cf->log, server, mention->leaf,
                                             added);
    }

    return ngx_ocsp_plus_note(cf->pool, ocf, server, mention->leaf, added);
}


/* of all certificates of a server; the issuers are those that it trusts */

static ngx_int_t
ngx_ocsp_plus_mention(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_ocsp_plus_server_t *server,
    ngx_array_t *issuers, op_mention_t *mention)
{
    ngx_array_t      anchors;
    STACK_OF(X509)  *certificates;

    if (ngx_array_init(issuers, cf->temp_pool, 4, sizeof(X509 *)) != NGX_OK
        || ngx_array_init(&anchors, cf->temp_pool, 4, sizeof(X509 *))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_ocsp_plus_issuers(cf, ocf, oscf, server->ssl->ctx, issuers)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (oscf->responder_trusted_certificate.len) {
        certificates = ngx_ocsp_plus_trusted(cf, ocf,
                                  &oscf->responder_trusted_certificate,
                                  "ocsp_plus_responder_trusted_certificate",
                                  NULL);

        if (certificates == NULL
            || ngx_ocsp_plus_push_all(&anchors, certificates) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    ngx_memzero(mention, sizeof(op_mention_t));

    mention->size = sizeof(op_mention_t);
    mention->issuers = issuers->elts;
    mention->nissuers = issuers->nelts;
    mention->responder_anchors = anchors.elts;
    mention->nresponder_anchors = anchors.nelts;

    if (oscf->responders) {
        mention->responders = oscf->responders->elts;
        mention->nresponders = oscf->responders->nelts;
    }

    if (oscf->files) {
        mention->files = oscf->files->elts;
        mention->nfiles = oscf->files->nelts;
    }

    mention->servers = server->names;
    mention->nservers = server->nnames;
    mention->require = oscf->require;

    return NGX_OK;
}


/*
 * What is to be known of certificates that come with a connection.  Each
 * server may have such: another module may set them, and nobody tells.
 */

static ngx_int_t
ngx_ocsp_plus_add_profile(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_ocsp_plus_server_t *server,
    ngx_ocsp_plus_ctx_t *ctx)
{
    op_error_t    error;
    ngx_array_t   issuers;
    op_mention_t  mention;

    if (ngx_ocsp_plus_mention(cf, ocf, oscf, server, &issuers, &mention)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (op_config_add_profile(ocf->config, &mention, server->loads,
                              &ctx->profile, &error)
        != OP_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "ocsp_plus cannot use a server: %s in %s:%ui",
                      error.text, server->file, server->line);
        return NGX_ERROR;
    }

    if (error.text[0] && !ocf->trusted_told) {
        ocf->trusted_told = 1;
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "ocsp_plus: a trusted certificate is left out, no "
                      "issuer is found in it: %s, first in %s:%ui",
                      error.text, server->file, server->line);
    }

    return NGX_OK;
}


/* the issuers that a server trusts, in order of preference */

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
                                             "ocsp_plus_trusted_certificate",
                                             NULL);

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

    return NGX_OK;
}


ngx_int_t
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
