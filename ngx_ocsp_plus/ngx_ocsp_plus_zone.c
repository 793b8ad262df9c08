
/*
 * The shared zone's life: sized when the configuration is complete, adopted
 * from the running configuration if size and tag are the same.  If the size
 * was changed the master copies nothing: the start helper finds the old zone
 * still mapped, and its contents have to pass the gate.
 *
 * An attacker in a worker can write anything into the zone, and the master is
 * root: it takes no address, no size and no lock from there.  The place of our
 * part of the zone follows from shm.addr and shm.size, which nginx keeps in the
 * master's own memory.  The page in front, with the header of nginx's slab
 * pool, is not shared: whenever a process has ended nginx follows a pointer
 * there, and writes.
 */


#include "ngx_ocsp_plus.h"

#include <sys/mman.h>
#include <sys/wait.h>


#define NGX_OCSP_PLUS_LOCK_ROOM   64     /* bytes: a cache line of its own */
#define NGX_OCSP_PLUS_LOCK_TRIES  200
#define NGX_OCSP_PLUS_LOCK_PAUSE  5      /* ms */
#define NGX_OCSP_PLUS_LOCK_SPIN   2048   /* as nginx has it */
#define NGX_OCSP_PLUS_LOCK_STALE  10000  /* ms, and as many tries */
#define NGX_OCSP_PLUS_LOCK_SEEN   10


/* our part of a zone, behind the slab pool and the lock */

typedef struct {
    u_char        *base;
    size_t         size;
    ngx_atomic_t  *lock;
} ngx_ocsp_plus_area_t;


static size_t ngx_ocsp_plus_with_slab(size_t size);
static ngx_int_t ngx_ocsp_plus_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_ocsp_plus_area_t ngx_ocsp_plus_area(ngx_shm_t *shm);
static ngx_ocsp_plus_area_t ngx_ocsp_plus_old_area(ngx_shm_zone_t *shm_zone);
static ngx_int_t ngx_ocsp_plus_reserve(ngx_shm_zone_t *shm_zone,
    ngx_ocsp_plus_area_t *area);
static ngx_int_t ngx_ocsp_plus_unshare(ngx_shm_zone_t *shm_zone);
static void ngx_ocsp_plus_init_lock(ngx_shm_zone_t *shm_zone,
    ngx_ocsp_plus_conf_t *ocf, ngx_atomic_t *lock);
static void ngx_ocsp_plus_free_dead_lock(ngx_shmtx_t *mutex);
static int ngx_ocsp_plus_trylock(void *ctx);
static ngx_uint_t ngx_ocsp_plus_may_hold(ngx_ocsp_plus_conf_t *ocf,
    ngx_atomic_uint_t holder);
static ngx_uint_t ngx_ocsp_plus_runs(pid_t pid);
static void ngx_ocsp_plus_unlock(void *ctx);


/* does nothing if nothing needs a zone */

ngx_int_t
ngx_ocsp_plus_add_zone(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    size_t          needed;
    ngx_conf_t      cf;
    op_zone_size_t  size;

    op_zone_size(ocf->config, &size);

    if (size.needed == 0) {
        return NGX_OK;
    }

    needed = ngx_ocsp_plus_with_slab(size.needed);

    if (ocf->zone_size == 0) {
        ocf->zone_size = size.suggested;
    }

    if (ocf->zone_size < needed) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"ocsp_plus_zone\" of %uz bytes is too small for %uz "
                      "certificates%s: it needs at least %uzk",
                      ocf->zone_size, size.certificates,
                      size.loads
                          ? " and those that are loaded per connection" : "",
                      needed / 1024);
        return NGX_ERROR;
    }

    ngx_memzero(&cf, sizeof(ngx_conf_t));
    cf.cycle = cycle;
    cf.pool = cycle->pool;
    cf.log = cycle->log;

    ocf->shm_zone = ngx_shared_memory_add(&cf, &ocf->zone_name,
                                          ocf->zone_size,
                                          &ngx_ocsp_plus_module);
    if (ocf->shm_zone == NULL) {
        return NGX_ERROR;
    }

    ocf->shm_zone->init = ngx_ocsp_plus_init_zone;
    ocf->shm_zone->data = ocf;

    return NGX_OK;
}


/* at least what ngx_ocsp_plus_area() leaves to the slab pool */

static size_t
ngx_ocsp_plus_with_slab(size_t size)
{
    size += size / 128 + 16 * ngx_pagesize;

    return ngx_align(size, ngx_pagesize);
}


