
/*
 * Finds headers of requests, adds headers to responses.
 */


#include "ngx_http_ocsp_plus.h"


/* finds the first header whose lower-case name is, or begins with, this one */

ngx_table_elt_t *
ngx_http_ocsp_plus_header(ngx_http_request_t *r, const char *name,
    ngx_uint_t begins)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if ((begins ? h[i].key.len > len : h[i].key.len == len)
                && ngx_strncmp(h[i].lowcase_key, name, len) == 0)
            {
                return &h[i];
            }
        }
    }

    return NULL;
}


/* adds a header; both strings live as long as the request */

ngx_int_t
ngx_http_ocsp_plus_add_header(ngx_http_request_t *r, const char *name,
    const char *value, size_t len)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = len;

    return NGX_OK;
}
