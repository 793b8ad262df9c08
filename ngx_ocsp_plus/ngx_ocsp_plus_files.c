
/*
 * Reads files of certificates at configuration.
 *
 * The master is root, and another user may own a file and replace it at any
 * moment: by a FIFO, a link to a device, a file without an end.  Neither
 * opening nor reading it blocks.
 */


#include "ngx_ocsp_plus.h"


#define NGX_OCSP_PLUS_MAX_TRUSTED  (16 * 1024 * 1024)

/* OpenSSL's clients refuse chains of more than 100 kB by default */

#define NGX_OCSP_PLUS_MAX_CHAIN    (256 * 1024)


static STACK_OF(X509) *ngx_ocsp_plus_certificates(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_str_t *file, size_t max,
    const char *directive, const char *otherwise);
static STACK_OF(X509) *ngx_ocsp_plus_read_certificates(ngx_conf_t *cf,
    ngx_str_t *name, size_t max, const char *directive, const char *otherwise);
static ngx_int_t ngx_ocsp_plus_read_file(ngx_pool_t *pool, ngx_str_t *name,
    size_t max, ngx_str_t *content, const char **why);
static int ngx_ocsp_plus_no_pass_phrase(char *buf, int size, int rwflag,
    void *data);


/*
 * Reads certificates that the operator trusts, each file once, however many
 * servers name it.  An unreadable file is an error or, with "otherwise", one
 * warning that ends with that text.
 */

STACK_OF(X509) *
ngx_ocsp_plus_trusted(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_str_t *file, const char *directive, const char *otherwise)
{
    return ngx_ocsp_plus_certificates(cf, ocf, file, NGX_OCSP_PLUS_MAX_TRUSTED,
                                      directive, otherwise);
}


/* reads a certificate and its chain; an unreadable file is a warning */

STACK_OF(X509) *
ngx_ocsp_plus_chain(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_str_t *file, const char *directive, const char *otherwise)
{
    return ngx_ocsp_plus_certificates(cf, ocf, file, NGX_OCSP_PLUS_MAX_CHAIN,
                                      directive, otherwise);
}


/* reads a file whose content no message shows, a key for one */

ngx_int_t
ngx_ocsp_plus_text(ngx_conf_t *cf, ngx_str_t *file, const char *directive,
    ngx_str_t *content)
{
    u_char      *shown;
    ngx_str_t    name;
    const char  *why;

    name = *file;

    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_ocsp_plus_read_file(cf->pool, &name, NGX_OCSP_PLUS_MAX_CHAIN,
                                content, &why)
        == NGX_OK)
    {
        return NGX_OK;
    }

    shown = ngx_ocsp_plus_printable(cf->temp_pool, &name);
    if (shown == NULL) {
        return NGX_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, why ? 0 : ngx_errno,
                       "ocsp_plus cannot read \"%s\" of \"%s\"%s%s", shown,
                       directive, why ? ": " : "", why ? why : "");

    return NGX_ERROR;
}


