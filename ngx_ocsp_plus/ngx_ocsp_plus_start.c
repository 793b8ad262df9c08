
/*
 * The start helper: a process that fills the zone before the workers begin.
 *
 * The master, which is root, parses no byte of the cache directory or of the
 * network: it forks the helper, which drops its rights first, and waits for
 * it until the deadline or a signal.  The helper writes a byte into a pipe
 * whenever it makes progress, so a stopped helper or a hanging disk does not
 * hold up the master.
 */


#include "ngx_ocsp_plus.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>


/* ms beyond the wait, for reading the cache directory */
#define NGX_OCSP_PLUS_START_GRACE    30000
#define NGX_OCSP_PLUS_START_SILENCE  2000    /* ms without progress */
#define NGX_OCSP_PLUS_START_TURN     20      /* ms between looks at signals */
#define NGX_OCSP_PLUS_START_KILL     1000    /* ms that it may take to die */
#define NGX_OCSP_PLUS_START_REAP     5
#define NGX_OCSP_PLUS_START_READS    256     /* reads of the pipe in a turn */


/* why the wait has ended */

typedef enum {
    ngx_ocsp_plus_start_ended = 0,           /* the helper has exited */
    ngx_ocsp_plus_start_silent,
    ngx_ocsp_plus_start_late,
    ngx_ocsp_plus_start_stopped,             /* it was stopped (SIGSTOP) */
    ngx_ocsp_plus_start_lost,                /* nginx has lost a process */
    ngx_ocsp_plus_start_signal               /* a signal ends nginx */
} ngx_ocsp_plus_start_e;


static ngx_ocsp_plus_start_e ngx_ocsp_plus_wait(ngx_cycle_t *cycle,
    ngx_ocsp_plus_conf_t *ocf, pid_t pid, int fd);
static ngx_uint_t ngx_ocsp_plus_changed(pid_t pid, int how);
static ngx_uint_t ngx_ocsp_plus_lost(void);
static ngx_int_t ngx_ocsp_plus_drain(int fd);
static ngx_int_t ngx_ocsp_plus_reap(pid_t pid, int *status);
static void ngx_ocsp_plus_helper(ngx_cycle_t *cycle,
    ngx_ocsp_plus_conf_t *ocf, pid_t master, int fd);
static void ngx_ocsp_plus_progress(void *ctx);
static ngx_int_t ngx_ocsp_plus_drop_rights(ngx_cycle_t *cycle);


/*
 * Gives the cache directory to the worker user.  A failure costs the cache
 * only, and the engine reports it when it uses the directory.
 */

void
ngx_ocsp_plus_prepare_cache(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    op_error_t       error;
    op_cache_user_t  user;

    ngx_ocsp_plus_cache_user(cycle, &user);

    if (op_cache_prepare(ocf->config, &user, &error) != OP_OK) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "ocsp_plus: the cache directory was not prepared: %s",
                      error.text);
    }
}


/* nginx -t: reports what a start would find, changes nothing */

