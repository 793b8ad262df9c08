
/*
 * Parses the directives.  An engine's directive may stand in http or in stream,
 * once in all: both blocks write into the one configuration of the core module,
 * so nginx's own "is duplicate" holds across them.
 */


#include "ngx_ocsp_plus.h"


#define NGX_OCSP_PLUS_SHOWN     (size_t) 512    /* bytes of a bad URL */
#define NGX_OCSP_PLUS_MAX_SPAN  (365 * 24 * 60 * 60)


static char *ngx_ocsp_plus_conf_range(ngx_conf_t *cf, void *post, void *data);
static ngx_int_t ngx_ocsp_plus_conf_flag(ngx_str_t *value, const char *name,
    ngx_flag_t *flag);


ngx_conf_enum_t  ngx_ocsp_plus_require[] = {
    { ngx_string("off"), OP_REQUIRE_OFF },
    { ngx_string("must_staple"), OP_REQUIRE_MUST_STAPLE },
    { ngx_string("on"), OP_REQUIRE_ON },
    { ngx_null_string, 0 }
};


ngx_conf_enum_t  ngx_ocsp_plus_revoked[] = {
    { ngx_string("staple"), NGX_OCSP_PLUS_REVOKED_STAPLE },
    { ngx_string("omit"), NGX_OCSP_PLUS_REVOKED_OMIT },
    { ngx_null_string, 0 }
};


ngx_conf_enum_t  ngx_ocsp_plus_certid[] = {
    { ngx_string("sha1"), NGX_OCSP_PLUS_CERTID_SHA1 },
    { ngx_string("auto"), NGX_OCSP_PLUS_CERTID_AUTO },
    { ngx_null_string, 0 }
};


ngx_conf_num_bounds_t  ngx_ocsp_plus_conf_timeout = {
    ngx_ocsp_plus_conf_range, 1, (ngx_int_t) NGX_OCSP_PLUS_MAX_SPAN * 1000
};


ngx_conf_num_bounds_t  ngx_ocsp_plus_conf_concurrency = {
    ngx_ocsp_plus_conf_range, 1, OP_MAX_CONCURRENCY
};


ngx_conf_num_bounds_t  ngx_ocsp_plus_conf_max_response = {
    ngx_ocsp_plus_conf_range, 1024, OP_MAX_MAX_RESPONSE_BYTES
};


void *
ngx_ocsp_plus_create_main_conf(ngx_conf_t *cf)
{
    return (void *) ngx_get_conf(cf->cycle->conf_ctx, ngx_ocsp_plus_module);
}


void *
ngx_ocsp_plus_create_srv_conf(ngx_conf_t *cf)
{
    ngx_ocsp_plus_srv_conf_t  *oscf;

    oscf = ngx_pcalloc(cf->pool, sizeof(ngx_ocsp_plus_srv_conf_t));
    if (oscf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     oscf->trusted_certificate = { 0, NULL };
     *     oscf->responder_trusted_certificate = { 0, NULL };
     */

    oscf->enable = NGX_CONF_UNSET;
    oscf->responders = NGX_CONF_UNSET_PTR;
    oscf->files = NGX_CONF_UNSET_PTR;
    oscf->require = NGX_CONF_UNSET_UINT;
    oscf->revoked = NGX_CONF_UNSET_UINT;
    oscf->refresh = NGX_CONF_UNSET;
    oscf->chain = NGX_CONF_UNSET;

    return oscf;
}


char *
ngx_ocsp_plus_merge_srv_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_ocsp_plus_srv_conf_t *prev = parent;
    ngx_ocsp_plus_srv_conf_t *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_ptr_value(conf->responders, prev->responders, NULL);
    ngx_conf_merge_ptr_value(conf->files, prev->files, NULL);
    ngx_conf_merge_uint_value(conf->require, prev->require,
                              OP_REQUIRE_OFF);
    ngx_conf_merge_uint_value(conf->revoked, prev->revoked,
                              NGX_OCSP_PLUS_REVOKED_STAPLE);
    ngx_conf_merge_sec_value(conf->refresh, prev->refresh, 0);
    ngx_conf_merge_value(conf->chain, prev->chain, 0);
    ngx_conf_merge_str_value(conf->trusted_certificate,
                             prev->trusted_certificate, "");
    ngx_conf_merge_str_value(conf->responder_trusted_certificate,
                             prev->responder_trusted_certificate, "");

    return NGX_CONF_OK;
}


