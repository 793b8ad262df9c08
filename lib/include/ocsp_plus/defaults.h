/*
 * Every default and bound of a directive, once, with its unit in the name. Read by the shim (C), the core (C++) and
 * scripts/check-docs, which compares them with docs/directives.md.
 */
#ifndef OCSP_PLUS_DEFAULTS_H
#define OCSP_PLUS_DEFAULTS_H

#define OP_DEFAULT_TIMEOUT_MS 10000            /* ocsp_plus_timeout */
#define OP_DEFAULT_CONCURRENCY 16              /* ocsp_plus_concurrency */
#define OP_MAX_CONCURRENCY 512
#define OP_DEFAULT_RETRY_MIN_S 5               /* ocsp_plus_retry */
#define OP_DEFAULT_RETRY_MAX_S 3600
#define OP_MIN_REFRESH_S 5                     /* ocsp_plus_refresh */
#define OP_DEFAULT_MAX_RESPONSE_BYTES 65536    /* ocsp_plus_max_response */
#define OP_MAX_MAX_RESPONSE_BYTES 1048576
#define OP_DEFAULT_RESOLVER_TIMEOUT_MS 5000    /* ocsp_plus_resolver timeout= */
#define OP_DEFAULT_RESOLVER_VALID_S 30         /* ocsp_plus_resolver valid= */
#define OP_DEFAULT_STARTUP_WAIT_MS 5000        /* ocsp_plus_startup_wait */
#define OP_DEFAULT_SHARE_TIMEOUT_MS 1000       /* ocsp_plus_share timeout= */
#define OP_DEFAULT_SHARE_PREFIX "ocsp_plus"    /* ocsp_plus_share prefix= */
#define OP_CACHE_DIRECTORY "ocsp_plus"         /* ocsp_plus_cache: beside nginx's other temporary directories */
#define OP_MIN_ZONE_BYTES 134217728            /* ocsp_plus_zone, where no size is given */

#endif /* OCSP_PLUS_DEFAULTS_H */