void
ngx_ocsp_plus_check_cache(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    op_text_t        text;
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


void
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
    int                    fd[2], status;
    pid_t                  pid, master;
    ngx_ocsp_plus_start_e  why;

    if (pipe(fd) == -1) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      "ocsp_plus: pipe() failed, the zone may be incomplete");
        return;
    }

    /* neither end may ever block: the other one may be stopped */

    if (ngx_nonblocking(fd[0]) == -1 || ngx_nonblocking(fd[1]) == -1) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      "ocsp_plus: ioctl(FIONBIO) failed, the zone may be "
                      "incomplete");
        (void) close(fd[0]);
        (void) close(fd[1]);
        return;
    }

    master = ngx_getpid();
    pid = fork();

    switch (pid) {

    case -1:
        ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                      "ocsp_plus: fork() failed, the zone may be incomplete");
        (void) close(fd[0]);
        (void) close(fd[1]);
        return;

    case 0:
        (void) close(fd[0]);
        ngx_ocsp_plus_helper(cycle, ocf, master, fd[1]);
        _exit(0);

    default:
        break;
    }

    /* the other end closes when the helper ends, however it does */

    (void) close(fd[1]);

    why = ngx_ocsp_plus_wait(cycle, ocf, pid, fd[0]);

    (void) close(fd[0]);
    (void) kill(pid, SIGKILL);

    switch (why) {

    case ngx_ocsp_plus_start_silent:
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "ocsp_plus: the start helper hung for %d ms, the zone "
                      "may be incomplete",
                      NGX_OCSP_PLUS_START_SILENCE);
        break;

    case ngx_ocsp_plus_start_late:
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "ocsp_plus: the start helper takes too long, the zone "
                      "may be incomplete");
        break;

    case ngx_ocsp_plus_start_stopped:
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "ocsp_plus: the start helper was stopped, the zone "
                      "may be incomplete");
        break;

    case ngx_ocsp_plus_start_lost:
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "ocsp_plus: an nginx process has ended and must be "
                      "replaced, not waiting for the start helper");
        break;

    default:
        break;
    }

    if (ngx_ocsp_plus_reap(pid, &status) != NGX_OK) {

        /*
         * It is stuck in the kernel.  nginx reaps it when it is gone, and
         * frees the zone's lock then; before, it may still write.
         */

        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "ocsp_plus: the start helper %P was killed but has "
                      "not exited, nginx will reap it", pid);
        return;
    }

    if (why == ngx_ocsp_plus_start_ended && WIFSIGNALED(status)) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "ocsp_plus: the start helper exited on signal %d, the "
                      "zone may be incomplete", WTERMSIG(status));
    }

    /* the helper may have been killed while it held the zone's lock */

    (void) ngx_shmtx_force_unlock(&ocf->mutex, pid);
}


/*
 * Signals are blocked during a reload and wait until we return: those that
 * end nginx, and SIGCHLD, without which nginx does not replace a worker that
 * has died.  At a first start nginx handles none yet, and they simply kill;
 * there are no workers.
 */

static ngx_ocsp_plus_start_e
ngx_ocsp_plus_wait(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf, pid_t pid,
    int fd)
{
    sigset_t       set;
    ngx_int_t      n;
    ngx_msec_t     began, heard;
    ngx_uint_t     reload;
    struct pollfd  pfd;

    reload = !ngx_is_init_cycle(cycle->old_cycle);

    pfd.fd = fd;
    pfd.events = POLLIN;

    /* the configuration may have taken long */

    ngx_time_update();

    began = ngx_current_msec;
    heard = began;

    for ( ;; ) {

        (void) poll(&pfd, 1, NGX_OCSP_PLUS_START_TURN);

        if (sigpending(&set) == -1) {
            sigemptyset(&set);
        }

        /* after the signals: the helper's own is raised behind its end */

        n = ngx_ocsp_plus_drain(fd);

        ngx_time_update();

        if (n == NGX_DONE) {
            return ngx_ocsp_plus_start_ended;
        }

        if (sigismember(&set, ngx_signal_value(NGX_SHUTDOWN_SIGNAL)) == 1
            || sigismember(&set, ngx_signal_value(NGX_TERMINATE_SIGNAL)) == 1
            || sigismember(&set, SIGINT) == 1)
        {
            return ngx_ocsp_plus_start_signal;
        }

        if (reload && sigismember(&set, SIGCHLD) == 1) {

            if (ngx_ocsp_plus_changed(pid, WSTOPPED|WCONTINUED)) {
                return ngx_ocsp_plus_start_stopped;
            }

            if (ngx_ocsp_plus_lost()) {
                return ngx_ocsp_plus_start_lost;
            }
        }

        if (n == NGX_OK) {
            heard = ngx_current_msec;

        } else if (ngx_current_msec - heard >= NGX_OCSP_PLUS_START_SILENCE) {
            return ngx_ocsp_plus_start_silent;
        }

        if (ngx_current_msec - began
            >= ocf->startup_wait + NGX_OCSP_PLUS_START_GRACE)
        {
            return ngx_ocsp_plus_start_late;
        }
    }
}


/* whether a child has ended or stopped; neither waits for it nor reaps it */

