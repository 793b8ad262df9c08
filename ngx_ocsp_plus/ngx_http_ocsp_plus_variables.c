
/*
 * The variables, for http.
 */


#include "ngx_http_ocsp_plus.h"


static ngx_int_t ngx_http_ocsp_plus_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


ngx_int_t
ngx_http_ocsp_plus_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t       *var;
    ngx_ocsp_plus_variable_t  *v;

    for (v = ngx_ocsp_plus_variables; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, 0);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = ngx_http_ocsp_plus_variable;
        var->data = v->which;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ocsp_plus_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    return ngx_ocsp_plus_variable(r->connection, r->pool, v, data);
}
