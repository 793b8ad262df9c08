
/*
 * The core module: one engine for a cycle, used by http and stream, and the
 * start and end of the workers' part in it.
 */


#include "ngx_ocsp_plus.h"


static void *ngx_ocsp_plus_create_conf(ngx_cycle_t *cycle);
static char *ngx_ocsp_plus_init_conf(ngx_cycle_t *cycle, void *conf);
static void ngx_ocsp_plus_cleanup(void *data);
static ngx_int_t ngx_ocsp_plus_default_cache(ngx_cycle_t *cycle,
    ngx_ocsp_plus_conf_t *ocf);
static ngx_int_t ngx_ocsp_plus_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_ocsp_plus_init_process(ngx_cycle_t *cycle);
static void ngx_ocsp_plus_exit_process(ngx_cycle_t *cycle);


static ngx_core_module_t  ngx_ocsp_plus_module_ctx = {
    ngx_string("ocsp_plus"),
    ngx_ocsp_plus_create_conf,
    ngx_ocsp_plus_init_conf
};


ngx_module_t  ngx_ocsp_plus_module = {
    NGX_MODULE_V1,
    &ngx_ocsp_plus_module_ctx,             /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_ocsp_plus_init_module,             /* init module */
    ngx_ocsp_plus_init_process,            /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_ocsp_plus_exit_process,            /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


op_worker_t  *ngx_ocsp_plus_worker;

const char  ngx_ocsp_plus_build[] = NGX_OCSP_PLUS_BUILD;


static void *
ngx_ocsp_plus_create_conf(ngx_cycle_t *cycle)
{
    op_error_t             error;
    op_status_t            status;
    ngx_pool_cleanup_t    *cln;
    ngx_ocsp_plus_conf_t  *ocf;

    ocf = ngx_pcalloc(cycle->pool, sizeof(ngx_ocsp_plus_conf_t));
    if (ocf == NULL) {
        return NULL;
    }

    ocf->ipv4 = NGX_CONF_UNSET;
    ocf->ipv6 = NGX_CONF_UNSET;
    ocf->resolver_timeout = NGX_CONF_UNSET_MSEC;
    ocf->resolver_valid = NGX_CONF_UNSET;
    ocf->timeout = NGX_CONF_UNSET_MSEC;
    ocf->concurrency = NGX_CONF_UNSET;
    ocf->retry_min = NGX_CONF_UNSET;
    ocf->retry_max = NGX_CONF_UNSET;
    ocf->max_response = NGX_CONF_UNSET_SIZE;
    ocf->startup_wait = NGX_CONF_UNSET_MSEC;
    ocf->certid = NGX_CONF_UNSET_UINT;
    ocf->issuer_fetch = NGX_CONF_UNSET;

    if (ngx_array_init(&ocf->trusted, cycle->pool, 2,
                       sizeof(ngx_ocsp_plus_trusted_t))
        != NGX_OK
        || ngx_array_init(&ocf->files, cycle->pool, 4, sizeof(ngx_str_t))
           != NGX_OK
        || ngx_array_init(&ocf->watched, cycle->pool, 4,
                          sizeof(ngx_ocsp_plus_ctx_t *))
           != NGX_OK)
    {
        return NULL;
    }

    status = op_openssl_check(&error);

    if (status == OP_ERROR) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "ocsp_plus: %s",
                      error.text);
        return NULL;
    }

    ocf->unfit = (status == OP_UNFIT);

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    ocf->config = op_config_create();
    if (ocf->config == NULL) {
        return NULL;
    }

    cln->handler = ngx_ocsp_plus_cleanup;
    cln->data = ocf;

    if (ngx_ocsp_plus_record(cycle, ocf) != NGX_OK) {
        return NULL;
    }

    return ocf;
}


static void
ngx_ocsp_plus_cleanup(void *data)
{
    ngx_ocsp_plus_conf_t *ocf = data;

    ngx_uint_t                i;
    ngx_ocsp_plus_trusted_t  *trusted;

    trusted = ocf->trusted.elts;

    for (i = 0; i < ocf->trusted.nelts; i++) {
        sk_X509_pop_free(trusted[i].certificates, X509_free);
    }

    op_config_destroy(ocf->config);
}


/* the core's default stays where no directive has set a value */

#define ngx_ocsp_plus_take(setting, value)                                    \
    if ((ngx_int_t) (value) != NGX_CONF_UNSET) {                              \
        setting = value;                                                      \
    }


/* runs after http and stream have added their servers */

