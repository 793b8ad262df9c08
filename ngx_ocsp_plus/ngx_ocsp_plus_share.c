
/*
 * ocsp_plus_share: where the nodes of a fleet share responses.
 *
 * Its values may hold passwords, so no message shows them.
 */


#include "ngx_ocsp_plus.h"


#define NGX_OCSP_PLUS_SHARE_MIN_TIMEOUT  10     /* ms */
#define NGX_OCSP_PLUS_SHARE_MAX_TIMEOUT  10000


static char *ngx_ocsp_plus_share_trusted(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_str_t *file);
static char *ngx_ocsp_plus_share_password(ngx_conf_t *cf,
    ngx_ocsp_plus_conf_t *ocf, ngx_str_t *file);
static ngx_int_t ngx_ocsp_plus_share_text(ngx_conf_t *cf, ngx_str_t *file,
    op_str_t *text);


static ngx_str_t  ngx_ocsp_plus_share_parameters[] = {
    ngx_string("sentinel="),
    ngx_string("prefix="),
    ngx_string("user="),
    ngx_string("password_file="),
    ngx_string("timeout="),
    ngx_string("trusted_certificate="),
    ngx_string("certificate="),
    ngx_string("certificate_key="),
    ngx_null_string
};


enum {
    NGX_OCSP_PLUS_SHARE_SENTINEL = 0,
    NGX_OCSP_PLUS_SHARE_PREFIX,
    NGX_OCSP_PLUS_SHARE_USER,
    NGX_OCSP_PLUS_SHARE_PASSWORD,
    NGX_OCSP_PLUS_SHARE_TIMEOUT,
    NGX_OCSP_PLUS_SHARE_TRUSTED,
    NGX_OCSP_PLUS_SHARE_CERTIFICATE,
    NGX_OCSP_PLUS_SHARE_KEY,
    NGX_OCSP_PLUS_SHARE_PARAMETERS
};


