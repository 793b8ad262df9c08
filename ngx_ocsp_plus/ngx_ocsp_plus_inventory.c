
/*
 * Under "nginx -t" only: hands what the configuration names to "ocsp-plus
 * plan", which has opened a descriptor for it and named that in the
 * environment.  There are no keys and no passwords in it.
 */


#include "ngx_ocsp_plus.h"


#define NGX_OCSP_PLUS_INVENTORY_FD  "OCSP_PLUS_INVENTORY_FD"


static ngx_fd_t ngx_ocsp_plus_inventory_fd(void);


/* whether somebody wants the inventory */

ngx_uint_t
ngx_ocsp_plus_recording(void)
{
    return ngx_ocsp_plus_inventory_fd() != NGX_INVALID_FILE;
}


ngx_int_t
ngx_ocsp_plus_record(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    op_error_t  error;

    if (!ngx_ocsp_plus_recording()
        || op_config_record(ocf->config, &error) == OP_OK)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "ocsp_plus: %s", error.text);

    return NGX_ERROR;
}


ngx_int_t
ngx_ocsp_plus_write_inventory(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    ngx_fd_t          fd;
    op_error_t        error;
    op_origin_t       origin;
    ngx_core_conf_t  *ccf;

    fd = ngx_ocsp_plus_inventory_fd();

    if (fd == NGX_INVALID_FILE) {
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    origin.version.data = NGINX_VERSION;
    origin.version.len = sizeof(NGINX_VERSION) - 1;

    ngx_ocsp_plus_cache_user(cycle, &origin.user);

    /* nginx reads the name only where it changes the user */

    origin.user_name.data = ccf->username;
    origin.user_name.len = origin.user.prepared ? ngx_strlen(ccf->username)
                                                : 0;

    if (op_config_inventory(ocf->config, &origin, fd, &error) == OP_OK) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                  "ocsp_plus cannot write the inventory to descriptor %d of "
                  NGX_OCSP_PLUS_INVENTORY_FD ": %s", fd, error.text);

    return NGX_ERROR;
}


/* standard input, output and error are never meant */

static ngx_fd_t
ngx_ocsp_plus_inventory_fd(void)
{
    char       *value;
    ngx_int_t   fd;

    if (!ngx_test_config) {
        return NGX_INVALID_FILE;
    }

    value = getenv(NGX_OCSP_PLUS_INVENTORY_FD);

    if (value == NULL) {
        return NGX_INVALID_FILE;
    }

    fd = ngx_atoi((u_char *) value, ngx_strlen(value));

    return fd > STDERR_FILENO && fd <= NGX_MAX_INT32_VALUE ? (ngx_fd_t) fd
                                                           : NGX_INVALID_FILE;
}
