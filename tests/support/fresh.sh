#!/bin/sh
# Runs a script as root in another Debian, with a network and with this machine's Rust, which it has nothing
# else of.
#
#   unshare --mount --propagation private sh tests/support/fresh.sh SYSTEM RUST SCRIPT
#
# SYSTEM  the root of it, which is written to; its mounts are gone when the script has ended
# RUST    a toolchain (rustc --print sysroot); it is there as /opt/rust, and cannot be written to
set -eu
system=$1 rust=$2 script=$3
mkdir -p "$system/opt/rust"
mount --bind "$rust" "$system/opt/rust"
mount -o remount,bind,ro "$system/opt/rust"
mount --rbind /dev "$system/dev"
mount -t proc proc "$system/proc"
# How the network is reached, and whom it is trusted to.
cp -L /etc/resolv.conf /etc/hosts "$system/etc/"
trusted=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
[ ! -e "$trusted" ] || install -D -m 0644 "$trusted" "$system/etc/ssl/certs/ca-certificates.crt"
# shellcheck disable=SC2086
exec env -i HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    $(env | grep -iE '^(https?|no)_proxy=' || :) \
    chroot "$system" sh -e -c "$script"
