
/*
 * ocsp_plus_preload: passes certificates that servers will load per connection
 * to the core as if a server had named them.
 */


#include "ngx_ocsp_plus.h"


#define NGX_OCSP_PLUS_PRELOAD  "ocsp_plus_preload"


static ngx_int_t ngx_ocsp_plus_preload_glob(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf,
    ngx_str_t *trusted, ngx_str_t *pattern);
static ngx_int_t ngx_ocsp_plus_preload_file(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_ocsp_plus_srv_conf_t *oscf,
    ngx_str_t *trusted, ngx_str_t *name);


char *
ngx_ocsp_plus_conf_preload(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_conf_t *ocf = conf;

    ngx_str_t   *value, *pattern;
    ngx_uint_t   i;

    if (ocf->preload) {
        return "is duplicate";
    }

    value = cf->args->elts;

    ocf->preload = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                    sizeof(ngx_str_t));
    if (ocf->preload == NULL) {
        return NGX_CONF_ERROR;
    }

    ocf->preload_block = cf->cmd_type;
    ocf->preload_file = cf->conf_file->file.name.data;
    ocf->preload_line = cf->conf_file->line;

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            return "takes paths of files";
        }

        if (ngx_conf_full_name(cf->cycle, &value[i], 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        pattern = ngx_array_push(ocf->preload);
        if (pattern == NULL) {
            return NGX_CONF_ERROR;
        }

        *pattern = value[i];
    }

    return NGX_CONF_OK;
}


/*
 * Runs when the block is complete.  "oscf" is the block's own, whose values may
 * be unset; "trusted" is its ssl_trusted_certificate.
 */

ngx_int_t
ngx_ocsp_plus_add_preload(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_str_t *trusted, ngx_uint_t block)
{
    ngx_str_t   *pattern;
    ngx_uint_t   i;

    if (ocf->preload == NULL || ocf->preload_block != block) {
        return NGX_OK;
    }

    pattern = ocf->preload->elts;

    for (i = 0; i < ocf->preload->nelts; i++) {

        if (ngx_ocsp_plus_preload_glob(cf, ocf, oscf, trusted, &pattern[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_ocsp_plus_preload_glob(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_str_t *trusted, ngx_str_t *pattern)
{
    ngx_int_t    rc;
    ngx_str_t    name, copy;
    ngx_glob_t   gl;
    ngx_uint_t   n;

    if (strpbrk((char *) pattern->data, "*?[") == NULL) {
        return ngx_ocsp_plus_preload_file(cf, ocf, oscf, trusted, pattern);
    }

    ngx_memzero(&gl, sizeof(ngx_glob_t));

    gl.pattern = pattern->data;
    gl.log = cf->log;
    gl.test = 1;

    if (ngx_open_glob(&gl) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      ngx_open_glob_n " \"%V\" failed for \""
                      NGX_OCSP_PLUS_PRELOAD "\"", pattern);
        return NGX_ERROR;
    }

    rc = NGX_OK;

    for (n = 0; rc == NGX_OK && ngx_read_glob(&gl, &name) == NGX_OK; n++) {

        copy.len = name.len;
        copy.data = ngx_pnalloc(cf->pool, name.len + 1);

        if (copy.data == NULL) {
            rc = NGX_ERROR;
            break;
        }

        (void) ngx_cpystrn(copy.data, name.data, name.len + 1);

        rc = ngx_ocsp_plus_preload_file(cf, ocf, oscf, trusted, &copy);
    }

    ngx_close_glob(&gl);

    if (rc == NGX_OK && n == 0) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"%V\" of \"ocsp_plus_preload\" matches no "
                      "file in %s:%ui", pattern, ocf->preload_file,
                      ocf->preload_line);
    }

    return rc;
}


static ngx_int_t
ngx_ocsp_plus_preload_file(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_srv_conf_t *oscf, ngx_str_t *trusted, ngx_str_t *name)
{
    X509                    *leaf;
    u_char                  *shown;
    u_char                   otherwise[NGX_MAX_CONF_ERRSTR];
    op_error_t               error;
    ngx_array_t              issuers;
    op_server_t             *server;
    STACK_OF(X509)          *certificates;
    op_server_directives_t   directives;

    if (ngx_array_init(&issuers, cf->temp_pool, 4, sizeof(X509 *)) != NGX_OK) {
        return NGX_ERROR;
    }

    /* servers work without it */

    (void) ngx_snprintf(otherwise, sizeof(otherwise),
                        ", it is left out in %s:%ui%Z",
                        ocf->preload_file, ocf->preload_line);
    otherwise[sizeof(otherwise) - 1] = '\0';

    certificates = ngx_ocsp_plus_chain(cf, ocf, name, NGX_OCSP_PLUS_PRELOAD,
                                       (char *) otherwise);
    if (certificates == NULL) {
        return NGX_OK;
    }

    if (ngx_ocsp_plus_push_all(&issuers, certificates, 1) != NGX_OK
        || ngx_ocsp_plus_push_file(cf, ocf, &oscf->trusted_certificate,
                                   "ocsp_plus_trusted_certificate", NULL,
                                   &issuers)
           != NGX_OK
        || ngx_ocsp_plus_push_file(cf, ocf, trusted, "ssl_trusted_certificate",
                                   (char *) otherwise, &issuers)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&directives, sizeof(op_server_directives_t));

    directives.preload = 1;
    directives.trusted = issuers.elts;
    directives.ntrusted = issuers.nelts;

    if (oscf->responders != NGX_CONF_UNSET_PTR) {
        directives.responders = oscf->responders->elts;
        directives.nresponders = oscf->responders->nelts;
    }

    if (oscf->refresh != NGX_CONF_UNSET) {
        directives.refresh_s = oscf->refresh;
    }

    /* log lines on the certificate name the file */

    leaf = sk_X509_value(certificates, 0);

    shown = ngx_ocsp_plus_printable(cf->pool, name);

    if (shown == NULL
        || ngx_ocsp_plus_place(cf->temp_pool, ocf->preload_file,
                               ocf->preload_line, &directives.place)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) X509_set_ex_data(leaf, ngx_ssl_certificate_name_index, shown);

    server = op_server_create(ocf->config, &directives, &error);

    if (server == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "ocsp_plus cannot use a certificate: %s in %s:%ui",
                      error.text, ocf->preload_file, ocf->preload_line);
        return NGX_ERROR;
    }

    return ngx_ocsp_plus_add_certificate(cf, server, leaf, NULL,
                                         &directives.place);
}
