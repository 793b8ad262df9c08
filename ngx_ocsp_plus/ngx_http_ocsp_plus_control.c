
/*
 * "ocsp_plus_control": asks the designated worker for a refresh.  Only POST
 * does, and no page of another site can make a browser send an accepted one.
 */


#include "ngx_http_ocsp_plus.h"


static ngx_int_t ngx_http_ocsp_plus_control_handler(ngx_http_request_t *r);
static void ngx_http_ocsp_plus_control_register(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf);
static ngx_uint_t ngx_http_ocsp_plus_cross_site(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ocsp_plus_known_host(ngx_http_request_t *r);
static ngx_uint_t ngx_http_ocsp_plus_is_address(ngx_str_t *host);


char *
ngx_http_ocsp_plus_control(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_ocsp_plus_loc_conf_t *olcf = conf;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_ocsp_plus_control_handler) {
        return "is duplicate";
    }

    ngx_http_ocsp_plus_control_register(cf, clcf);

    olcf->directive = "ocsp_plus_control";
    olcf->file = cf->conf_file->file.name.data;
    olcf->line = cf->conf_file->line;

    clcf->handler = ngx_http_ocsp_plus_control_handler;

    return NGX_CONF_OK;
}


/*
 * Tells the status locations of the server.  The name of a location is a path
 * that leads to it, except of a regular expression, a named location or "if".
 */

static void
ngx_http_ocsp_plus_control_register(ngx_conf_t *cf,
    ngx_http_core_loc_conf_t *clcf)
{
    ngx_http_core_srv_conf_t       *cscf;
    ngx_http_ocsp_plus_loc_conf_t  *server;

#if (NGX_PCRE)
    if (clcf->regex) {
        return;
    }
#endif

    if (clcf->named || clcf->noname) {
        return;
    }

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);
    server = cscf->ctx->loc_conf[ngx_http_ocsp_plus_module.ctx_index];

    if (server->control == NULL) {
        server->control = clcf;
    }
}


/* empty: none is known; "internal" may stand behind "ocsp_plus_control" */

ngx_str_t
ngx_http_ocsp_plus_control_path(ngx_http_request_t *r)
{
    static ngx_str_t                none = ngx_null_string;
    ngx_http_core_srv_conf_t       *cscf;
    ngx_http_ocsp_plus_loc_conf_t  *server;

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);
    server = cscf->ctx->loc_conf[ngx_http_ocsp_plus_module.ctx_index];

    if (server->control == NULL || server->control->internal) {
        return none;
    }

    return server->control->name;
}


static ngx_int_t
ngx_http_ocsp_plus_control_handler(ngx_http_request_t *r)
{
    u_char                    *host;
    ngx_int_t                  rc;
    ngx_str_t                  body;
    op_text_t                  text;
    ngx_ocsp_plus_conf_t      *ocf;
    ngx_http_complex_value_t   cv;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (r->method != NGX_HTTP_POST) {

        if (ngx_http_ocsp_plus_add_header(r, "Allow", "POST",
                                          sizeof("POST") - 1)
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return NGX_HTTP_NOT_ALLOWED;
    }

    if (ngx_http_ocsp_plus_cross_site(r)) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "ocsp_plus: a cross-site request was refused by "
                      "\"ocsp_plus_control\"");
        return NGX_HTTP_FORBIDDEN;
    }

    /* tools send none of the headers that browsers do */

    if ((ngx_http_ocsp_plus_header(r, "origin", 0)
         || ngx_http_ocsp_plus_header(r, "sec-fetch-", 1))
        && !ngx_http_ocsp_plus_known_host(r))
    {
        host = ngx_ocsp_plus_printable(r->pool, &r->headers_in.server);

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "ocsp_plus: a browser's request for host \"%s\", "
                      "which is not a name of this server, was refused by "
                      "\"ocsp_plus_control\"", host ? (char *) host : "");
        return NGX_HTTP_FORBIDDEN;
    }

    ocf = ngx_http_get_module_main_conf(r, ngx_http_ocsp_plus_module);

    rc = op_refresh(ocf->config, ngx_ocsp_plus_str(&r->args), ngx_time(),
                    (int64_t) ngx_current_msec, &text);

    ngx_log_error(NGX_LOG_NOTICE, r->connection->log, 0,
                  "ocsp_plus: refresh requested: status=%i answer=\"%s\"",
                  rc, text.text);

    body.len = ngx_strlen(text.text);
    body.data = ngx_pnalloc(r->pool, body.len + 1);
    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_memcpy(body.data, text.text, body.len);
    body.data[body.len++] = '\n';

    ngx_memzero(&cv, sizeof(ngx_http_complex_value_t));
    cv.value = body;

    ngx_str_set(&r->headers_out.content_type, "text/plain; charset=utf-8");
    r->headers_out.content_type_len = sizeof("text/plain") - 1;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_send_response(r, rc, &r->headers_out.content_type, &cv);
}


