#!/bin/sh
# A minimal Debian to boot a rig from: builds it once, and says where it is.
#
#   sh tests/support/root.sh SUITE [PACKAGE...]    of that suite (bullseye, ..., sid), with these
#                                                  packages beside systemd and dbus
#
# The root is never written to again: a rig that is booted from it (Rig::boot_from, or
# SD_STARTER_RIG_ROOT for every rig of a run) has a file system of its own laid over it. So a test may
# install, upgrade and purge packages in a rig as it likes; what they wrote goes with the rig.
# There is dpkg in it, but neither apt nor a network: ask for the packages that yours depend on here.
#
# Roots are kept in $SD_STARTER_CACHE, else ${XDG_CACHE_HOME:-~/.cache}/sd-starter. A root is known by
# its suite and by what it was made of; it appears whole or not at all, is made by one of those who
# want it at once while the others wait, and is made anew when something in it is missing.
set -eu
suite=$1
shift
# systemd only recommends some of these of late; without libseccomp it leaves out SystemCallFilter=.
packages="systemd-sysv dbus libseccomp2 mount procps $*"
# Pages that nobody reads in a rig. The licences stay: tools look for them.
set --
for path in '/usr/share/doc/*' '/usr/share/info/*' '/usr/share/locale/*' '/usr/share/man/*'; do
    set -- "$@" --dpkgopt="path-exclude=$path"
done
set -- "$@" --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt=force-unsafe-io
set -- "$@" --aptopt='Acquire::Languages "none"'
# Packages of another architecture beside this one's.
case $packages in
*:arm64*) set -- "$@" --architectures="$(dpkg --print-architecture),arm64" ;;
esac
# A mirror may be a snapshot, and a suite may have ended. The signatures are checked nevertheless.
set -- "$@" --aptopt='Acquire::Check-Valid-Until "false"'

# What is installed from Debian's own images has had a merged /usr for long; this one only when told.
[ "$suite" != bullseye ] || set -- "$@" --setup-hook='cd "$1" && for name in bin sbin lib lib64; do
    mkdir -p usr/$name && ln -s usr/$name $name; done'

# This file is part of what a root is made of.
key=$(printf '%s\n' "$packages" "$(dpkg --print-architecture)" | cat - "$0" | sha256sum | cut -c 1-12)
cache=${SD_STARTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sd-starter}
root=$cache/roots/$suite-$key
mkdir -p "$cache/roots"
exec 9>"$root.lock"
flock 9

# What there is in a root, by name, kind and size.
contents() {
    (cd "$1" && find . -xdev \( -type f -printf '%p %s\n' -o -printf '%p %y\n' \) | LC_ALL=C sort | sha256sum)
}
if [ -d "$root" ] && [ "$(contents "$root")" = "$(cat "$root.contents" 2>/dev/null)" ]; then
    touch "$root.lock"
    echo "$root"
    exit
fi

# The mirror that this machine gets its own Debian from, if one can be told.
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
mirror=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(SITE)' 'Created-By: Packages' 2>/dev/null |
    sed -n "s,^$codename main \(https\?://.*\),\1,p" | head -n 1)
# And how it is reached.
options=$(mktemp)
trap 'rm -rf "$options" "$root.new"' EXIT
trap 'exit 1' HUP INT TERM
apt-config dump | grep -E '^Acquire::(https?::|Retries|Check-)' >"$options" || :

# What an interrupted run has left, and roots that nobody wants any more.
rm -rf "$root" "$root.contents" "$root.new"
find "$cache/roots" -maxdepth 1 -name '*.lock' -mtime +30 | while read -r old; do
    flock -n "$old" rm -rf "${old%.lock}" "${old%.lock}.contents" "${old%.lock}.log" "$old" || :
done

echo "building a Debian $suite: $packages" >&2
if ! mmdebstrap --quiet --mode=root --variant=essential --format=directory "$@" --aptopt="$options" \
    --include="$(echo "$packages" | sed 's/ *$//; s/  */,/g')" \
    "$suite" "$root.new" "${mirror:-http://deb.debian.org/debian}" >"$root.log" 2>&1 9>&-; then
    cat "$root.log" >&2
    exit 1
fi
rm -f "$root.log"
contents "$root.new" >"$root.contents"
mv -T "$root.new" "$root"
echo "$root"
