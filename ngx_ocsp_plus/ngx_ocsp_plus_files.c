
/*
 * Files of certificates, read at configuration.
 */


#include "ngx_ocsp_plus.h"


static STACK_OF(X509) *ngx_ocsp_plus_read_certificates(ngx_conf_t *cf,
    ngx_str_t *name, const char *directive, const char *otherwise);


/*
 * Each file is read once, however many servers name it.  One that cannot be
 * read is an error, or, with "otherwise", a warning that ends with it, told
 * once.
 */

STACK_OF(X509) *
ngx_ocsp_plus_trusted(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_str_t *file, const char *directive, const char *otherwise)
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
            && ngx_strncmp(trusted[i].name.data, name.data, name.len) == 0
            && (trusted[i].certificates || otherwise))
        {
            return trusted[i].certificates;
        }
    }

    certificates = ngx_ocsp_plus_read_certificates(cf, &name, directive,
                                                   otherwise);
    if (certificates == NULL && otherwise == NULL) {
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
    const char *directive, const char *otherwise)
{
    BIO             *bio;
    X509            *certificate;
    u_long           n;
    ngx_uint_t       level;
    STACK_OF(X509)  *certificates;

    level = otherwise ? NGX_LOG_WARN : NGX_LOG_EMERG;

    (void) ERR_set_mark();

    bio = BIO_new_file((char *) name->data, "r");
    if (bio == NULL) {
        ngx_ssl_error(level, cf->log, 0,
                      "BIO_new_file(\"%V\") failed for \"%s\"%s", name,
                      directive, otherwise ? otherwise : "");
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

                break;
            }

            ngx_ssl_error(level, cf->log, 0,
                          "no PEM certificate can be read from \"%V\" of "
                          "\"%s\"%s", name, directive,
                          otherwise ? otherwise : "");

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

    (void) ERR_pop_to_mark();

    return certificates;
}
