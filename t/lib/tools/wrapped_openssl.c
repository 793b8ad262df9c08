/*
 * For LD_PRELOAD: an OpenSSL that says it is of another version, one that cannot hash some certificates, and one that
 * looks at its queue of errors around each call of a status callback. By the environment at the start of the process:
 *
 *   WRAPPED_OPENSSL_VERSION=0x30600000   what OpenSSL_version_num() says
 *   WRAPPED_OPENSSL_UNHASHABLE=NAME      X509_digest() has no SHA-256 of certificates in whose subjects this stands;
 *                                        SHA-1 it has, which nginx itself asks for
 *   WRAPPED_OPENSSL_FAILS=stack          in a status callback the first OPENSSL_sk_new_reserve() has no memory
 *   WRAPPED_OPENSSL_FAILS=response       nor has the second d2i_OCSP_RESPONSE() of one
 *   WRAPPED_OPENSSL_LOG=FILE             a line is appended for each call of a status callback: how the queue was
 *                                        ("empty" or "queued"), and "same", or what has become of it
 *
 * Every second call finds two errors in the queue and a mark between them, as one in the midst of OpenSSL's own work
 * might.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST 17
#define SECOND 18

typedef int (*status_callback)(SSL *ssl, void *data);

static const char *version;
static const char *unhashable;
static const char *fails;
static const char *file;
static status_callback callback;
static int inside;    /* the callback */
static int stacks;    /* made since it began */
static int responses; /* parsed since then */

/* nginx changes its environment */
static const char *
copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

__attribute__((constructor)) static void
read_environment(void)
{
    version = copy(getenv("WRAPPED_OPENSSL_VERSION"));
    unhashable = copy(getenv("WRAPPED_OPENSSL_UNHASHABLE"));
    fails = copy(getenv("WRAPPED_OPENSSL_FAILS"));
    file = copy(getenv("WRAPPED_OPENSSL_LOG"));
}

__attribute__((visibility("default"))) unsigned long
OpenSSL_version_num(void)
{
    unsigned long  (*next)(void);

    if (version != NULL) {
        return strtoul(version, NULL, 16);
    }

    *(void **) &next = dlsym(RTLD_NEXT, "OpenSSL_version_num");
    return next();
}

__attribute__((visibility("default"))) int
X509_digest(const X509 *certificate, const EVP_MD *type, unsigned char *digest, unsigned int *length)
{
    char  subject[256];
    int  (*next)(const X509 *, const EVP_MD *, unsigned char *, unsigned int *);

    X509_NAME_oneline(X509_get_subject_name(certificate), subject, sizeof(subject));

    if (unhashable != NULL && EVP_MD_is_a(type, "SHA256") && strstr(subject, unhashable) != NULL) {
        ERR_raise(ERR_LIB_USER, FIRST);
        return 0;
    }

    *(void **) &next = dlsym(RTLD_NEXT, "X509_digest");
    return next(certificate, type, digest, length);
}

static int
has_no_memory(const char *what)
{
    if (!inside || fails == NULL || strcmp(fails, what) != 0) {
        return 0;
    }

    ERR_raise(ERR_LIB_USER, ERR_R_MALLOC_FAILURE);
    return 1;
}

__attribute__((visibility("default"))) OPENSSL_STACK *
OPENSSL_sk_new_reserve(OPENSSL_sk_compfunc compare, int n)
{
    OPENSSL_STACK *(*next)(OPENSSL_sk_compfunc, int);

    if (inside && ++stacks == 1 && has_no_memory("stack")) {
        return NULL;
    }

    *(void **) &next = dlsym(RTLD_NEXT, "OPENSSL_sk_new_reserve");
    return next(compare, n);
}

__attribute__((visibility("default"))) OCSP_RESPONSE *
d2i_OCSP_RESPONSE(OCSP_RESPONSE **to, const unsigned char **in, long length)
{
    OCSP_RESPONSE *(*next)(OCSP_RESPONSE **, const unsigned char **, long);

    if (inside && ++responses == 2 && has_no_memory("response")) {
        return NULL;
    }

    *(void **) &next = dlsym(RTLD_NEXT, "d2i_OCSP_RESPONSE");
    return next(to, in, length);
}

