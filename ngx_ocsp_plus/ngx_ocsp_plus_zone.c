
/*
 * The shared zone's life: sized when the configuration is complete, adopted
 * from the running configuration where size and tag are the same, copied
 * from it where the size was changed.
 */


#include "ngx_ocsp_plus.h"

#include <sys/wait.h>


#define NGX_OCSP_PLUS_LOCK_TRIES  200
#define NGX_OCSP_PLUS_LOCK_PAUSE  5      /* ms */


/* what the slab pool points to: where our part of the zone lies */

typedef struct {
    void    *base;
    size_t   size;
} ngx_ocsp_plus_area_t;


static size_t ngx_ocsp_plus_with_slab(size_t size);
static ngx_int_t ngx_ocsp_plus_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_ocsp_plus_area_t *ngx_ocsp_plus_area(ngx_shm_zone_t *shm_zone);
static ngx_ocsp_plus_area_t *ngx_ocsp_plus_old_area(
    ngx_shm_zone_t *shm_zone);
static void ngx_ocsp_plus_free_dead_lock(ngx_shm_zone_t *shm_zone);
static int ngx_ocsp_plus_trylock(void *ctx);
static void ngx_ocsp_plus_unlock(void *ctx);


ngx_int_t
ngx_ocsp_plus_add_zone(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    int         loads;
    size_t      n, size;
    ngx_conf_t  cf;

    n = op_config_count(ocf->config);
    loads = op_config_loads(ocf->config);
    size = ngx_ocsp_plus_with_slab(op_zone_required_size(n, loads));

    if (ocf->zone_size == 0) {
        ocf->zone_size = op_zone_default_size(n, loads);

    } else if (ocf->zone_size < size) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"ocsp_plus_zone\" of %uz bytes is too small for %uz "
                      "certificates%s: it needs at least %uzk",
                      ocf->zone_size, n,
                      loads ? " and those that are loaded per connection" : "",
                      size / 1024);
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


/* the slab pool's own header, page table and first pages, rounded up */

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
    op_zone_opened_t       opened;
    ngx_ocsp_plus_conf_t  *ocf;
    ngx_ocsp_plus_area_t  *area, *old;

    ocf = shm_zone->data;

    if (ngx_test_config) {
        return NGX_OK;
    }

    area = ngx_ocsp_plus_area(shm_zone);
    if (area == NULL) {
        return NGX_ERROR;
    }

    old = data ? NULL : ngx_ocsp_plus_old_area(shm_zone);

    ocf->lock.ctx = shm_zone->shm.addr;
    ocf->lock.trylock = ngx_ocsp_plus_trylock;
    ocf->lock.unlock = ngx_ocsp_plus_unlock;

    for (i = 0; /* void */ ; i++) {

        status = op_config_open_zone(ocf->config, area->base, area->size,
                                     data == NULL && !shm_zone->shm.exists,
                                     old ? old->base : NULL,
                                     old ? old->size : 0, &ocf->lock,
                                     ngx_time(), ngx_current_msec, &opened,
                                     &error);

        if (status != OP_BUSY || i == NGX_OCSP_PLUS_LOCK_TRIES) {
            break;
        }

        ngx_ocsp_plus_free_dead_lock(shm_zone);
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

    if (opened.copied) {
        ngx_log_error(NGX_LOG_NOTICE, shm_zone->shm.log, 0,
                      "ocsp_plus: the zone's size was changed, %uz responses "
                      "were taken over", opened.copied);
    }

    return NGX_OK;
}


static ngx_ocsp_plus_area_t *
ngx_ocsp_plus_area(ngx_shm_zone_t *shm_zone)
{
    ngx_slab_pool_t       *shpool;
    ngx_ocsp_plus_area_t  *area;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shpool->data) {
        return shpool->data;
    }

    area = ngx_slab_calloc(shpool, sizeof(ngx_ocsp_plus_area_t));
    if (area == NULL) {
        return NULL;
    }

    /* all that is left in one piece; the slab pool is not used any more */

    area->size = shpool->pfree * ngx_pagesize;
    area->base = ngx_slab_alloc(shpool, area->size);

    if (area->base == NULL) {
        return NULL;
    }

    shpool->data = area;

    return area;
}


/*
 * nginx gives a zone whose size was changed new memory and forgets the old
 * one, but here the old cycle is still the current one.
 */

static ngx_ocsp_plus_area_t *
ngx_ocsp_plus_old_area(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_shm_zone_t   *zones;
    ngx_slab_pool_t  *shpool;

    if (ngx_is_init_cycle(ngx_cycle)) {
        return NULL;
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

            shpool = (ngx_slab_pool_t *) zones[i].shm.addr;

            return shpool->data;
        }
    }

    return NULL;
}


/*
 * A worker that was killed while it held the lock: nginx frees the lock when
 * it reaps the worker, which it cannot do while it is busy here.
 */

static void
ngx_ocsp_plus_free_dead_lock(ngx_shm_zone_t *shm_zone)
{
    pid_t             pid;
    siginfo_t         info;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    pid = (pid_t) *shpool->mutex.lock;
    if (pid == 0) {
        return;
    }

    info.si_pid = 0;

    if (waitid(P_PID, (id_t) pid, &info, WEXITED|WNOHANG|WNOWAIT) == 0
        && info.si_pid == pid)
    {
        (void) ngx_shmtx_force_unlock(&shpool->mutex, pid);
    }
}


static int
ngx_ocsp_plus_trylock(void *ctx)
{
    ngx_slab_pool_t  *shpool = ctx;

    return (int) ngx_shmtx_trylock(&shpool->mutex);
}


static void
ngx_ocsp_plus_unlock(void *ctx)
{
    ngx_slab_pool_t  *shpool = ctx;

    ngx_shmtx_unlock(&shpool->mutex);
}
