
/*
 * What the operator should know of the certificates.  Noted while servers are
 * added, said once all of them are known: a later server may name the issuer
 * or the responder that an earlier one lacked.
 */


#include "ngx_ocsp_plus.h"


static void ngx_ocsp_plus_report_refusal(ngx_log_t *log,
    ngx_ocsp_plus_note_t *note);
static void ngx_ocsp_plus_report_one(ngx_log_t *log,
    ngx_ocsp_plus_note_t *note);
static void ngx_ocsp_plus_report_issuer(ngx_log_t *log,
    ngx_ocsp_plus_note_t *note);
static ngx_int_t ngx_ocsp_plus_copy(ngx_pool_t *pool, const char *text,
    char **copy);


ngx_int_t
ngx_ocsp_plus_note(ngx_pool_t *pool, ngx_ocsp_plus_conf_t *ocf,
    ngx_ocsp_plus_server_t *server, X509 *leaf, op_added_t *added)
{
    char                  *name;
    ngx_ocsp_plus_note_t  *note;

    if (added->known) {
        note = (ngx_ocsp_plus_note_t *) ocf->notes.elts + added->index;

    } else {
        note = ngx_array_push(&ocf->notes);
        if (note == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(note, sizeof(ngx_ocsp_plus_note_t));

        name = X509_get_ex_data(leaf, ngx_ssl_certificate_name_index);

        note->label = added->label;
        note->file = name ? name : "";
        note->server = *server;
        note->must_staple = added->must_staple;
        note->issuer_fault = "";

        if (ngx_ocsp_plus_copy(pool, added->ignored, &note->ignored)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (note->issuer == NULL
        && ngx_ocsp_plus_copy(pool, added->issuer_unusable, &note->issuer)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    note->has_issuer = added->has_issuer;
    note->issuer_lookup = added->issuer_lookup;
    note->has_responder = added->has_responder;
    note->has_file = added->has_file;

    if (added->issuer_fault[0] != '\0') {
        note->issuer_fault = added->issuer_fault;
    }

    if (added->differs && !note->differs) {
        note->differs = 1;
        note->other = *server;
    }

    if (added->anchors_differ && !note->anchors_differ) {
        note->anchors_differ = 1;
        note->anchors = *server;
    }

    if (added->required && !note->required) {
        note->required = 1;
        note->requires = *server;
    }

    return NGX_OK;
}


/* an empty one is none */

static ngx_int_t
ngx_ocsp_plus_copy(ngx_pool_t *pool, const char *text, char **copy)
{
    size_t  len;

    len = ngx_strlen(text);

    if (len == 0) {
        return NGX_OK;
    }

    *copy = ngx_pnalloc(pool, len + 1);
    if (*copy == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(*copy, text, len + 1);

    return NGX_OK;
}


/* nginx serves it, and no later server can mend it: told at once */

ngx_int_t
ngx_ocsp_plus_report_unusable(ngx_log_t *log, ngx_ocsp_plus_server_t *server,
    X509 *leaf, op_added_t *added)
{
    char        *name;
    op_error_t   label;

    name = X509_get_ex_data(leaf, ngx_ssl_certificate_name_index);

    op_label(leaf, &label);

    if (added->required) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "\"ocsp_plus_require\" would refuse every handshake "
                      "that asks for the status of certificate %s of \"%s\", "
                      "which gets no staple: %s in %s:%ui",
                      label.text, name ? name : "", added->unusable,
                      server->file, server->line);
        return NGX_ERROR;
    }

    if (added->known) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "ocsp_plus: certificate %s of \"%s\" cannot be read and "
                  "gets no staple%s: %s in %s:%ui",
                  label.text, name ? name : "",
                  added->must_staple
                      ? " although it demands one (Must-Staple), so that "
                        "clients that honour it will refuse to connect" : "",
                  added->unusable, server->file, server->line);

    return NGX_OK;
}


ngx_int_t
ngx_ocsp_plus_report(ngx_log_t *log, ngx_ocsp_plus_conf_t *ocf)
{
    ngx_uint_t             i, unsupported;
    const char            *first;
    ngx_ocsp_plus_note_t  *note;

    note = ocf->notes.elts;
    unsupported = 0;
    first = NULL;

    for (i = 0; i < ocf->notes.nelts; i++) {

        /* it is the responder's turn that begins with the issuer */

        note[i].issuer_lookup = note[i].issuer_lookup && ocf->issuer_fetch
                                && note[i].has_responder;

        if (note[i].required
            && !((note[i].has_issuer || note[i].issuer_lookup)
                 && (note[i].has_responder || note[i].has_file)))
        {
            ngx_ocsp_plus_report_refusal(log, &note[i]);
            return NGX_ERROR;
        }

        ngx_ocsp_plus_report_one(log, &note[i]);

        if (!note[i].has_responder && !note[i].has_file) {

            /* usual since several public CAs have ended OCSP */

            if (unsupported++ == 0) {
                first = note[i].label;
            }
        }
    }

    if (unsupported) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "ocsp_plus: %ui of %ui certificates name no OCSP "
                      "responder and get no staple, the first is %s; "
                      "\"ocsp_plus_responder\" can name one",
                      unsupported, ocf->notes.nelts, first);
    }

    return NGX_OK;
}


