/*
 * For LD_PRELOAD: another module that brings OCSP responses of its own, in the way of Lua's
 * ngx.ocsp.set_ocsp_status_resp(): from the certificate callback of a connection it sets the response and puts a status
 * callback that says "send it" into the SSL_CTX, where it stays. By the environment at the start of the process:
 *
 *   FOREIGN_RESPONSES=DIRECTORY   it does so in handshakes that name a server of which NAME.der is there
 *   FOREIGN_BLIND=1               it has also taken the callback that asks whether a session may be resumed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST 65536

static const char *directory;
static int         blind;

/* nginx changes its environment */
__attribute__((constructor)) static void
read_environment(void)
{
    const char  *path = getenv("FOREIGN_RESPONSES");

    directory = path ? strdup(path) : NULL;
    blind = getenv("FOREIGN_BLIND") != NULL;
}

static int
on_status(SSL *ssl, void *data)
{
    (void) ssl;
    (void) data;
    return SSL_TLSEXT_ERR_OK;
}

static int
on_certificate(SSL *ssl, void *data)
{
    char            path[4096];
    FILE           *file;
    size_t          length;
    const char     *name;
    unsigned char  *response;

    (void) data;

    name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    if (name == NULL || SSL_get_tlsext_status_type(ssl) == -1) {
        return 1;
    }

    snprintf(path, sizeof(path), "%s/%s.der", directory, name);
    file = fopen(path, "rb");

    if (file == NULL) {
        return 1;
    }

    response = OPENSSL_malloc(LARGEST);

    if (response == NULL) {
        abort();
    }

    length = fread(response, 1, LARGEST, file);
    fclose(file);

    SSL_set_tlsext_status_ocsp_resp(ssl, response, (long) length);
    SSL_CTX_set_tlsext_status_cb(SSL_get_SSL_CTX(ssl), on_status);

    return 1;
}

__attribute__((visibility("default"))) SSL_CTX *
SSL_CTX_new(const SSL_METHOD *method)
{
    SSL_CTX  *ctx, *(*next)(const SSL_METHOD *);

    *(void **) &next = dlsym(RTLD_NEXT, "SSL_CTX_new");
    ctx = next(method);

    if (ctx != NULL && directory != NULL) {
        SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
    }

    return ctx;
}

__attribute__((visibility("default"))) void
SSL_CTX_set_not_resumable_session_callback(SSL_CTX *ctx, int (*callback)(SSL *ssl, int is_forward_secure))
{
    void  (*next)(SSL_CTX *, int (*)(SSL *, int));

    if (blind) {
        return;
    }

    *(void **) &next = dlsym(RTLD_NEXT, "SSL_CTX_set_not_resumable_session_callback");
    next(ctx, callback);
}

/* The functions above stand for OpenSSL's own, whoever asks where they are: it is no second OpenSSL. */
__attribute__((visibility("default"))) int
dladdr(const void *address, Dl_info *info)
{
    int  (*next)(const void *, Dl_info *);

    *(void **) &next = dlsym(RTLD_NEXT, "dladdr");

    if (address == (const void *) SSL_CTX_set_not_resumable_session_callback) {
        address = dlsym(RTLD_NEXT, "SSL_CTX_set_not_resumable_session_callback");

    } else if (address == (const void *) SSL_CTX_new) {
        address = dlsym(RTLD_NEXT, "SSL_CTX_new");
    }

    return next(address, info);
}
