
/*
 * The file that this code was loaded from.  nginx keeps a module's code over
 * each reload, so a package's upgrade goes unnoticed until something says so.
 */


#include "ngx_ocsp_plus.h"

#include <dlfcn.h>


/* the file as it was when it was loaded; nlink 0: not seen yet */

static ngx_file_info_t  ngx_ocsp_plus_object;


/*
 * Remembers the file at the first call, which nginx makes once it has loaded
 * it, and compares at the others.  While its code is mapped no other file can
 * have its inode.
 */

void
ngx_ocsp_plus_check_object(ngx_cycle_t *cycle)
{
    Dl_info          info;
    ngx_file_info_t  fi;

    /* a path is relative where the module is a part of nginx itself */

    if (dladdr(&ngx_ocsp_plus_module, &info) == 0 || info.dli_fname[0] != '/') {
        return;
    }

    if (ngx_file_info(info.dli_fname, &fi) == NGX_FILE_ERROR) {

        if (ngx_ocsp_plus_object.st_nlink) {
            ngx_log_error(NGX_LOG_WARN, cycle->log, ngx_errno,
                          "ocsp_plus: the file of the module, \"%s\", cannot "
                          "be found: install it before nginx is restarted",
                          info.dli_fname);
        }

        return;
    }

    if (ngx_ocsp_plus_object.st_nlink == 0) {
        ngx_ocsp_plus_object = fi;
        return;
    }

    if (fi.st_dev != ngx_ocsp_plus_object.st_dev
        || fi.st_ino != ngx_ocsp_plus_object.st_ino)
    {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "ocsp_plus: the file of the module, \"%s\", was "
                      "replaced, nginx goes on with the code of version "
                      OCSP_PLUS_VERSION " that it has loaded: restart nginx, "
                      "or send it USR2 and QUIT (\"service nginx upgrade\")",
                      info.dli_fname);
    }
}