/*
 * Browsers name the origin of a request in Sec-Fetch-Site, older ones in
 * Origin, and no script can change that.  Tools send neither.
 */

static ngx_uint_t
ngx_http_ocsp_plus_cross_site(ngx_http_request_t *r)
{
    u_char           *host;
    size_t            len;
    ngx_table_elt_t  *site, *origin;

    site = ngx_http_ocsp_plus_header(r, "sec-fetch-site", 0);

    if (site) {
        return !((site->value.len == 11
                  && ngx_strncmp(site->value.data, "same-origin", 11) == 0)
                 || (site->value.len == 4
                     && ngx_strncmp(site->value.data, "none", 4) == 0));
    }

    origin = ngx_http_ocsp_plus_header(r, "origin", 0);

    if (origin == NULL) {
        return 0;
    }

    host = ngx_strlcasestrn(origin->value.data,
                            origin->value.data + origin->value.len,
                            (u_char *) "://", 3 - 1);

    if (host == NULL || r->headers_in.host == NULL) {
        return 1;
    }

    host += 3;
    len = origin->value.data + origin->value.len - host;

    return len != r->headers_in.host->value.len
           || ngx_strncasecmp(host, r->headers_in.host->value.data, len) != 0;
}


/*
 * Copies the names of the location's server, regular expressions excepted:
 * nginx keeps its own list only while it reads the configuration.
 */

ngx_int_t
ngx_http_ocsp_plus_control_names(ngx_conf_t *cf,
    ngx_http_ocsp_plus_loc_conf_t *conf)
{
    ngx_str_t                 *name;
    ngx_uint_t                 i;
    ngx_http_server_name_t    *sn;
    ngx_http_core_srv_conf_t  *cscf;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler != ngx_http_ocsp_plus_control_handler) {
        return NGX_OK;
    }

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    if (ngx_array_init(&conf->names, cf->pool, cscf->server_names.nelts + 1,
                       sizeof(ngx_str_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    sn = cscf->server_names.elts;

    for (i = 0; i < cscf->server_names.nelts; i++) {

#if (NGX_PCRE)
        if (sn[i].regex) {
            continue;
        }
#endif

        name = ngx_array_push(&conf->names);
        if (name == NULL) {
            return NGX_ERROR;
        }

        *name = sn[i].name;
    }

    return NGX_OK;
}


/*
 * A page whose own name was made to lead here ("DNS rebinding") is of the same
 * site to a browser, but the Host has that name.  No attacker can rebind an
 * address, "localhost", or a name of the operator's.  Patterns that leave the
 * end of the name open, and regular expressions, do not count as names.
 */

static ngx_uint_t
ngx_http_ocsp_plus_known_host(ngx_http_request_t *r)
{
    size_t                          len;
    u_char                         *tail;
    ngx_str_t                      *host, *name;
    ngx_uint_t                      i;
    ngx_http_ocsp_plus_loc_conf_t  *olcf;

    /* lower case, without port and trailing dot */

    host = &r->headers_in.server;

    if (host->len == 0) {
        return 0;
    }

    if (ngx_http_ocsp_plus_is_address(host)
        || (host->len == 9 && ngx_strncmp(host->data, "localhost", 9) == 0))
    {
        return 1;
    }

    olcf = ngx_http_get_module_loc_conf(r, ngx_http_ocsp_plus_module);

    name = olcf->names.elts;

    for (i = 0; i < olcf->names.nelts; i++, name++) {

        if (name->len == host->len
            && ngx_strncasecmp(name->data, host->data, host->len) == 0)
        {
            return 1;
        }

        /* "*.example.com" and ".example.com", which is example.com as well */

        if (name->len > 2 && name->data[0] == '*' && name->data[1] == '.') {
            tail = name->data + 1;
            len = name->len - 1;

        } else if (name->len > 1 && name->data[0] == '.') {
            tail = name->data;
            len = name->len;

            if (host->len == len - 1
                && ngx_strncasecmp(tail + 1, host->data, host->len) == 0)
            {
                return 1;
            }

        } else {
            continue;
        }

        if (host->len > len
            && ngx_strncasecmp(tail, host->data + host->len - len, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* an address as browsers write it: four numbers, or brackets */

static ngx_uint_t
ngx_http_ocsp_plus_is_address(ngx_str_t *host)
{
#if (NGX_HAVE_INET6)
    u_char  address[16];

    if (host->len > 2 && host->data[0] == '['
        && host->data[host->len - 1] == ']')
    {
        return ngx_inet6_addr(host->data + 1, host->len - 2, address)
               == NGX_OK;
    }
#endif

    return ngx_inet_addr(host->data, host->len) != INADDR_NONE;
}