char *
ngx_ocsp_plus_conf_share(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_conf_t *ocf = conf;

    char        *rv;
    op_str_t    *places;
    ngx_str_t   *value, *p, given[NGX_OCSP_PLUS_SHARE_PARAMETERS];
    op_value_t   kind;
    op_error_t   error;
    ngx_uint_t   i, n;
    ngx_msec_t   timeout;

    if (ocf->share_set) {
        return "is duplicate";
    }

    ocf->share_set = 1;

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        return cf->args->nelts == 2 ? NGX_CONF_OK
                                    : "takes nothing beside \"off\"";
    }

    places = ngx_palloc(cf->pool, cf->args->nelts * sizeof(op_str_t));
    if (places == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(given, sizeof(given));

    /* the places are checked once it is known whether they are sentinels */

    for (i = 1; i < cf->args->nelts; i++) {

        p = ngx_ocsp_plus_share_parameters;

        while (p->len
               && (value[i].len < p->len
                   || ngx_strncmp(value[i].data, p->data, p->len) != 0))
        {
            p++;
        }

        if (p->len == 0) {
            places[ocf->share.nplaces++] = ngx_ocsp_plus_str(&value[i]);
            continue;
        }

        n = p - ngx_ocsp_plus_share_parameters;

        if (given[n].data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid \"%V\" in \"%V\": it is given twice",
                               p, &cmd->name);
            return NGX_CONF_ERROR;
        }

        given[n].data = value[i].data + p->len;
        given[n].len = value[i].len - p->len;

        if (given[n].len == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid \"%V\" in \"%V\": it has no value", p,
                               &cmd->name);
            return NGX_CONF_ERROR;
        }
    }

    if (ocf->share.nplaces == 0) {
        return "names no place: \"redis://host:port\", \"rediss://host:port\", "
               "\"unix:/path\" or \"off\"";
    }

    ocf->share.places = places;

    ocf->share.sentinel =
                   ngx_ocsp_plus_str(&given[NGX_OCSP_PLUS_SHARE_SENTINEL]);

    kind = ocf->share.sentinel.len ? OP_VALUE_SENTINEL : OP_VALUE_PLACE;

    for (i = 0; i < ocf->share.nplaces; i++) {

        if (op_config_check(kind, places[i], &error) != OP_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid place %ui in \"%V\": %s", i + 1,
                               &cmd->name, error.text);
            return NGX_CONF_ERROR;
        }
    }

    ocf->share.prefix = ngx_ocsp_plus_str(&given[NGX_OCSP_PLUS_SHARE_PREFIX]);

    if (ocf->share.prefix.len
        && op_config_check(OP_VALUE_PREFIX, ocf->share.prefix, &error) != OP_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid \"prefix=\" in \"%V\": %s", &cmd->name,
                           error.text);
        return NGX_CONF_ERROR;
    }

    ocf->share.user = ngx_ocsp_plus_str(&given[NGX_OCSP_PLUS_SHARE_USER]);

    if (given[NGX_OCSP_PLUS_SHARE_TIMEOUT].len) {
        timeout = ngx_parse_time(&given[NGX_OCSP_PLUS_SHARE_TIMEOUT], 0);

        if (timeout == (ngx_msec_t) NGX_ERROR
            || timeout < NGX_OCSP_PLUS_SHARE_MIN_TIMEOUT
            || timeout > NGX_OCSP_PLUS_SHARE_MAX_TIMEOUT)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid \"timeout=\" in \"%V\": it must be "
                               "between 10ms and 10s", &cmd->name);
            return NGX_CONF_ERROR;
        }

        ocf->share.timeout_ms = timeout;
    }

    if ((given[NGX_OCSP_PLUS_SHARE_CERTIFICATE].len == 0)
        != (given[NGX_OCSP_PLUS_SHARE_KEY].len == 0))
    {
        return "takes \"certificate=\" and \"certificate_key=\" together";
    }

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    rv = ngx_ocsp_plus_share_password(cf, ocf,
                                      &given[NGX_OCSP_PLUS_SHARE_PASSWORD]);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_ocsp_plus_share_trusted(cf, ocf,
                                     &given[NGX_OCSP_PLUS_SHARE_TRUSTED]);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_ocsp_plus_share_text(cf, &given[NGX_OCSP_PLUS_SHARE_CERTIFICATE],
                                 &ocf->share.certificate)
        != NGX_OK
        || ngx_ocsp_plus_share_text(cf, &given[NGX_OCSP_PLUS_SHARE_KEY],
                                    &ocf->share.key)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* the first line */

static char *
ngx_ocsp_plus_share_password(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_str_t *file)
{
    size_t  len;

    if (ngx_ocsp_plus_share_text(cf, file, &ocf->share.password) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (file->len == 0) {
        return NGX_CONF_OK;
    }

    for (len = 0; len < ocf->share.password.len; len++) {
        if (ocf->share.password.data[len] == '\n'
            || ocf->share.password.data[len] == '\r')
        {
            break;
        }
    }

    ocf->share.password.len = len;

    while (len && (u_char) ocf->share.password.data[len - 1] >= ' '
           && ocf->share.password.data[len - 1] != 0x7f)
    {
        len--;
    }

    if (len) {
        return "has a control character in the first line of "
               "\"password_file=\"";
    }

    return ocf->share.password.len
           ? NGX_CONF_OK : "has an empty first line in \"password_file=\"";
}


static char *
ngx_ocsp_plus_share_trusted(ngx_conf_t *cf, ngx_ocsp_plus_conf_t *ocf,
    ngx_str_t *file)
{
    ngx_array_t  trusted;

    if (ngx_array_init(&trusted, cf->pool, 4, sizeof(X509 *)) != NGX_OK
        || ngx_ocsp_plus_push_file(cf, ocf, file, "ocsp_plus_share", NULL,
                                   &trusted)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ocf->share.trusted = trusted.elts;
    ocf->share.ntrusted = trusted.nelts;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_ocsp_plus_share_text(ngx_conf_t *cf, ngx_str_t *file, op_str_t *text)
{
    ngx_str_t  content;

    if (file->len == 0) {
        return NGX_OK;
    }

    if (ngx_ocsp_plus_text(cf, file, "ocsp_plus_share", &content) != NGX_OK) {
        return NGX_ERROR;
    }

    *text = ngx_ocsp_plus_str(&content);

    return NGX_OK;
}
