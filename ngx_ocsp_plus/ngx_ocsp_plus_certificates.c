
/*
 * Passes a server's certificates to the core at configuration.
 *
 * The core's server, to which the SSL_CTX points, maps a certificate to its
 * entry.  Nothing is attached to the certificates themselves: newer nginx
 * shares them among servers and over reloads.
 */


#include "ngx_ocsp_plus.h"


static void ngx_ocsp_plus_warn_left_over(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_server_t *server);
static ngx_int_t ngx_ocsp_plus_names(ngx_conf_t *cf,
    ngx_ocsp_plus_server_t *server, ngx_array_t *names);
static op_server_t *ngx_ocsp_plus_create_server(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf,
    ngx_ocsp_plus_server_t *server, op_str_t *place);
static ngx_int_t ngx_ocsp_plus_add_certificates(ngx_conf_t *cf, SSL_CTX *ssl,
    op_server_t *server, op_str_t *place);
static ngx_int_t ngx_ocsp_plus_issuers(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf, SSL_CTX *ssl,
    ngx_array_t *issuers);


ngx_int_t
ngx_ocsp_plus_add_server(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_ocsp_plus_server_t *server)
{
    SSL_CTX              *ssl;
    op_str_t              place;
    ngx_array_t           names;
    ngx_ocsp_plus_ctx_t  *ctx;

    ssl = server->ssl->ctx;

    if (!oscf->enable || ssl == NULL) {
        ngx_ocsp_plus_watch(ssl);
        return NGX_OK;
    }

    /* a certificate that OpenSSL has compressed carries no staple */

    if (server->compression) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"ocsp_plus\" is incompatible with "
                      "\"ssl_certificate_compression\", turn off one of "
                      "them in %s:%ui", server->file, server->line);
        return NGX_ERROR;
    }

    ngx_ocsp_plus_warn_left_over(cf, ocf, server);

    ctx = ngx_pcalloc(cf->pool, sizeof(ngx_ocsp_plus_ctx_t));

    if (ctx == NULL || ngx_ocsp_plus_names(cf, server, &names) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->ssl = ssl;
    ctx->chain = oscf->chain;
    ctx->name.data = (u_char *) server->names[0].data;
    ctx->name.len = server->names[0].len;

    ctx->server = ngx_ocsp_plus_create_server(cf, ocf, oscf, server, &place);
    oscf->server = ctx->server;

    if (ctx->server == NULL
        || ngx_ocsp_plus_add_certificates(cf, ssl, ctx->server, &place)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /*
     * The engine fetches as usual, so an upgrade of OpenSSL finds all in
     * place, but neither it nor nginx's own stapling touches a handshake.
     */

    if (ocf->unfit) {
        SSL_CTX_set_tlsext_status_cb(ssl, NULL);
        SSL_CTX_set_tlsext_status_arg(ssl, NULL);

        return NGX_OK;
    }

    if (ngx_ocsp_plus_handshake_init(cf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_ocsp_plus_set_callback(cf, ocf, ctx);
}


/* warns of each directive of nginx's own stapling in the first such server */

static void
ngx_ocsp_plus_warn_left_over(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_server_t *server)
{
    ngx_uint_t  i, found;

    static const struct {
        ngx_uint_t   left_over;
        const char  *name;
        const char  *remedy;
    } directives[] = {
        { NGX_OCSP_PLUS_LEFT_OVER_STAPLING, "ssl_stapling",
          "which has taken over" },
        { NGX_OCSP_PLUS_LEFT_OVER_FILE, "ssl_stapling_file",
          "\"ocsp_plus_file\" takes its place" },
        { NGX_OCSP_PLUS_LEFT_OVER_RESPONDER, "ssl_stapling_responder",
          "\"ocsp_plus_responder\" takes its place" },
    };

    found = server->left_over & ~ocf->left_over;
    ocf->left_over |= found;

    for (i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
        if (found & directives[i].left_over) {
            ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                          "\"%s\" is ignored where \"ocsp_plus\" is on, %s, "
                          "first in %s:%ui", directives[i].name,
                          directives[i].remedy, server->file, server->line);
        }
    }
}


/*
 * Collects the names by which the status lists a server: its own, else its
 * place.
 */

static ngx_int_t
ngx_ocsp_plus_names(ngx_conf_t *cf, ngx_ocsp_plus_server_t *server,
    ngx_array_t *names)
{
    u_char      *p;
    op_str_t    *str;
    ngx_str_t   *name;
    ngx_uint_t   n;

    if (ngx_array_init(names, cf->temp_pool, 4, sizeof(op_str_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    for (n = 0; server->named && n < server->named->nelts; n++) {

        p = server->named->elts;
        name = (ngx_str_t *) (p + n * server->named->size + server->offset);

        if (name->len == 0) {
            continue;
        }

        str = ngx_array_push(names);
        if (str == NULL) {
            return NGX_ERROR;
        }

        *str = ngx_ocsp_plus_str(name);
    }

    if (names->nelts == 0) {

        str = ngx_array_push(names);
        if (str == NULL
            || ngx_ocsp_plus_place(cf->pool, server->file, server->line, str)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    server->names = names->elts;
    server->nnames = names->nelts;

    return NGX_OK;
}


/* formats a place in the configuration, for people */

ngx_int_t
ngx_ocsp_plus_place(ngx_pool_t *pool, u_char *file, ngx_uint_t line,
    op_str_t *place)
{
    size_t   len;
    u_char  *p;

    len = ngx_strlen(file) + 1 + NGX_INT_T_LEN;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    place->data = (const char *) p;
    place->len = ngx_snprintf(p, len, "%s:%ui", file, line) - p;

    return NGX_OK;
}


static op_server_t *
ngx_ocsp_plus_create_server(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_ocsp_plus_server_t *server,
    op_str_t *place)
{
    op_error_t               error;
    op_server_t             *created;
    ngx_array_t              issuers, anchors;
    op_server_directives_t   directives;

    if (ngx_array_init(&issuers, cf->temp_pool, 4, sizeof(X509 *)) != NGX_OK
        || ngx_array_init(&anchors, cf->temp_pool, 4, sizeof(X509 *))
           != NGX_OK
        || ngx_ocsp_plus_issuers(cf, ocf, oscf, server->ssl->ctx, &issuers)
           != NGX_OK
        || ngx_ocsp_plus_push_file(cf, ocf,
                                   &oscf->responder_trusted_certificate,
                                   "ocsp_plus_responder_trusted_certificate",
                                   NULL, &anchors)
           != NGX_OK
        || ngx_ocsp_plus_place(cf->temp_pool, server->file, server->line,
                               place)
           != NGX_OK)
    {
        return NULL;
    }

    ngx_memzero(&directives, sizeof(op_server_directives_t));

    directives.place = *place;
    directives.names = server->names;
    directives.nnames = server->nnames;
    directives.trusted = issuers.elts;
    directives.ntrusted = issuers.nelts;
    directives.responder_anchors = anchors.elts;
    directives.nresponder_anchors = anchors.nelts;

    if (oscf->responders) {
        directives.responders = oscf->responders->elts;
        directives.nresponders = oscf->responders->nelts;
    }

    if (oscf->files) {
        directives.files = oscf->files->elts;
        directives.nfiles = oscf->files->nelts;
    }

    directives.require = oscf->require;
    directives.refresh_s = oscf->refresh;
    directives.omit_revoked = (oscf->revoked == NGX_OCSP_PLUS_REVOKED_OMIT);
    directives.chain = (int) oscf->chain;
    directives.loads = (int) server->loads;

    created = op_server_create(ocf->config, &directives, &error);

    if (created == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "ocsp_plus cannot use a server: %s in %s:%ui",
                      error.text, server->file, server->line);
    }

    return created;
}


static ngx_int_t
ngx_ocsp_plus_add_certificates(ngx_conf_t *cf, SSL_CTX *ssl,
    op_server_t *server, op_str_t *place)
{
    X509            *current;
    ngx_int_t        rc;
    STACK_OF(X509)  *chain;

    (void) ERR_set_mark();

    current = SSL_CTX_get0_certificate(ssl);
    rc = NGX_OK;

    if (SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_FIRST)) {

        do {
            chain = NULL;
            (void) SSL_CTX_get0_chain_certs(ssl, &chain);

            rc = ngx_ocsp_plus_add_certificate(cf, server,
                                               SSL_CTX_get0_certificate(ssl),
                                               chain, place);

        } while (rc == NGX_OK
                 && SSL_CTX_set_current_cert(ssl, SSL_CERT_SET_NEXT));

        SSL_CTX_select_current_cert(ssl, current);
    }

    (void) ERR_pop_to_mark();

    return rc;
}


ngx_int_t
ngx_ocsp_plus_add_certificate(ngx_conf_t *cf, op_server_t *server, X509 *leaf,
    STACK_OF(X509) *chain, op_str_t *place)
{
    op_str_t     file;
    op_error_t   error;
    ngx_array_t  issuers;

    if (ngx_array_init(&issuers, cf->temp_pool, 4, sizeof(X509 *)) != NGX_OK
        || ngx_ocsp_plus_push_all(&issuers, chain, 0) != NGX_OK)
    {
        return NGX_ERROR;
    }

    file.data = X509_get_ex_data(leaf, ngx_ssl_certificate_name_index);
    file.len = file.data ? ngx_strlen(file.data) : 0;

    if (op_server_add(server, leaf, issuers.elts, issuers.nelts, file, &error)
        != OP_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "ocsp_plus cannot use a certificate: %s in %*s",
                      error.text, place->len, place->data);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* collects the issuers that a server trusts, in order of preference */

static ngx_int_t
ngx_ocsp_plus_issuers(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, SSL_CTX *ssl, ngx_array_t *issuers)
{
    int                     i;
    X509                   *certificate, **issuer;
    STACK_OF(X509_OBJECT)  *objects;

    if (ngx_ocsp_plus_push_file(cf, ocf, &oscf->trusted_certificate,
                                "ocsp_plus_trusted_certificate", NULL, issuers)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* certificates of ssl_trusted_certificate and ssl_client_certificate */

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


/* pushes the certificates of a file that a directive names, if it does */

ngx_int_t
ngx_ocsp_plus_push_file(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_str_t *file, const char *directive, const char *otherwise,
    ngx_array_t *issuers)
{
    STACK_OF(X509)  *certificates;

    if (file->len == 0) {
        return NGX_OK;
    }

    certificates = ngx_ocsp_plus_trusted(cf, ocf, file, directive, otherwise);
    if (certificates == NULL) {
        return otherwise ? NGX_OK : NGX_ERROR;
    }

    return ngx_ocsp_plus_push_all(issuers, certificates, 0);
}


ngx_int_t
ngx_ocsp_plus_push_all(ngx_array_t *issuers, STACK_OF(X509) *certificates,
    int first)
{
    int     i;
    X509  **issuer;

    for (i = first; i < sk_X509_num(certificates); i++) {

        issuer = ngx_array_push(issuers);
        if (issuer == NULL) {
            return NGX_ERROR;
        }

        *issuer = sk_X509_value(certificates, i);
    }

    return NGX_OK;
}
