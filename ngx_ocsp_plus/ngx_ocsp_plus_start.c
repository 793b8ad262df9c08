
/*
 * The start helper: a process that fills the zone before the workers begin.
 *
 * The master, which is root, parses no byte of the cache folder or of the
 * network: it forks the helper, which gives its rights up first, and waits
 * for it, but not past the deadline and not against a signal.
 */


#include "ngx_ocsp_plus.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>


/* reading the cache folder is not waiting: it may take so much longer, ms */
#define NGX_OCSP_PLUS_START_GRACE  30000
#define NGX_OCSP_PLUS_START_TURN   20


static void ngx_ocsp_plus_cache_user(ngx_cycle_t *cycle,
    op_cache_user_t *user);
static void ngx_ocsp_plus_helper(ngx_cycle_t *cycle,
    ngx_ocsp_plus_conf_t *ocf, pid_t master);
static ngx_int_t ngx_ocsp_plus_drop_rights(ngx_cycle_t *cycle);
static ngx_uint_t ngx_ocsp_plus_signalled(void);


/*
 * The cache directory belongs to the worker user.  Whatever fails costs the
 * cache only, and the engine says so where it uses the directory.
 */

void
ngx_ocsp_plus_prepare_cache(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    op_error_t       error;
    op_cache_user_t  user;

    ngx_ocsp_plus_cache_user(cycle, &user);

    if (op_cache_prepare(ocf->config, &user, &error) != OP_OK) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "ocsp_plus: the cache directory is not prepared: %s",
                      error.text);
    }
}


/* for nginx -t: what a start would find; looks only */

void
ngx_ocsp_plus_check_cache(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    op_error_t       text;
    op_cache_user_t  user;

    ngx_ocsp_plus_cache_user(cycle, &user);

    switch (op_cache_check(ocf->config, &user, &text)) {

    case OP_CACHE_FINE:
        break;

    case OP_CACHE_UNUSABLE:
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "ocsp_plus: the cache directory cannot be used, "
                      "responses will not survive a restart: %s", text.text);
        break;

    case OP_CACHE_ON_NETWORK:
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "ocsp_plus: the cache directory lies on a network file "
                      "system, whose server can stall a worker; name one on "
                      "a local disk in \"ocsp_plus_cache\": %s", text.text);
        break;
    }
}


static void
ngx_ocsp_plus_cache_user(ngx_cycle_t *cycle, op_cache_user_t *user)
{
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    user->prepared = (geteuid() == 0 && ccf->master);
    user->uid = user->prepared ? ccf->user : geteuid();
    user->gid = user->prepared ? ccf->group : getegid();
}


void
ngx_ocsp_plus_start(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    int            fd[2], status;
    pid_t          pid, master;
    ngx_uint_t     ended;
    ngx_msec_t     deadline, waited;
    struct pollfd  pfd;

    if (pipe(fd) == -1) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      "ocsp_plus: pipe() failed, the zone starts as it is");
        return;
    }

    master = ngx_getpid();
    pid = fork();

    switch (pid) {

    case -1:
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      "ocsp_plus: fork() failed, the zone starts as it is");
        (void) close(fd[0]);
        (void) close(fd[1]);
        return;

    case 0:
        (void) close(fd[0]);
        ngx_ocsp_plus_helper(cycle, ocf, master);
        _exit(0);

    default:
        break;
    }

    /* the other end closes when the helper ends, however it does */

    (void) close(fd[1]);

    pfd.fd = fd[0];
    pfd.events = POLLIN;

    ended = 0;
    deadline = ocf->startup_wait + NGX_OCSP_PLUS_START_GRACE;

    for (waited = 0; waited < deadline; waited += NGX_OCSP_PLUS_START_TURN) {

        if (poll(&pfd, 1, NGX_OCSP_PLUS_START_TURN) > 0) {
            ended = 1;
            break;
        }

        if (ngx_ocsp_plus_signalled()) {
            break;
        }
    }

    (void) close(fd[0]);
    (void) kill(pid, SIGKILL);

    while (waitpid(pid, &status, 0) == -1 && ngx_errno == NGX_EINTR) {
        /* void */
    }

    if (ended && WIFSIGNALED(status)) {
        ngx_time_update();
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "ocsp_plus: the start helper exited on signal %d, "
                      "the zone starts as it is", WTERMSIG(status));
    }

    /* should it have been killed with the zone's lock in its hand */

    (void) ngx_shmtx_force_unlock(&ocf->mutex, pid);
}


/*
 * Signals that end nginx.  On a reload they are blocked here and wait until
 * we return; at a first start nginx handles none yet and they simply kill.
 */

static ngx_uint_t
ngx_ocsp_plus_signalled(void)
{
    sigset_t  set;

    if (sigpending(&set) == -1) {
        return 0;
    }

    return sigismember(&set, ngx_signal_value(NGX_SHUTDOWN_SIGNAL))
           || sigismember(&set, ngx_signal_value(NGX_TERMINATE_SIGNAL))
           || sigismember(&set, SIGINT);
}


static void
ngx_ocsp_plus_helper(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf,
    pid_t master)
{
    int           i;
    sigset_t      set;
    op_error_t    error;
    op_log_ops_t  log;

    ngx_pid = ngx_getpid();

    for (i = 1; i < NSIG; i++) {
        (void) signal(i, SIG_DFL);
    }

    (void) signal(SIGPIPE, SIG_IGN);

    sigemptyset(&set);
    (void) sigprocmask(SIG_SETMASK, &set, NULL);

    if (ngx_ocsp_plus_drop_rights(cycle) != NGX_OK) {
        return;
    }

    /* after setuid(), which clears it; without it the wait is bounded, too */

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                      "ocsp_plus: the start helper goes on without "
                      "prctl(PR_SET_PDEATHSIG)");
    }

    if (getppid() != master) {
        return;
    }

    ngx_ocsp_plus_log(&log, cycle->log);

    if (op_start(ocf->config, &log, &ocf->lock, (int32_t) ngx_pid,
                 ocf->startup_wait, &error)
        != OP_OK)
    {
        ngx_time_update();
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "ocsp_plus: the start helper failed: %s", error.text);
    }
}


/*
 * As ngx_worker_process_init() does it: where there are workers there is a
 * helper.  initgroups() is refused in a user namespace without a mapping of
 * the groups or without capabilities; setgid() and setuid() end a worker.
 */

static ngx_int_t
ngx_ocsp_plus_drop_rights(ngx_cycle_t *cycle)
{
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    if (geteuid() != 0 || ccf->master == 0) {
        return NGX_OK;
    }

    if (setgid(ccf->group) == -1) {
        goto failed;
    }

    if (initgroups(ccf->username, ccf->group) == -1) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                      "ocsp_plus: the start helper goes on without "
                      "initgroups(%s, %d)", ccf->username, ccf->group);
    }

    if (setuid(ccf->user) == -1) {
        goto failed;
    }

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                  "ocsp_plus: the start helper cannot become the worker "
                  "user, the zone starts as it is");

    return NGX_ERROR;
}