static STACK_OF(X509) *
ngx_ocsp_plus_certificates(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_str_t *file, size_t max, const char *directive, const char *otherwise)
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

    certificates = ngx_ocsp_plus_read_certificates(cf, &name, max, directive,
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
ngx_ocsp_plus_read_certificates(ngx_conf_t *cf, ngx_str_t *name, size_t max,
    const char *directive, const char *otherwise)
{
    BIO             *bio;
    X509            *certificate;
    u_long           n;
    u_char          *shown;
    ngx_err_t        err;
    ngx_str_t        content;
    ngx_uint_t       level;
    const char      *why;
    STACK_OF(X509)  *certificates;

    level = otherwise ? NGX_LOG_WARN : NGX_LOG_EMERG;

    shown = ngx_ocsp_plus_printable(cf->temp_pool, name);
    if (shown == NULL) {
        return NULL;
    }

    if (ngx_ocsp_plus_read_file(cf->temp_pool, name, max, &content, &why)
        != NGX_OK)
    {
        err = why ? 0 : ngx_errno;

        ngx_log_error(level, cf->log, err,
                      "ocsp_plus cannot read \"%s\" of \"%s\"%s%s%s", shown,
                      directive, otherwise ? otherwise : "",
                      why ? ": " : "", why ? why : "");
        return NULL;
    }

    (void) ERR_set_mark();

    bio = BIO_new_mem_buf(content.data, (int) content.len);
    certificates = bio ? sk_X509_new_null() : NULL;

    while (certificates) {

        certificate = PEM_read_bio_X509_AUX(bio, NULL,
                                            ngx_ocsp_plus_no_pass_phrase, NULL);

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
                          "no PEM certificate can be read from \"%s\" of "
                          "\"%s\"%s", shown, directive,
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

    ngx_pfree(cf->temp_pool, content.data);

    (void) ERR_pop_to_mark();

    return certificates;
}


/* NGX_ERROR: "why" is the cause or, if that is NULL, ngx_errno */

static ngx_int_t
ngx_ocsp_plus_read_file(ngx_pool_t *pool, ngx_str_t *name, size_t max,
    ngx_str_t *content, const char **why)
{
    off_t      size;
    ssize_t    n;
    ngx_fd_t   fd;
    ngx_err_t  err;

    fd = ngx_ocsp_plus_open_regular(name->data, &size, why);

    if (fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    content->len = 0;
    content->data = NULL;

    if (size > (off_t) max) {
        *why = (max == NGX_OCSP_PLUS_MAX_CHAIN)
                   ? "it is larger than 256 kB" : "it is larger than 16 MB";

    } else {
        content->data = ngx_pnalloc(pool, (size_t) size + 1);

        if (content->data == NULL) {
            *why = "out of memory";
        }
    }

    n = 0;

    while (content->data && content->len < (size_t) size) {

        n = ngx_read_fd(fd, content->data + content->len,
                        (size_t) size - content->len);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            continue;
        }

        if (n <= 0) {
            break;
        }

        content->len += n;
    }

    err = ngx_errno;

    (void) ngx_close_file(fd);

    ngx_set_errno(err);

    return (content->data && n != -1) ? NGX_OK : NGX_ERROR;
}


/*
 * Opens a file without waiting for the writer of a FIFO or the holder of a
 * lease.  Opens regular files only, since opening has effects on some devices.
 * NGX_INVALID_FILE: "why" is the cause or, if that is NULL, ngx_errno.
 */

ngx_fd_t
ngx_ocsp_plus_open_regular(u_char *name, off_t *size, const char **why)
{
    int          flags;
    u_char       path[sizeof("/proc/self/fd/") + NGX_INT_T_LEN];
    ngx_fd_t     fd, place;
    ngx_err_t    err;
    struct stat  sb;

    *why = NULL;

    /* O_PATH names the file without opening it */

    place = open((char *) name, O_PATH|O_CLOEXEC);
    if (place == NGX_INVALID_FILE) {
        return NGX_INVALID_FILE;
    }

    fd = NGX_INVALID_FILE;

    ngx_memzero(&sb, sizeof(struct stat));

    if (fstat(place, &sb) == 0 && S_ISREG(sb.st_mode)) {

        *ngx_sprintf(path, "/proc/self/fd/%d", place) = '\0';

        flags = O_RDONLY|O_NONBLOCK|O_NOCTTY|O_CLOEXEC;

        fd = open((char *) path, flags);

        if (fd == NGX_INVALID_FILE && ngx_errno == NGX_ENOENT) {

            /* without /proc it is opened by its name and checked again */

            fd = open((char *) name, flags);

            if (fd != NGX_INVALID_FILE) {
                (void) fstat(fd, &sb);
            }
        }
    }

    err = ngx_errno;

    (void) close(place);

    if (sb.st_mode && !S_ISREG(sb.st_mode)) {
        *why = "it is no regular file";

        if (fd != NGX_INVALID_FILE) {
            (void) close(fd);
            fd = NGX_INVALID_FILE;
        }
    }

    ngx_set_errno(err);

    *size = sb.st_size;

    return fd;
}


/* makes a name that others chose safe to log; terminated */

u_char *
ngx_ocsp_plus_printable(ngx_pool_t *pool, ngx_str_t *name)
{
    size_t   size;
    u_char  *shown;

    size = 4 * name->len + 1;

    shown = ngx_pnalloc(pool, size);

    if (shown) {
        (void) op_printable(ngx_ocsp_plus_str(name), (char *) shown, size);
    }

    return shown;
}


/* OpenSSL would ask for a password at the terminal, and wait */

static int
ngx_ocsp_plus_no_pass_phrase(char *buf, int size, int rwflag, void *data)
{
    return -1;
}
