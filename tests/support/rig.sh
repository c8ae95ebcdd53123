# Boots a systemd of its own, and takes it down when stdin ends.
#
#   unshare --mount --propagation private sh rig.sh NAME BASE UNITS PROGRAM...
#
# NAME     unique on this machine
# BASE     the root of a system (see root.sh), which is not written to; or empty: this machine's /usr
# UNITS    a directory of unit files for /etc/systemd/system; or empty
# PROGRAM  is copied to /usr/bin
#
# rig.rs holds the other end of stdin, so the rig goes with the test, however that ends. Whatever
# nspawn and we put into the file system is in mounts that nobody but us can see, so it goes as well.
# What remains are empty cgroup directories: removed at the end, or, should this shell be killed
# too, by the next rig.
set -eu
name=$1 base=$2 units=$3
shift 3

# nspawn's own directory: its lock files and leftovers then stay in here.
stage=/run/systemd/nspawn
mkdir -p $stage
mount -t tmpfs -o mode=0755 sd-starter-rig $stage
mkdir $stage/v1 $stage/v2 $stage/root $stage/usr

# A cgroup for each rig: without, all of them would share /payload, and stop each other's services.
# nspawn looks for its own cgroup in name=systemd where there is one (hybrid, legacy), else in v2.
hierarchies=$stage/v2
mount -t cgroup2 cgroup2 $stage/v2
if grep -q :name=systemd: /proc/self/cgroup; then
    mount -t cgroup -o none,name=systemd cgroup $stage/v1
    hierarchies="$hierarchies $stage/v1"
fi

# Removes the cgroups of a rig that has ended; fails while a process is left in one of them.
sweep() {
    for where in $hierarchies; do
        [ ! -d "$where/$1" ] || find "$where/$1" -depth -type d -exec rmdir {} + 2>/dev/null || return 1
    done
}
for hierarchy in $hierarchies; do
    for old in "$hierarchy"/sd-starter-rig.*; do
        pid=${old##*/sd-starter-rig.} pid=${pid%%.*}
        [ ! -d "$old" ] || [ -d "/proc/$pid" ] || sweep "${old##*/}" || :
    done
    mkdir "$hierarchy/$name"
done

root=$stage/root
if [ -n "$base" ]; then
    # Writes go to the tmpfs.
    mkdir $stage/writes $stage/work
    mount -t overlay -o "lowerdir=$base,upperdir=$stage/writes,workdir=$stage/work" sd-starter-rig $root
    overlay=
    programs=$root/usr/bin
else
    # Empty but for what a boot needs.
    mkdir -p $root/etc/systemd/system $root/usr $root/run $root/tmp $root/var $root/root $root/srv
    for link in bin sbin lib lib32 lib64 libx32; do
        [ ! -L /$link ] || ln -s "usr/$link" $root/$link
    done
    cp -L /etc/os-release $root/etc/os-release
    for entry in passwd group nsswitch.conf hosts protocols services ld.so.cache alternatives pam.d security; do
        [ ! -e /etc/$entry ] || cp -a /etc/$entry $root/etc/
    done
    # /usr is the machine's, with our programs laid over it; writes go to a tmpfs.
    overlay=--overlay=/usr:$stage/usr:/usr
    programs=$stage/usr/bin
    mkdir $programs
fi
# Not a first boot, or systemd would enable every unit.
tr -d - </proc/sys/kernel/random/uuid >$root/etc/machine-id
cat >$root/etc/systemd/system/default.target <<UNIT
[Unit]
Description=A test rig
Requires=basic.target
After=basic.target
Wants=dbus.socket
AllowIsolate=yes
UNIT
for unit in systemd-networkd systemd-resolved systemd-timesyncd systemd-firstboot; do
    ln -sf /dev/null $root/etc/systemd/system/$unit.service
done
[ -z "$units" ] || cp "$units"/*.service "$units"/*.socket $root/etc/systemd/system/
[ $# -eq 0 ] || cp "$@" $programs/

(
    for hierarchy in $hierarchies; do
        echo 0 >"$hierarchy/$name/cgroup.procs"
    done
    # A killed nspawn leaves its container running, unless both are in a pid namespace that ends with
    # it; and should this shell be killed, pdeathsig ends that.
    exec setpriv --pdeathsig KILL unshare --fork --pid --mount-proc --kill-child=KILL \
        env SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 \
        systemd-nspawn --quiet --register=no --keep-unit --private-network --notify-ready=yes \
        --machine="$name" --console=pipe --resolv-conf=off --timezone=off --link-journal=no \
        --directory=$root $overlay --boot </dev/null
) &
outer=$!

read -r _ || :

# Pid 1 of that namespace; everything in it dies with it, and outer ends after the last of them.
inner=$(cat /proc/$outer/task/$outer/children 2>/dev/null) || inner=
kill -KILL ${inner:-$outer} 2>/dev/null || :
wait $outer || :
tries=0
until sweep "$name"; do
    tries=$((tries + 1))
    [ $tries -lt 500 ] || exit 1
    sleep 0.02
done