static void
say(const char *before, const char *after)
{
    char  line[128];
    int   fd, length;

    length = snprintf(line, sizeof(line), "%s %s\n", before, after);
    fd = open(file, O_WRONLY | O_APPEND);

    if (fd == -1 || write(fd, line, (size_t) length) != length) {
        abort();
    }

    close(fd);
}

static int
on_status(SSL *ssl, void *data)
{
    int                  result, queued;
    static unsigned int  calls;

    queued = calls++ % 2;
    ERR_clear_error();

    if (queued) {
        ERR_raise(ERR_LIB_USER, FIRST);
        ERR_set_mark();
        ERR_raise(ERR_LIB_USER, SECOND);
    }

    inside = 1;
    stacks = 0;
    responses = 0;
    result = callback(ssl, data);
    inside = 0;

    if (!queued) {
        say("empty", ERR_peek_error() == 0 ? "same" : "some are left behind");

    } else if (ERR_GET_REASON(ERR_peek_last_error()) != SECOND) {
        say("queued", ERR_peek_error() == 0 ? "none is left" : "another is the newest");

    } else if (ERR_pop_to_mark() != 1 || ERR_GET_REASON(ERR_peek_last_error()) != FIRST) {
        say("queued", "the mark is lost");

    } else {
        ERR_get_error();
        say("queued", ERR_peek_error() == 0 ? "same" : "there are more");
    }

    ERR_clear_error();
    return result;
}

__attribute__((visibility("default"))) long
SSL_CTX_callback_ctrl(SSL_CTX *ctx, int command, void (*function)(void))
{
    long  (*next)(SSL_CTX *, int, void (*)(void));

    *(void **) &next = dlsym(RTLD_NEXT, "SSL_CTX_callback_ctrl");

    if (command == SSL_CTRL_SET_TLSEXT_STATUS_REQ_CB && function != NULL && file != NULL) {
        callback = (status_callback) function;
        function = (void (*)(void)) on_status;
    }

    return next(ctx, command, function);
}

/* Who asks for the callback finds the one that was set. */
__attribute__((visibility("default"))) long
SSL_CTX_ctrl(SSL_CTX *ctx, int command, long number, void *data)
{
    long  result;
    long  (*next)(SSL_CTX *, int, long, void *);

    *(void **) &next = dlsym(RTLD_NEXT, "SSL_CTX_ctrl");
    result = next(ctx, command, number, data);

    if (command == SSL_CTRL_GET_TLSEXT_STATUS_REQ_CB && *(status_callback *) data == on_status) {
        *(status_callback *) data = callback;
    }

    return result;
}

/* The functions above stand for OpenSSL's own, whoever asks where they are: it is no second OpenSSL. */
__attribute__((visibility("default"))) int
dladdr(const void *address, Dl_info *info)
{
    int     (*next)(const void *, Dl_info *);
    size_t  i;

    static const struct {
        const void  *address;
        const char  *name;
    } own[] = {
        { (const void *) OpenSSL_version_num, "OpenSSL_version_num" },
        { (const void *) X509_digest, "X509_digest" },
        { (const void *) OPENSSL_sk_new_reserve, "OPENSSL_sk_new_reserve" },
        { (const void *) d2i_OCSP_RESPONSE, "d2i_OCSP_RESPONSE" },
        { (const void *) SSL_CTX_callback_ctrl, "SSL_CTX_callback_ctrl" },
        { (const void *) SSL_CTX_ctrl, "SSL_CTX_ctrl" },
    };

    *(void **) &next = dlsym(RTLD_NEXT, "dladdr");

    for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (address == own[i].address) {
            address = dlsym(RTLD_NEXT, own[i].name);
            break;
        }
    }

    return next(address, info);
}
