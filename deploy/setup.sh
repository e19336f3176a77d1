#!/bin/sh
# Installs what Headgate needs on Debian 12 besides Rust, gcc and make. A second run changes nothing.
#   usage: deploy/setup.sh [--test] [--bench] [--arm64] [--vm]
#     --test    also what tests talk to and make images with: a Python peer in .venv, mksquashfs, cpio, lz4
#     --bench   also what `make bench` measures against: proxies, FFTW
#     --arm64   also the cross compiler and libraries for arm64
#     --vm      also what `make gpio` builds modules with and boots
# No daemon that comes with a package is left running.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

packages="libtss2-dev swtpm swtpm-tools tpm2-tools mosquitto mosquitto-clients minisign mbpoll socat \
u-boot-qemu pkg-config g++ python3-venv openssl librsvg2-bin"
python=no
arm64=no
for option in "$@"; do
    case $option in
    --test)
        packages="$packages squashfs-tools cpio xz-utils zstd lz4"
        python=yes
        ;;
    --bench) packages="$packages haproxy nginx-light libnginx-mod-stream libfftw3-dev" ;;
    --arm64)
        packages="$packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross libtss2-dev:arm64"
        arm64=yes
        ;;
    --vm) packages="$packages qemu-system-x86 cpio xz-utils libelf1" ;;
    *)
        sed -n '3,7s/^# *//p' "$0" >&2
        exit 2
        ;;
    esac
done

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "setup: there is no sudo; as root, run: $*" >&2
        exit 1
    fi
}

# Debian's two architectures in one system make two lines for one name.
native=$(dpkg --print-architecture)
is_installed() {
    case $1 in
    *:*) architecture=${1#*:} ;;
    *) architecture="$native|all" ;;
    esac
    dpkg-query -W -f '${Architecture} ${db:Status-Status}\n' "$1" 2>/dev/null |
        grep -Eqx "($architecture) installed"
}

# Debian starts these when it installs them; only those that this run installs are stopped.
stop_daemon() {
    if [ -d /run/systemd/system ]; then
        as_root systemctl disable --now "$1" >/dev/null 2>&1 || true
    else
        as_root service "$1" stop >/dev/null 2>&1 || true
    fi
}

missing=""
for package in $packages; do
    is_installed "$package" || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "setup: installing$missing"
    if [ "$arm64" = yes ] && ! dpkg --print-foreign-architectures | grep -qx arm64; then
        as_root dpkg --add-architecture arm64
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086 # one word for each package
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
        </dev/null >/dev/null
    for daemon in mosquitto haproxy nginx; do
        case " $missing " in
        *" $daemon "* | *" $daemon-light "*) stop_daemon "$daemon" ;;
        esac
    done
fi

if [ "$arm64" = yes ] && ! [ -d "$(rustc --print sysroot)/lib/rustlib/aarch64-unknown-linux-gnu" ]; then
    echo "setup: adding the Rust standard library for arm64"
    rustup target add aarch64-unknown-linux-gnu
fi

wanted=$here/tests/peers/requirements.txt
if [ "$python" = yes ] && ! cmp -s "$wanted" "$here/.venv/installed.txt"; then
    echo "setup: installing $(grep -v '^#' "$wanted" | tr '\n' ' ')in .venv"
    python3 -m venv "$here/.venv"
    "$here/.venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$here/.venv/installed.txt"
fi