static ngx_int_t
ngx_ocsp_plus_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    op_error_t             error;
    ngx_uint_t             i;
    op_status_t            status;
    ngx_ocsp_plus_conf_t  *ocf;
    ngx_ocsp_plus_area_t   area, old;

    ocf = shm_zone->data;

    if (ngx_test_config) {
        return NGX_OK;
    }

    area = ngx_ocsp_plus_area(&shm_zone->shm);

    if (data == NULL && !shm_zone->shm.exists
        && (ngx_ocsp_plus_reserve(shm_zone, &area) != NGX_OK
            || ngx_ocsp_plus_unshare(shm_zone) != NGX_OK))
    {
        return NGX_ERROR;
    }

    ngx_ocsp_plus_init_lock(shm_zone, ocf, area.lock);

    ngx_memzero(&old, sizeof(ngx_ocsp_plus_area_t));

    if (data == NULL) {
        old = ngx_ocsp_plus_old_area(shm_zone);
    }

    for (i = 0; /* void */ ; i++) {

        status = op_config_open_zone(ocf->config, area.base, area.size,
                                     data == NULL && !shm_zone->shm.exists,
                                     old.base, old.size, &ocf->lock,
                                     ngx_current_msec, &error);

        if (status != OP_BUSY || i == NGX_OCSP_PLUS_LOCK_TRIES) {
            break;
        }

        ngx_ocsp_plus_free_dead_lock(&ocf->mutex);
        ngx_msleep(NGX_OCSP_PLUS_LOCK_PAUSE);
    }

    if (status != OP_OK) {

        /* the old configuration, if any, goes on; nginx itself says nothing */

        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "ocsp_plus: zone \"%V\" cannot be used: %s%s",
                      &shm_zone->shm.name, error.text,
                      status == OP_TOO_SMALL ? "; enlarge \"ocsp_plus_zone\""
                                             : "");
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * A pure function of address and size.  The slab pool keeps its header and
 * the lists of slots, which one page holds, and a table of the pages.
 */

static ngx_ocsp_plus_area_t
ngx_ocsp_plus_area(ngx_shm_t *shm)
{
    size_t                offset;
    ngx_ocsp_plus_area_t  area;

    offset = shm->size / ngx_pagesize * sizeof(ngx_slab_page_t);
    offset = ngx_align(offset, ngx_pagesize) + ngx_pagesize;

    /* the smallest zone of nginx is of 8 pages; the core refuses too small */

    offset = ngx_min(offset, shm->size);

    area.base = shm->addr + offset;
    area.size = shm->size - offset;
    area.lock = (ngx_atomic_t *) (area.base - NGX_OCSP_PLUS_LOCK_ROOM);

    return area;
}


/*
 * Takes all pages from the slab pool of a new zone, so that it is full for
 * everyone else, and checks that the pool keeps nothing in our part, and all
 * but its table of pages in the first page.
 */

static ngx_int_t
ngx_ocsp_plus_reserve(ngx_shm_zone_t *shm_zone, ngx_ocsp_plus_area_t *area)
{
    u_char           *pages;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    pages = ngx_slab_alloc(shpool, shpool->pfree * ngx_pagesize);

    if (pages == NULL || pages > area->base
        || (u_char *) shpool->last > (u_char *) area->lock
        || (u_char *) shpool->pages > shm_zone->shm.addr + ngx_pagesize)
    {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "ocsp_plus: zone \"%V\" cannot be used: its slab pool "
                      "is not as expected", &shm_zone->shm.name);
        return NGX_ERROR;
    }

    *area->lock = 0;

    return NGX_OK;
}


/*
 * Puts memory of the process's own in the place of the first page.  Workers
 * inherit a copy of it; what they write there the master never sees.
 */

static ngx_int_t
ngx_ocsp_plus_unshare(ngx_shm_zone_t *shm_zone)
{
    u_char  *addr, *copy;

    addr = shm_zone->shm.addr;

    copy = mmap(NULL, ngx_pagesize, PROT_READ|PROT_WRITE,
                MAP_ANON|MAP_PRIVATE, -1, 0);

    if (copy == MAP_FAILED) {
        goto failed;
    }

    ngx_memcpy(copy, addr, ngx_pagesize);

    if (mmap(addr, ngx_pagesize, PROT_READ|PROT_WRITE,
             MAP_ANON|MAP_PRIVATE|MAP_FIXED, -1, 0)
        == MAP_FAILED)
    {
        (void) munmap(copy, ngx_pagesize);
        goto failed;
    }

    ngx_memcpy(addr, copy, ngx_pagesize);

    (void) munmap(copy, ngx_pagesize);

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, ngx_errno,
                  "ocsp_plus: zone \"%V\" cannot be used: mmap() of %ui bytes "
                  "failed", &shm_zone->shm.name, ngx_pagesize);

    return NGX_ERROR;
}


/*
 * nginx gives a zone whose size was changed new memory and forgets the old
 * one, but here the old cycle is still the current one.  Its zones are not
 * unmapped before the init_module handlers of the new one have returned.
 */

static ngx_ocsp_plus_area_t
ngx_ocsp_plus_old_area(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t             i;
    ngx_list_part_t       *part;
    ngx_shm_zone_t        *zones;
    ngx_ocsp_plus_area_t   none;

    ngx_memzero(&none, sizeof(ngx_ocsp_plus_area_t));

    if (ngx_is_init_cycle(ngx_cycle)) {
        return none;
    }

    for (part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
         part;
         part = part->next)
    {
        zones = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (&zones[i] == shm_zone
                || zones[i].tag != &ngx_ocsp_plus_module
                || zones[i].shm.addr == NULL)
            {
                continue;
            }

            return ngx_ocsp_plus_area(&zones[i].shm);
        }
    }

    return none;
}