char *
ngx_ocsp_plus_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_conf_t *ocf = conf;

    u_char     *p;
    ssize_t     size;
    ngx_str_t  *value, text;

    if (ocf->zone_size) {
        return "is duplicate";
    }

    value = cf->args->elts;

    p = (u_char *) ngx_strchr(value[1].data, ':');

    if (p == NULL || p == value[1].data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\" in \"%V\": "
                           "it takes name:size, as in \"ocsp_plus:16m\"",
                           &value[1], &cmd->name);
        return NGX_CONF_ERROR;
    }

    text.data = p + 1;
    text.len = value[1].data + value[1].len - text.data;

    size = ngx_parse_size(&text);

    if (size == NGX_ERROR || size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone size \"%V\" in \"%V\": "
                           "it takes a size of at least %uzk",
                           &text, &cmd->name, 8 * ngx_pagesize / 1024);
        return NGX_CONF_ERROR;
    }

    ocf->zone_name.data = value[1].data;
    ocf->zone_name.len = p - value[1].data;
    ocf->zone_size = size;

    return NGX_CONF_OK;
}


char *
ngx_ocsp_plus_conf_resolver(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_conf_t *ocf = conf;

    op_str_t    *server;
    ngx_int_t    msec;
    ngx_str_t   *value, text;
    ngx_uint_t   i;
    op_error_t   error;

    if (ocf->resolvers) {
        return "is duplicate";
    }

    ocf->resolvers = ngx_array_create(cf->pool, 2, sizeof(op_str_t));
    if (ocf->resolvers == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_ocsp_plus_conf_flag(&value[i], "ipv4=", &ocf->ipv4) == NGX_OK
            || ngx_ocsp_plus_conf_flag(&value[i], "ipv6=", &ocf->ipv6)
               == NGX_OK)
        {
            continue;
        }

        if (ngx_strncmp(value[i].data, "timeout=", 8) == 0) {
            text.data = value[i].data + 8;
            text.len = value[i].len - 8;

            msec = ngx_parse_time(&text, 0);
            if (msec == NGX_ERROR || msec == 0) {
                goto invalid;
            }

            ocf->resolver_timeout = msec;
            continue;
        }

        if (ngx_strncmp(value[i].data, "valid=", 6) == 0) {
            text.data = value[i].data + 6;
            text.len = value[i].len - 6;

            ocf->resolver_valid = ngx_parse_time(&text, 1);
            if (ocf->resolver_valid == (time_t) NGX_ERROR
                || ocf->resolver_valid == 0)
            {
                goto invalid;
            }

            continue;
        }

        server = ngx_array_push(ocf->resolvers);
        if (server == NULL) {
            return NGX_CONF_ERROR;
        }

        *server = ngx_ocsp_plus_str(&value[i]);

        if (op_config_check(OP_VALUE_ADDRESS, *server, &error) != OP_OK) {
            goto invalid;
        }
    }

    if (ocf->ipv4 == 0 && ocf->ipv6 == 0) {
        return "has \"ipv4=off\" and \"ipv6=off\", which leaves no addresses";
    }

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"%V\": it takes IP "
                       "addresses with an optional port, \"ipv4=on|off\", "
                       "\"ipv6=on|off\", \"timeout=time\", \"valid=time\"",
                       &value[i], &cmd->name);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_ocsp_plus_conf_flag(ngx_str_t *value, const char *name, ngx_flag_t *flag)
{
    size_t   len;
    u_char  *p;

    len = ngx_strlen(name);

    if (ngx_strncmp(value->data, name, len) != 0) {
        return NGX_DECLINED;
    }

    p = value->data + len;

    if (ngx_strcmp(p, "on") == 0) {
        *flag = 1;
        return NGX_OK;
    }

    if (ngx_strcmp(p, "off") == 0) {
        *flag = 0;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


char *
ngx_ocsp_plus_conf_retry(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_conf_t *ocf = conf;

    ngx_str_t  *value;

    if (ocf->retry_min != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    ocf->retry_min = ngx_parse_time(&value[1], 1);
    ocf->retry_max = ngx_parse_time(&value[2], 1);

    if (ocf->retry_min == (time_t) NGX_ERROR
        || ocf->retry_max == (time_t) NGX_ERROR
        || ocf->retry_min < 1
        || ocf->retry_max < ocf->retry_min
        || ocf->retry_max > NGX_OCSP_PLUS_MAX_SPAN)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid times \"%V %V\" in \"%V\": it takes two "
                           "times, the first at least 1s and not above the "
                           "second",
                           &value[1], &value[2], &cmd->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/*
 * Like ngx_conf_check_num_bounds(), but names the directive.  Runs after
 * nginx's own handlers of numbers, times and sizes, all of the same width.
 */

static char *
ngx_ocsp_plus_conf_range(ngx_conf_t *cf, void *post, void *data)
{
    ngx_conf_num_bounds_t  *bounds = post;
    ngx_int_t              *value = data;

    ngx_str_t  *args;

    if (*value >= bounds->low && *value <= bounds->high) {
        return NGX_CONF_OK;
    }

    args = cf->args->elts;

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\": it must be between "
                       "%i and %i", &args[1], &args[0], bounds->low,
                       bounds->high);

    return NGX_CONF_ERROR;
}


char *
ngx_ocsp_plus_conf_responder(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_srv_conf_t *oscf = conf;

    op_str_t    *url;
    ngx_str_t   *value;
    ngx_uint_t   i;
    op_error_t   error;

    if (oscf->responders != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    oscf->responders = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                        sizeof(op_str_t));
    if (oscf->responders == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        url = ngx_array_push(oscf->responders);
        if (url == NULL) {
            return NGX_CONF_ERROR;
        }

        *url = ngx_ocsp_plus_str(&value[i]);

        if (op_config_check(OP_VALUE_URL, *url, &error) != OP_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid URL \"%*s%s\" in \"%V\": %s",
                               ngx_min(value[i].len, NGX_OCSP_PLUS_SHOWN),
                               value[i].data,
                               value[i].len > NGX_OCSP_PLUS_SHOWN ? "..." : "",
                               &cmd->name, error.text);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


/* the value may hold a password, so no message shows it */

char *
ngx_ocsp_plus_conf_proxy(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_conf_t *ocf = conf;

    ngx_str_t   *value;
    op_error_t   error;

    if (ocf->proxy.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        ngx_str_set(&ocf->proxy, "");
        return NGX_CONF_OK;
    }

    if (op_config_check(OP_VALUE_PROXY, ngx_ocsp_plus_str(&value[1]), &error)
        != OP_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid proxy in \"%V\": %s; it takes "
                           "\"http://host:port\", with \"user:password@\" "
                           "before the host if needed, or \"off\"",
                           &cmd->name, error.text);
        return NGX_CONF_ERROR;
    }

    ocf->proxy = value[1];

    return NGX_CONF_OK;
}


char *
ngx_ocsp_plus_conf_cache(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_conf_t *ocf = conf;

    ngx_str_t  *value;

    if (ocf->cache.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        ngx_str_set(&ocf->cache, "");
        return NGX_CONF_OK;
    }

    if (value[1].len == 0) {
        return "takes a path or \"off\"";
    }

    ocf->cache = value[1];

    if (ngx_conf_full_name(cf->cycle, &ocf->cache, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_ocsp_plus_conf_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_srv_conf_t *oscf = conf;

    op_str_t              *file;
    ngx_str_t             *value, *name;
    ngx_uint_t             i;
    ngx_ocsp_plus_conf_t  *ocf;

    if (oscf->files != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    ocf = ngx_ocsp_plus_create_main_conf(cf);

    oscf->files = ngx_array_create(cf->pool, cf->args->nelts - 1,
                                   sizeof(op_str_t));
    if (oscf->files == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (value[i].len == 0) {
            return "takes paths of files";
        }

        if (ngx_conf_full_name(cf->cycle, &value[i], 1) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        file = ngx_array_push(oscf->files);
        if (file == NULL) {
            return NGX_CONF_ERROR;
        }

        *file = ngx_ocsp_plus_str(&value[i]);

        name = ngx_array_push(&ocf->files);
        if (name == NULL) {
            return NGX_CONF_ERROR;
        }

        *name = value[i];
    }

    return NGX_CONF_OK;
}


char *
ngx_ocsp_plus_conf_refresh(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_ocsp_plus_srv_conf_t *oscf = conf;

    ngx_str_t  *value;

    if (oscf->refresh != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "auto") == 0) {
        oscf->refresh = 0;
        return NGX_CONF_OK;
    }

    oscf->refresh = ngx_parse_time(&value[1], 1);

    if (oscf->refresh == (time_t) NGX_ERROR
        || oscf->refresh < OP_MIN_REFRESH_S
        || oscf->refresh > NGX_OCSP_PLUS_MAX_SPAN)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid time \"%V\" in \"%V\": it takes \"auto\" or "
                           "a time from %ds to 365d",
                           &value[1], &cmd->name, OP_MIN_REFRESH_S);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_ocsp_plus_conf_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    ngx_uint_t  *np;

    np = (ngx_uint_t *) (p + cmd->offset);

    if (*np != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    if (ngx_ocsp_plus_choose(cf, cmd, cmd->post, np) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* like ngx_conf_set_enum_slot(), but names directive and choices */

ngx_int_t
ngx_ocsp_plus_choose(ngx_conf_t *cf, ngx_command_t *cmd,
    ngx_conf_enum_t *e, ngx_uint_t *choice)
{
    u_char      *last, choices[NGX_OCSP_PLUS_SHOWN];
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;
    last = choices;

    for (i = 0; e[i].name.len != 0; i++) {

        if (e[i].name.len == value[1].len
            && ngx_strcasecmp(e[i].name.data, value[1].data) == 0)
        {
            *choice = e[i].value;
            return NGX_OK;
        }

        last = ngx_slprintf(last, choices + NGX_OCSP_PLUS_SHOWN, "%s\"%V\"",
                            i == 0 ? "" : e[i + 1].name.len ? ", " : " or ",
                            &e[i].name);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\": it must be %*s",
                       &value[1], &cmd->name, (size_t) (last - choices),
                       choices);

    return NGX_ERROR;
}
