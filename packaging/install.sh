#!/bin/sh
# Installs what cargo has built: for distributors, and used by both of our packages.
#
#   cargo build --release --locked --bins
#   DESTDIR=... packaging/install.sh [DIRECTORY OF THE PROGRAMS, default target/release]
#
# In the environment, with their defaults:
#   DESTDIR=                a root to install below
#   PREFIX=/usr/local       with /usr the systemd files go to /usr/lib/systemd
#   SYSCONFDIR=/etc
#   START_SERVER=link       bin/start_server is a link to sd-starter; "alternative": there is none, and its
#                           man page is called sd-starter-start_server.1, for update-alternatives
#   ZSH=site-functions      the name of zsh's directory; Debian's is vendor-completions
set -eu
umask 022
cd "$(dirname "$0")/.."
programs=${1:-${CARGO_TARGET_DIR:-target}/release}
prefix=${PREFIX:-/usr/local}
systemd=$prefix/lib/systemd
start_server=${START_SERVER:-link}
root=${DESTDIR:-}

# put MODE DIRECTORY FILE... : into a directory, under their own names.
put() {
    mode=$1 directory=$root$2
    shift 2
    mkdir -p "$directory"
    for file in "$@"; do
        install -m "$mode" "$file" "$directory/${file##*/}"
        # Texts name our programs with their paths.
        case $mode$file in
        0644*systemd/*) sed -i "s#/usr/bin/\(sd-starter\|starterctl\)#$prefix/bin/\1#" "$directory/${file##*/}" ;;
        esac
    done
}

put 0755 "$prefix/bin" "$programs/sd-starter" "$programs/starterctl"
put 0644 "$prefix/share/man/man1" packaging/man/sd-starter.1 packaging/man/starterctl.1
put 0644 "$prefix/share/man/man7" packaging/man/sd-starter.7
case $start_server in
link)
    ln -sf sd-starter "$root$prefix/bin/start_server"
    put 0644 "$prefix/share/man/man1" packaging/man/start_server.1
    ;;
alternative)
    install -m 0644 packaging/man/start_server.1 "$root$prefix/share/man/man1/sd-starter-start_server.1"
    ;;
*)
    echo "START_SERVER: link or alternative" >&2
    exit 1
    ;;
esac

# For the packages' own scripts.
put 0755 "$prefix/libexec/sd-starter" packaging/upgrade-all
sed -i "s#@BIN@#$prefix/bin#" "$root$prefix/libexec/sd-starter/upgrade-all"

put 0644 "$prefix/share/bash-completion/completions" packaging/completions/bash/*
put 0644 "$prefix/share/zsh/${ZSH:-site-functions}" packaging/completions/zsh/*
put 0644 "$prefix/share/fish/vendor_completions.d" packaging/completions/fish/*

put 0644 "$systemd/system" systemd/sd-starter@.service systemd/sd-starter@.socket
put 0644 "$systemd/user" systemd/user/sd-starter@.service systemd/user/sd-starter@.socket
# One script: it sees from its directory whom it works for.
put 0755 "$systemd/system-generators" systemd/sd-starter-generator
put 0755 "$systemd/user-generators" systemd/sd-starter-generator
put 0644 "$systemd/catalog" packaging/sd-starter.catalog

put 0644 "$prefix/share/doc/sd-starter" README.md CHANGELOG.md packaging/PACKAGING.md packaging/third-party.txt
put 0644 "$prefix/share/doc/sd-starter/examples" systemd/app.service systemd/app.socket systemd/*.conf \
    packaging/web.conf
mkdir -p "$root${SYSCONFDIR:-/etc}/sd-starter"