/*
 * The slab pool's mutex is pointed to our lock, so nginx frees it when it reaps
 * a process that held it.  No process waits for it, so it needs no semaphore.
 */

static void
ngx_ocsp_plus_init_lock(ngx_shm_zone_t *shm_zone, ngx_ocsp_plus_conf_t *ocf,
    ngx_atomic_t *lock)
{
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    ngx_memzero(&ocf->mutex, sizeof(ngx_shmtx_t));

    ocf->mutex.lock = lock;
    ocf->mutex.spin = NGX_OCSP_PLUS_LOCK_SPIN;

    shpool->mutex = ocf->mutex;

    ocf->lock.ctx = ocf;
    ocf->lock.trylock = ngx_ocsp_plus_trylock;
    ocf->lock.unlock = ngx_ocsp_plus_unlock;
}


/*
 * Frees a lock in the master whose holder cannot be alive.  Only the master's
 * children hold it: the workers and the start helper.  nginx frees the lock of
 * a killed one when it reaps it, but cannot while it is busy here; any other
 * number was not put there by us.  Neither waits nor reaps.
 */

static void
ngx_ocsp_plus_free_dead_lock(ngx_shmtx_t *mutex)
{
    siginfo_t          info;
    ngx_atomic_uint_t  holder;

    holder = *mutex->lock;
    if (holder == 0) {
        return;
    }

    info.si_pid = 0;

    if (holder <= NGX_MAX_INT32_VALUE
        && waitid(P_PID, (id_t) holder, &info, WEXITED|WNOHANG|WNOWAIT) == 0
        && info.si_pid == 0)
    {
        return;
    }

    (void) ngx_atomic_cmp_set(mutex->lock, holder, 0);
}


/*
 * Takes the lock, in any process, and frees a stale one.  A start helper that
 * was killed may have lost its parent, and then nginx does not free its lock;
 * and any worker can write any number there.
 */

static int
ngx_ocsp_plus_trylock(void *ctx)
{
    ngx_ocsp_plus_conf_t *ocf = ctx;

    ngx_atomic_uint_t  holder;

    if (ngx_shmtx_trylock(&ocf->mutex)) {
        ocf->lock_held_by = 0;
        return 1;
    }

    holder = *ocf->mutex.lock;

    if (holder == 0 || ngx_ocsp_plus_may_hold(ocf, holder)) {
        return 0;
    }

    ocf->lock_held_by = 0;

    return (int) ngx_atomic_cmp_set(ocf->mutex.lock, holder, ngx_pid);
}


/*
 * The master and its children share a session and hold the lock for less than
 * a millisecond: one that runs or sleeps and had it at each of many tries
 * within ten seconds never took it.  One that is stopped, or hangs in the
 * kernel, may still be about to write.
 */

static ngx_uint_t
ngx_ocsp_plus_may_hold(ngx_ocsp_plus_conf_t *ocf, ngx_atomic_uint_t holder)
{
    pid_t  pid, session;

    if (holder > NGX_MAX_INT32_VALUE) {
        return 0;
    }

    pid = (pid_t) holder;

    if (kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH) {
        return 0;
    }

    session = getsid(pid);

    if (session != -1 && session != getsid(0)) {
        return 0;
    }

    if (ocf->lock_held_by != holder) {
        ocf->lock_held_by = holder;
        ocf->lock_tries = 0;
        ocf->lock_since = ngx_current_msec;
    }

    return ++ocf->lock_tries < NGX_OCSP_PLUS_LOCK_SEEN
           || ngx_current_msec - ocf->lock_since < NGX_OCSP_PLUS_LOCK_STALE
           || !ngx_ocsp_plus_runs(pid);
}


/* returns 0 also if the system does not tell */

static ngx_uint_t
ngx_ocsp_plus_runs(pid_t pid)
{
    int      fd;
    char    *p, buf[512], name[sizeof("/proc//stat") + NGX_INT_T_LEN];
    ssize_t  n;

    ngx_sprintf((u_char *) name, "/proc/%P/stat%Z", pid);

    fd = open(name, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return 0;
    }

    n = read(fd, buf, sizeof(buf) - 1);
    (void) close(fd);

    if (n <= 0) {
        return 0;
    }

    buf[n] = '\0';

    /* the name in front of it may hold anything */

    p = strrchr(buf, ')');

    return p && p[1] == ' ' && (p[2] == 'R' || p[2] == 'S');
}


static void
ngx_ocsp_plus_unlock(void *ctx)
{
    ngx_ocsp_plus_conf_t *ocf = ctx;

    ngx_shmtx_unlock(&ocf->mutex);
}
