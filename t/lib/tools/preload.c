/*
 * System calls that answer as they would elsewhere. For LD_PRELOAD; the environment says which:
 *
 *   OCSP_PLUS_NO_GROUPS=1      initgroups() and setgroups() fail as in a user namespace that maps no groups
 *   OCSP_PLUS_STATFS=26985     statfs() says that every file system is of this type
 *   OCSP_PLUS_KILL_HELPER=1    nginx's start helper is killed before it has looked at anything
 *   OCSP_PLUS_NO_KILL=1        SIGKILL does nothing yet, as to a process that hangs in the kernel
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/statfs.h>

#define PUBLIC __attribute__((visibility("default")))

static void *
real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

PUBLIC int
initgroups(const char *user, gid_t group)
{
    int  (*next)(const char *, gid_t);

    if (getenv("OCSP_PLUS_NO_GROUPS")) {
        errno = EPERM;
        return -1;
    }

    *(void **) &next = real("initgroups");
    return next(user, group);
}

PUBLIC int
setgroups(size_t size, const gid_t *list)
{
    int  (*next)(size_t, const gid_t *);

    if (getenv("OCSP_PLUS_NO_GROUPS")) {
        errno = EPERM;
        return -1;
    }

    *(void **) &next = real("setgroups");
    return next(size, list);
}

PUBLIC int
statfs(const char *path, struct statfs *found)
{
    int          (*next)(const char *, struct statfs *);
    int            result;
    const char    *type;

    *(void **) &next = real("statfs");
    result = next(path, found);

    type = getenv("OCSP_PLUS_STATFS");
    if (result == 0 && type) {
        found->f_type = strtol(type, NULL, 10);
    }

    return result;
}

PUBLIC int
kill(pid_t pid, int number)
{
    int  (*next)(pid_t, int);

    if (number == SIGKILL && getenv("OCSP_PLUS_NO_KILL")) {
        return 0;
    }

    *(void **) &next = real("kill");
    return next(pid, number);
}

/* No other process of nginx asks for this. */

PUBLIC int
prctl(int option, ...)
{
    int            (*next)(int, ...);
    va_list          rest;
    unsigned long    arg[4];

    va_start(rest, option);
    for (int i = 0; i < 4; i++) {
        arg[i] = va_arg(rest, unsigned long);
    }
    va_end(rest);

    if (option == PR_SET_PDEATHSIG && getenv("OCSP_PLUS_KILL_HELPER")) {
        raise(SIGKILL);
    }

    *(void **) &next = real("prctl");
    return next(option, arg[0], arg[1], arg[2], arg[3]);
}
