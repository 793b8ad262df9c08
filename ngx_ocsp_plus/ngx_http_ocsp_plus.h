
/*
 * Shared by the files of the http side.
 */


#ifndef _NGX_HTTP_OCSP_PLUS_H_INCLUDED_
#define _NGX_HTTP_OCSP_PLUS_H_INCLUDED_


#include "ngx_ocsp_plus.h"

#include <ngx_http.h>


/* a location's configuration */

typedef struct {
    ngx_uint_t           format;             /* op_format_t */
    const char          *directive;          /* "ocsp_plus_status" or
                                                "ocsp_plus_control" */
    u_char              *file;               /* the directive's */
    ngx_uint_t           line;
    ngx_array_t          names;              /* ngx_str_t: the server's, in
                                                "ocsp_plus_control" */
    ngx_http_core_loc_conf_t  *control;      /* the server's first location
                                                with "ocsp_plus_control" that
                                                has a path */
} ngx_http_ocsp_plus_loc_conf_t;


extern ngx_module_t      ngx_http_ocsp_plus_module;

/* ngx_http_ocsp_plus_headers.c; names are in lower case */

ngx_table_elt_t *ngx_http_ocsp_plus_header(ngx_http_request_t *r,
    const char *name, ngx_uint_t begins);
ngx_int_t ngx_http_ocsp_plus_add_header(ngx_http_request_t *r,
    const char *name, const char *value, size_t len);

/* ngx_http_ocsp_plus_status.c */

char *ngx_http_ocsp_plus_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

void ngx_http_ocsp_plus_status_piece(ngx_http_request_t *r);

/* ngx_http_ocsp_plus_pace.c */

typedef struct {
    ngx_queue_t          queue;              /* in the list of counted ones */
    ngx_queue_t          waiting;            /* in the list for a turn */
    ngx_http_request_t  *request;
    ngx_msec_t           taken;              /* time of the last progress */
    unsigned             brief:1;            /* not counted */
    unsigned             waits:1;            /* it is in the list for a turn */
    unsigned             counted:1;          /* it occupies a place */
} ngx_http_ocsp_plus_pace_t;

ngx_int_t ngx_http_ocsp_plus_pace_add(ngx_http_request_t *r,
    ngx_http_ocsp_plus_pace_t *pace, ngx_uint_t brief);
void ngx_http_ocsp_plus_pace_next(ngx_http_ocsp_plus_pace_t *pace);
void ngx_http_ocsp_plus_pace_leave(ngx_http_ocsp_plus_pace_t *pace);

/* ngx_http_ocsp_plus_control.c */

char *ngx_http_ocsp_plus_control(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

ngx_str_t ngx_http_ocsp_plus_control_path(ngx_http_request_t *r);

/* ngx_http_ocsp_plus_access.c */

void ngx_http_ocsp_plus_check_access(ngx_conf_t *cf,
    ngx_http_ocsp_plus_loc_conf_t *conf);
ngx_int_t ngx_http_ocsp_plus_control_names(ngx_conf_t *cf,
    ngx_http_ocsp_plus_loc_conf_t *conf);

/* ngx_http_ocsp_plus_variables.c */

ngx_int_t ngx_http_ocsp_plus_add_variables(ngx_conf_t *cf);


#endif /* _NGX_HTTP_OCSP_PLUS_H_INCLUDED_ */