static void
ngx_ocsp_plus_report_refusal(ngx_log_t *log, ngx_ocsp_plus_note_t *note)
{
    const char  *why, *fault, *what;

    fault = "";

    if (!note->has_responder && !note->has_file) {
        why = "it names no OCSP responder, name one with ";
        what = "\"ocsp_plus_responder\"";

    } else if (note->issuer) {
        why = "the issuer that was found cannot be used: ";
        fault = note->issuer;
        what = "";

    } else if (note->issuer_fault[0] != '\0') {
        why = "no issuer was found: a certificate of its issuer's name is "
              "there, but ";
        fault = note->issuer_fault;
        what = "; put the right one in its place or name it in "
               "\"ocsp_plus_trusted_certificate\"";

    } else {
        why = "no issuer was found, append it to \"ssl_certificate\" or ";
        what = "name it in \"ocsp_plus_trusted_certificate\"";
    }

    ngx_log_error(NGX_LOG_EMERG, log, 0,
                  "\"ocsp_plus_require\" would refuse every handshake that "
                  "asks for the status of certificate %s: %s%s%s in %s:%ui",
                  note->label, why, fault, what, note->requires.file,
                  note->requires.line);
}


static void
ngx_ocsp_plus_report_one(ngx_log_t *log, ngx_ocsp_plus_note_t *note)
{
    if (note->differs) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "ocsp_plus: servers name different responders for "
                      "certificate %s, all are used in the order of the "
                      "configuration; the second is in %s:%ui",
                      note->label, note->other.file, note->other.line);
    }

    if (note->anchors_differ) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "ocsp_plus: servers differ in "
                      "\"ocsp_plus_responder_trusted_certificate\" for "
                      "certificate %s, the certificates of all are trusted, "
                      "of one without it those of the system; the second is "
                      "in %s:%ui",
                      note->label, note->anchors.file, note->anchors.line);
    }

    if (note->ignored) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "ocsp_plus: certificate %s names a responder that "
                      "cannot be used: %s", note->label, note->ignored);
    }

    if (!note->has_responder && !note->has_file) {

        if (note->must_staple) {
            ngx_log_error(NGX_LOG_WARN, log, 0,
                          "ocsp_plus: certificate %s demands a staple "
                          "(Must-Staple) but names no OCSP responder: clients "
                          "that honour it will refuse to connect; reissue it "
                          "or name one with \"ocsp_plus_responder\" in %s:%ui",
                          note->label, note->server.file, note->server.line);
        }

        return;
    }

    if (!note->has_issuer) {
        ngx_ocsp_plus_report_issuer(log, note);
    }
}


static void
ngx_ocsp_plus_report_issuer(ngx_log_t *log, ngx_ocsp_plus_note_t *note)
{
    const char  *what;

    if (note->issuer_lookup) {
        what = note->issuer_fault[0] != '\0'
                   ? "it is fetched from where the certificate says, but the "
                     "chain that clients get is wrong"
                   : "it is fetched from where the certificate says, but the "
                     "chain that clients get is incomplete";

    } else if (note->must_staple) {
        what = "it gets no staple although it demands one (Must-Staple), so "
               "that clients that honour it will refuse to connect";

    } else {
        what = "it gets no staple";
    }

    if (note->issuer) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "ocsp_plus: the issuer that was found for certificate "
                      "%s of \"%s\" cannot be used, %s: %s in %s:%ui",
                      note->label, note->file, what, note->issuer,
                      note->server.file, note->server.line);
        return;
    }

    if (note->issuer_fault[0] != '\0') {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "ocsp_plus: no issuer found for certificate %s of "
                      "\"%s\", %s: a certificate of its issuer's name is "
                      "there, but %s; put the right one in its place or name "
                      "it in \"ocsp_plus_trusted_certificate\" in %s:%ui",
                      note->label, note->file, what, note->issuer_fault,
                      note->server.file, note->server.line);
        return;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "ocsp_plus: no issuer found for certificate %s of \"%s\", "
                  "%s: append the issuer's certificate to that file or name "
                  "it in \"ocsp_plus_trusted_certificate\" in %s:%ui",
                  note->label, note->file, what, note->server.file,
                  note->server.line);
}


/* as the worker user, who will read them; a file may still come later */

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
