# Minimal Debians, made by debootstrap, and commands in them; sourced after lib.sh, not run. The script that sources it sets
# $name (the release), $dir (where it is) and $log.
# shellcheck shell=bash disable=SC2034,SC2154

releases=(bookworm trixie sid)
roots=${OCSP_PLUS_ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/ocsp_plus/roots}

known_release() { # name
    [[ " ${releases[*]} " == *" $1 "* ]] || die "unknown release: $1; there are ${releases[*]}"
}

# In namespaces of its own: with the command, or with this script, all its processes and mounts end.
child=
trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
apart() {
    # Not a job of the terminal, so that the traps above are heard; INT is ignored in such commands unless it is said.
    env --default-signal=INT,QUIT unshare --mount --propagation private --pid --fork --kill-child "$@" 9>&- &
    child=$!
    local status=0
    wait "$child" || status=$?
    child=
    return $status
}

# /dev as it is here, for the terminals and the rest; its shared memory is a tmpfs of the run.
# With $offline there is no network but loopback.
inside() { # command
    apart ${offline:+--net} bash -c '
        set -e
        dir=$1 offline=$2
        shift 2
        [ -z "$offline" ] || ip link set lo up
        mount -t proc proc "$dir/proc"
        mount --rbind /dev "$dir/dev"
        mountpoint -q /dev/pts || mount -t devpts devpts "$dir/dev/pts"
        mount -t tmpfs -o mode=1777 tmpfs "$dir/dev/shm"
        status=0
        chroot "$dir" "$@" || status=$?
        exit "$status" # not the last command: the shell stays the one that orphans are left to
    ' inside "$dir" "${offline:-}" /usr/bin/env -i -C / PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        LANG=C.UTF-8 TERM="${TERM:-dumb}" DEBIAN_FRONTEND=noninteractive "${proxies[@]}" "$@"
}

# Never follows into what is mounted there, whoever mounted it.
remove() { # directory
    [ -e "$1" ] || return 0
    ! grep -qF " $1/" /proc/self/mountinfo || die "something is mounted in $1: umount it first"
    rm -rf --one-file-system "$1"
}

# The first address that apt has for packages of this label.
mirror_of() { # label
    local uri
    uri=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI)' | awk -F'|' -v label="$1" '$1 == label && !n++ { print $2 }')
    uri=${uri%/}
    # Cloud images have a file with a list of mirrors.
    case "$uri" in mirror+file:*) uri=$(awk '/^[a-z]+:/ && !n++ { print $1 }' "${uri#mirror+file:}") ;; esac
    printf '%s' "${uri%/}"
}

make_root() {
    local new=$roots/$name.new recipe=$name
    # What is newer than this machine's debootstrap is made like sid.
    [ -e "/usr/share/debootstrap/scripts/$name" ] || recipe=sid
    say "making a Debian $name in $dir"
    remove "$new"
    # For mirrors by https, certificates from the start.
    apart env "${proxies[@]}" debootstrap --variant=minbase --include=ca-certificates "$name" "$new" "$mirror" \
        "/usr/share/debootstrap/scripts/$recipe" >"$log" 2>&1 || die_with "$log"
    printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" # no service starts in there
    chmod 755 "$new/usr/sbin/policy-rc.d"
    remove "$dir"
    mv "$new" "$dir"
}

# As apt and DNS are set up on this machine, today.
configure_root() {
    {
        echo "deb $mirror $name main"
        if [ "$name" != sid ]; then
            echo "deb $mirror $name-updates main"
            [ -z "$security" ] || echo "deb $security $name-security main"
        fi
    } >"$dir/etc/apt/sources.list"
    apt-config dump Acquire | grep -vE '^Acquire::(IndexTargets|CompressionTypes|Changelogs)\b' >"$dir/etc/apt/apt.conf.d/90test-on"
    rm -f "$dir/etc/resolv.conf"
    cp -L /etc/resolv.conf "$dir/etc/resolv.conf"
    say "bringing Debian $name up to date"
    # An earlier run may have been ended in the midst of this.
    inside sh -c 'dpkg --configure -a && apt-get update && apt-get -y -f install && apt-get -y dist-upgrade && apt-get clean' >"$log" 2>&1 || die_with "$log"
}

only_one() { # what for
    exec 9>"$roots/$1.lock"
    flock -n 9 || die "another scripts/${0##*/} $1 is running"
}

# What is needed to make them; the end of the script where it cannot be had.
needs_roots() {
    [ "$(id -u)" = 0 ] || die "needs root: it mounts, and installs packages"
    apart mount -t tmpfs tmpfs /tmp 2>/dev/null ||
        die "no right to mount here, so no Debian $name can be made; a container needs CAP_SYS_ADMIN for it"
    install_missing debootstrap debian-archive-keyring iproute2
    mkdir -p "$roots"
    roots=$(realpath "$roots")
    mirror=$(mirror_of Debian)
    if [ -z "$mirror" ]; then
        apt-get update >"$roots/apt.log" 2>&1 || die_with "$roots/apt.log"
        mirror=$(mirror_of Debian)
    fi
    [ -n "$mirror" ] || die "apt is configured with no mirror of Debian on this machine"
    security=$(mirror_of Debian-Security)
    # debootstrap and apt's own variables agree on these names.
    http_proxy=${http_proxy:-} https_proxy=${https_proxy:-}
    eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
    proxies=(http_proxy="$http_proxy" https_proxy="$https_proxy" no_proxy="${no_proxy:-}")
}
