# nginx's add-on script for its Makefile: what is made of the core, and how the core is made. The core's own Makefile is
# asked each time, since it alone knows what has changed; an OpenSSL that nginx's make builds as well comes first.

if [ "$op_link" = DYNAMIC ]; then
    echo "$NGX_OBJS/ngx_http_ocsp_plus_module$ngx_modext: $op_core" >>$NGX_MAKEFILE
fi

if [ -z "$OCSP_PLUS_CORE_BUILD" ]; then
    op_openssl=
    case "$OPENSSL" in
        NONE | NO | YES) ;;
        *) op_openssl=$OPENSSL/.openssl/include/openssl/ssl.h ;;
    esac

    cat <<END >>$NGX_MAKEFILE

$op_core: $op_openssl ocsp_plus_core
	\$(MAKE) -C $op_build ocsp_plus_core

.PHONY: ocsp_plus_core

END
fi
