
/*
 * Logs what the operator should know of the configuration: the core's findings
 * once all servers are known, and the files that the workers cannot read.
 */


#include "ngx_ocsp_plus.h"


ngx_int_t
ngx_ocsp_plus_report(ngx_log_t *log, ngx_ocsp_plus_conf_t *ocf)
{
    op_error_t    error;
    op_log_ops_t  ops;

    ngx_ocsp_plus_log(&ops, log);

    if (op_config_findings(ocf->config, &ops, &error) == OP_OK) {
        return NGX_OK;
    }

    if (error.text[0]) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "ocsp_plus: %s", error.text);
    }

    return NGX_ERROR;
}


/* checks as the worker user, who reads them; a file may still come later */

void
ngx_ocsp_plus_check_files(ngx_cycle_t *cycle, ngx_ocsp_plus_conf_t *ocf)
{
    gid_t             gid;
    off_t             size;
    uid_t             uid;
    ngx_fd_t          fd;
    ngx_err_t         err;
    ngx_str_t        *file;
    ngx_uint_t        i;
    const char       *why;
    ngx_core_conf_t  *ccf;

    if (ocf->files.nelts == 0 || ngx_process == NGX_PROCESS_SIGNALLER) {
        return;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    uid = geteuid();
    gid = getegid();

    if (uid == 0
        && (setegid(ccf->group) == -1 || seteuid(ccf->user) == -1))
    {
        ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                      "ocsp_plus: cannot check as the worker user whether "
                      "\"ocsp_plus_file\" can be read");
    }

    file = ocf->files.elts;

    for (i = 0; i < ocf->files.nelts; i++) {

        fd = ngx_ocsp_plus_open_regular(file[i].data, &size, &why);

        if (fd == NGX_INVALID_FILE) {
            err = why ? 0 : ngx_errno;

            ngx_log_error(NGX_LOG_WARN, cycle->log, err,
                          "ocsp_plus: the worker user cannot read \"%V\" of "
                          "\"ocsp_plus_file\"%s%s", &file[i],
                          why ? ": " : "", why ? why : "");
            continue;
        }

        (void) ngx_close_file(fd);
    }

    if (uid == 0 && (seteuid(uid) == -1 || setegid(gid) == -1)) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      "ocsp_plus: seteuid(%ud) failed", uid);
    }
}
