# What the scripts share; sourced, not run. They set $root, and use what is set here.
# shellcheck shell=bash disable=SC2034,SC2154

say() { printf '== %s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }
die_with() { tail -n 60 "$1" >&2; die "failed, the end of $1 is above"; }

jobs_here() { nproc 2>/dev/null || echo 2; }

build_packages=(
    g++ cmake ninja-build ccache pkg-config nginx-dev libssl-dev libc-ares-dev libboost-dev nlohmann-json3-dev
    libfmt-dev libexpected-dev libcli11-dev catch2 libhiredis-dev
)
run_packages=(nginx-light openssl)
test_packages=(
    "${run_packages[@]}" libnginx-mod-stream perl libio-socket-ssl-perl libnet-ssleay-perl libfaketime clang-format shellcheck
    curl gnutls-bin git libnginx-mod-http-lua lua-resty-core tinyproxy-bin squid dnsmasq-base prometheus valgrind
    chromium chromium-driver fonts-dejavu-core python3-yaml "redis-server|valkey-server"
)
client_packages=(default-jdk-headless erlang-base erlang-ssl certbot dehydrated lego pebble)
tidy_packages=(clang-tidy)
fuzz_packages=(clang libclang-rt-dev)

is_installed() { # PACKAGE|OTHER
    local package
    for package in ${1//|/ }; do
        ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || return 0
    done
    return 1
}
# Which of the alternatives apt can install: the first that it knows, else the last.
choose_package() { # PACKAGE|OTHER
    local package
    for package in ${1//|/ }; do
        [ -z "$(apt-cache madison "$package" 2>/dev/null)" ] || break
    done
    echo "$package"
}

# Installs those of the named packages that are not there; of "one|other" one is enough. As a normal user it only says
# which are missing.
install_missing() {
    local missing=() chosen=() package
    for package; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "packages are missing, as root: apt-get install ${missing[*]%%|*}"
    say "installing ${missing[*]}"
    # A server that starts by itself is not wanted here. systemd does not look at RUNLEVEL.
    local log services=()
    log=$(mktemp)
    apt-get update >"$log" 2>&1 || die_with "$log"
    for package in "${missing[@]}"; do
        chosen+=("$(choose_package "$package")")
    done
    if [ -d /run/systemd/system ]; then
        for package in "${chosen[@]}"; do
            case "$package" in
                nginx-light | squid | *-server) services+=("${package%-light}.service") ;;
                certbot) services+=(certbot.timer) ;;
            esac
        done
    fi
    [ ${#services[@]} = 0 ] || systemctl mask --runtime "${services[@]}" >"$log" 2>&1 || die_with "$log"
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends "${chosen[@]}" >"$log" 2>&1 ||
        die_with "$log"
    [ ${#services[@]} = 0 ] || systemctl unmask --runtime "${services[@]}" >"$log" 2>&1 || die_with "$log"
    rm -f "$log"
}

# The integration tests. They wait more than they work, so there are more of them at a time than cores, and those that
# take longest begin first.
long_tests=(share_faults flood bench status_many chain_clients chain_wire cache_shared status_page per_connection_flood
    fleet certificate_ended conf_errors cache_truth trust)
run_integration() { # how many for each core, TEST.t ...
    local name file first=() rest=()
    for name in "${long_tests[@]}"; do
        for file in "${@:2}"; do
            [ "$(basename "$file" .t)" != "$name" ] || first+=("$file")
        done
    done
    for file in "${@:2}"; do
        [[ " ${first[*]} " == *" $file "* ]] || rest+=("$file")
    done
    prove -j "$(($(jobs_here) * $1))" -I "$root/t/lib" --timer "${first[@]}" "${rest[@]}"
}

nginx_source_version() { dpkg-query -W -f '${Version}' nginx-dev 2>/dev/null; }
