/*
 * A second OpenSSL, as far as the dynamic linker can tell: one function of libcrypto that comes from another object.
 * For LD_PRELOAD; it forwards to the real one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>

__attribute__((visibility("default"))) void X509_free(void *certificate);

void
X509_free(void *certificate)
{
    void  (*next)(void *);

    *(void **) &next = dlsym(RTLD_NEXT, "X509_free");
    next(certificate);
}