static char *
ngx_ocsp_plus_init_conf(ngx_cycle_t *cycle, void *conf)
{
    ngx_ocsp_plus_conf_t *ocf = conf;

    op_error_t     error;
    op_settings_t  settings;

    op_settings_defaults(&settings);

    ngx_conf_init_msec_value(ocf->startup_wait, OP_DEFAULT_STARTUP_WAIT_MS);

    if (ocf->cache.data == NULL
        && ngx_ocsp_plus_default_cache(cycle, ocf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ocf->resolvers) {
        settings.resolvers = ocf->resolvers->elts;
        settings.nresolvers = ocf->resolvers->nelts;
    }

    ngx_ocsp_plus_take(settings.ipv4, ocf->ipv4);
    ngx_ocsp_plus_take(settings.ipv6, ocf->ipv6);
    ngx_ocsp_plus_take(settings.resolver_timeout_ms, ocf->resolver_timeout);
    ngx_ocsp_plus_take(settings.resolver_valid_s, ocf->resolver_valid);
    ngx_ocsp_plus_take(settings.timeout_ms, ocf->timeout);
    ngx_ocsp_plus_take(settings.concurrency, ocf->concurrency);
    ngx_ocsp_plus_take(settings.retry_min_s, ocf->retry_min);
    ngx_ocsp_plus_take(settings.retry_max_s, ocf->retry_max);
    ngx_ocsp_plus_take(settings.max_response, ocf->max_response);
    ngx_ocsp_plus_take(settings.certid_auto, ocf->certid);
    ngx_ocsp_plus_take(settings.issuer_fetch, ocf->issuer_fetch);

    settings.proxy = ngx_ocsp_plus_str(&ocf->proxy);
    settings.share = ocf->share;
    settings.cache = ngx_ocsp_plus_str(&ocf->cache);

    if (ocf->zone_name.len == 0) {
        ngx_str_set(&ocf->zone_name, "ocsp_plus");
    }

    settings.zone_name = ngx_ocsp_plus_str(&ocf->zone_name);

    if (op_config_set(ocf->config, &settings, &error) != OP_OK) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "ocsp_plus: %s",
                      error.text);
        return NGX_CONF_ERROR;
    }

    if (ngx_ocsp_plus_report(cycle->log, ocf) != NGX_OK
        || ngx_ocsp_plus_write_inventory(cycle, ocf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_ocsp_plus_check_files(cycle, ocf);

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    if (ngx_ocsp_plus_add_zone(cycle, ocf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_test_config && ocf->shm_zone) {
        ngx_ocsp_plus_check_cache(cycle, ocf);
    }

    return NGX_CONF_OK;
}


/* a directory beside nginx's other temporary ones */

static ngx_int_t
ngx_ocsp_plus_default_cache(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    size_t   len;
    u_char  *p;

    len = ngx_strlen(NGX_HTTP_CLIENT_TEMP_PATH);

    while (len && NGX_HTTP_CLIENT_TEMP_PATH[len - 1] != '/') {
        len--;
    }

    p = ngx_pnalloc(cycle->pool, len + sizeof(OP_CACHE_DIRECTORY));
    if (p == NULL) {
        return NGX_ERROR;
    }

    ocf->cache.data = p;
    ocf->cache.len = len + sizeof(OP_CACHE_DIRECTORY) - 1;

    p = ngx_cpymem(p, NGX_HTTP_CLIENT_TEMP_PATH, len);
    ngx_memcpy(p, OP_CACHE_DIRECTORY, sizeof(OP_CACHE_DIRECTORY));

    return ngx_conf_full_name(cycle, &ocf->cache, 0);
}


/* never fails: on a reload that would end the master and orphan its workers */

static ngx_int_t
ngx_ocsp_plus_init_module(ngx_cycle_t *cycle)
{
    ngx_ocsp_plus_conf_t  *ocf;

    ocf = (ngx_ocsp_plus_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                                ngx_ocsp_plus_module);

    if (ngx_test_config) {
        return NGX_OK;
    }

    ngx_ocsp_plus_check_object(cycle);

    if (ocf == NULL || ocf->shm_zone == NULL) {
        return NGX_OK;
    }

    ngx_ocsp_plus_prepare_cache(cycle, ocf);
    ngx_ocsp_plus_start(cycle, ocf);

    /* the master and its workers log the time after the wait */

    ngx_time_update();

    return NGX_OK;
}


static ngx_int_t
ngx_ocsp_plus_init_process(ngx_cycle_t *cycle)
{
    op_error_t             error;
    op_host_ops_t          host;
    ngx_ocsp_plus_conf_t  *ocf;

    /* not in the cache manager and loader: both are "worker 0" as well */

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    ocf = (ngx_ocsp_plus_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                                ngx_ocsp_plus_module);

    if (ocf == NULL || ocf->shm_zone == NULL) {
        return NGX_OK;
    }

    ngx_ocsp_plus_host(&host);

    ngx_ocsp_plus_worker = op_worker_start(ocf->config, &host, &ocf->lock,
                                           (int32_t) ngx_pid,
                                           (uint32_t) ngx_worker, &error);
    if (ngx_ocsp_plus_worker == NULL) {

        /* an error returned here would cost the worker for good */

        ngx_log_error(NGX_LOG_CRIT, cycle->log, 0,
                      "ocsp_plus: this worker cannot refresh responses: %s",
                      error.text);
    }

    ngx_ocsp_plus_tick_start();

    return NGX_OK;
}


static void
ngx_ocsp_plus_exit_process(ngx_cycle_t *cycle)
{
    ngx_ocsp_plus_tick_stop();

    if (ngx_ocsp_plus_worker) {
        op_worker_stop(ngx_ocsp_plus_worker);
        ngx_ocsp_plus_worker = NULL;
    }
}