static ngx_uint_t
ngx_ocsp_plus_changed(pid_t pid, int how)
{
    siginfo_t  info;

    info.si_pid = 0;

    return waitid(P_PID, (id_t) pid, &info, how|WNOHANG|WNOWAIT) == 0
           && info.si_pid == pid;
}


/*
 * Returns whether a process has ended that nginx would replace at once.  An
 * old worker that exits after its last connection does not count: it would end
 * the wait of each reload that follows another one closely.
 */

static ngx_uint_t
ngx_ocsp_plus_lost(void)
{
    ngx_int_t  i;

    for (i = 0; i < ngx_last_process; i++) {

        if (ngx_processes[i].pid != -1
            && ngx_processes[i].respawn
            && !ngx_processes[i].exiting
            && !ngx_processes[i].exited
            && ngx_ocsp_plus_changed(ngx_processes[i].pid, WEXITED))
        {
            return 1;
        }
    }

    return 0;
}


/*
 * Reads the pipe.  NGX_OK: it had bytes; NGX_AGAIN: none; NGX_DONE: it is
 * closed.  Bounded, because an attacker in the helper may write without an end.
 */

static ngx_int_t
ngx_ocsp_plus_drain(int fd)
{
    ssize_t     n;
    u_char      buf[512];
    ngx_int_t   rc;
    ngx_uint_t  i;

    rc = NGX_AGAIN;

    for (i = 0; i < NGX_OCSP_PLUS_START_READS; i++) {

        n = read(fd, buf, sizeof(buf));

        if (n == 0) {
            return NGX_DONE;
        }

        if (n > 0) {
            rc = NGX_OK;

        } else if (ngx_errno != NGX_EINTR) {
            break;
        }
    }

    return rc;
}


/* waits for the helper alone, and no longer than a second */

static ngx_int_t
ngx_ocsp_plus_reap(pid_t pid, int *status)
{
    pid_t       rc;
    ngx_msec_t  waited;

    for (waited = 0; /* void */ ; waited += NGX_OCSP_PLUS_START_REAP) {

        rc = waitpid(pid, status, WNOHANG);

        if (rc == pid) {
            return NGX_OK;
        }

        if ((rc == -1 && ngx_errno != NGX_EINTR)
            || waited >= NGX_OCSP_PLUS_START_KILL)
        {
            return NGX_ERROR;
        }

        ngx_msleep(NGX_OCSP_PLUS_START_REAP);
    }
}


static void
ngx_ocsp_plus_helper(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf,
    pid_t master, int fd)
{
    int                i;
    sigset_t           set;
    op_error_t         error;
    op_log_ops_t       log;
    op_progress_ops_t  progress;

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
                      "ocsp_plus: the start helper continues without "
                      "prctl(PR_SET_PDEATHSIG)");
    }

    if (getppid() != master) {
        return;
    }

    ngx_ocsp_plus_log(&log, cycle->log);

    progress.ctx = &fd;
    progress.report = ngx_ocsp_plus_progress;

    if (op_start(ocf->config, &log, &ocf->lock, (int32_t) ngx_pid,
                 ocf->startup_wait, &progress, &error)
        != OP_OK)
    {
        ngx_time_update();
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "ocsp_plus: the start helper failed: %s", error.text);
    }
}


static void
ngx_ocsp_plus_progress(void *ctx)
{
    int *fd = ctx;

    /* a full pipe has enough for the master to read */

    if (write(*fd, "", 1) == -1) {
        return;
    }
}


/*
 * Drops rights like ngx_worker_process_init(), so the helper works wherever
 * workers do.  initgroups() fails in a user namespace without a mapping of the
 * groups or without capabilities; setgid() and setuid() end a worker.
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
                      "ocsp_plus: the start helper continues without "
                      "initgroups(%s, %d)", ccf->username, ccf->group);
    }

    if (setuid(ccf->user) == -1) {
        goto failed;
    }

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                  "ocsp_plus: the start helper cannot become the worker "
                  "user, the zone may be incomplete");

    return NGX_ERROR;
}
