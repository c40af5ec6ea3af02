#!/usr/bin/env bash
# The watchdog on a real kernel: a member in a User-mode Linux guest with softdog, its rival and etcd outside. Everything of
# pgherd in the guest is stopped (SIGSTOP) while PostgreSQL serves; softdog resets the guest before the lease ends, the rival
# takes over, and the guest comes back as its replica. Prints when what happened.
# Usage: scripts/watchdog-in-uml.sh        as root on Debian 12; takes about five minutes, most of it to set up the guest once.
# WORK=DIR keeps the guest's file system there for the next time; without it all is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { printf 'watchdog-in-uml: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "network namespaces and the guest's files need root"

ttl=10 margin=3
net=pgherd-uml tap=pgherd-uml0 outside=10.213.87.1 inside=10.213.87.2
work=${WORK:-$(mktemp -d /tmp/pgherd-uml.XXXXXX)}
tree=$work/guest run=$work/run
started=$SECONDS
step() { printf '\033[1m==>\033[0m [%3ds] %s\n' $((SECONDS - started)) "$*"; }

pids=()
clean() {
    local pid
    for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    sleep 2
    for pid in "${pids[@]}" $(ip netns pids "$net" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
    ip netns del "$net" 2>/dev/null || true
    [ -n "${WORK:-}" ] || rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM

# Waits until a command succeeds, for so many seconds.
await() {
    local what=$1 limit=$2 until=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge $until ]; then
            tail -n 15 "$run"/*.log "$tree"/var/log/pgherd.log >&2 || true
            fail "$what did not come within $limit s"
        fi
        sleep 0.2
    done
}

step "programs"
need() { command -v "$1" >/dev/null || missing+=("$2"); }
missing=()
need linux.uml user-mode-linux
need mmdebstrap mmdebstrap
need etcd etcd-server
need ip iproute2
need cc build-essential
need mkfs.ext4 e2fsprogs
[ -x /usr/lib/postgresql/15/bin/initdb ] || missing+=(postgresql-15)
[ -z "${missing[*]}" ] || DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "${missing[@]}" >/dev/null
pgherd=${PGHERD:-target/debug/pgherd}
[ -x "$pgherd" ] || cargo build --locked -p pgherd

step "the guest's file system"
mkdir -p "$work"
if [ ! -e "$tree/complete" ]; then
    rm -rf "$tree"
    mmdebstrap --quiet --variant=minbase --include=postgresql-15,iproute2,kmod,procps \
        --essential-hook='mkdir -p "$1/etc/postgresql-common"; echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"' \
        bookworm "$tree"
    touch "$tree/complete"
fi
rm -rf "$run" "$tree/member" "$tree/disk" "$tree/var/log/pgherd.log" "$tree/freeze"
mkdir -p "$run" "$tree/member" "$tree/disk/socket"
cp "$pgherd" "$tree/usr/local/bin/pgherd"
rm -rf "$tree/lib/modules"
cp -r /usr/lib/uml/modules "$tree/usr/lib/modules"

# What both members are configured with.
member() {
    local name=$1 address=$2 dir=$3
    cat <<YAML
scope: uml
name: $name
restapi: {listen: "$address:8008", connect_address: "$address:8008"}
etcd3: {hosts: ["$outside:2379"]}
pgherd: {allow_short_ttl: true}
bootstrap:
  dcs:
    ttl: $ttl
    loop_wait: 2
    retry_timeout: 3
    postgresql: {use_pg_rewind: true, use_slots: true, parameters: {shared_buffers: 16MB, max_connections: 40}}
  pg_hba: ["local all all trust", "host all all $outside/24 trust", "host replication all $outside/24 trust"]
postgresql:
  listen: $address:5432
  connect_address: $address:5432
  data_dir: $dir/data
  bin_dir: /usr/lib/postgresql/15/bin
  pgpass: $dir/pgpass
  authentication: {superuser: {username: postgres}, replication: {username: replicator}, rewind: {username: postgres}}
  parameters: {unix_socket_directories: $dir/socket}
YAML
}
{
    member guest $inside /member
    printf 'watchdog: {mode: required, device: /dev/watchdog1, safety_margin: %s}\n' "$margin"
} >"$tree/disk/pgherd.yml"
# A disk of its own: on the file system shared with the outside all files belong to root.
chroot "$tree" chown -R postgres: /disk
chmod 755 "$tree/disk"
mkfs.ext4 -q -E root_owner="$(stat -c %u:%g "$tree/disk")" -d "$tree/disk" "$run/disk" 1G
cat >"$tree/guest-init" <<'INIT'
#!/bin/sh
# The first process of the guest: network, softdog, agent. Freezes all of pgherd when the file /freeze appears.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t ext4 /dev/ubda /member || exit 1
ip link set lo up
ip addr add INSIDE/24 dev vec0
ip link set vec0 up
# watchdog0 is the guest kernel's own; softdog is the next.
modprobe softdog nowayout=0 || exit 1
pgherd agent /member/pgherd.yml >>/var/log/pgherd.log 2>&1 &
while sleep 0.1; do
    if [ -e /freeze ]; then
        rm /freeze
        pkill -STOP -f pgherd
    fi
done
INIT
sed -i "s/INSIDE/$inside/" "$tree/guest-init"
chmod +x "$tree/guest-init"

step "network, etcd, guest"
ip netns add "$net"
ip netns exec "$net" ip link set lo up
ip netns exec "$net" ip tuntap add "$tap" mode tap
ip netns exec "$net" ip addr add "$outside/24" dev "$tap"
ip netns exec "$net" ip link set "$tap" up
start() {
    local log=$1
    shift
    ip netns exec "$net" "$@" >"$run/$log.log" 2>&1 </dev/null &
    disown
    pids+=($!)
}
start etcd etcd --data-dir "$run/etcd" --listen-client-urls "http://$outside:2379" \
    --advertise-client-urls "http://$outside:2379" --listen-peer-urls "http://127.0.0.1:2380"
cc -O2 -Wall -shared -fPIC -o "$run/uml-xstate.so" scripts/uml-xstate.c
power_on() {
    start "$1" timeout 600 env LD_PRELOAD="$run/uml-xstate.so" linux.uml mem=1G ubd0="$run/disk" root=none \
        rootfstype=hostfs rootflags="$tree" rw init=/guest-init vec0:transport=tap,ifname="$tap",gro=1 con=null con0=null,fd:1
}
power_off() {
    local pid
    for pid in $(ip netns pids "$net"); do
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != linux.uml ] || kill -KILL "$pid" 2>/dev/null || true
    done
}
power_on guest
within() { ip netns exec "$net" "$@"; }
says() { within curl -fs -m 2 "http://$1:8008/$2"; }
await "the guest as the primary" 180 says $inside primary

step "the rival"
mkdir -p "$run/rival/socket"
member rival $outside "$run/rival" >"$run/rival.yml"
chown -R postgres: "$run/rival"
chmod 755 "$work" "$run"
start rival "$(readlink -f "$pgherd")" agent "$run/rival.yml"
await "the rival as a replica" 180 says $outside replica
counts() { grep -q 'the watchdog /dev/watchdog1 (Software Watchdog) counts' "$tree/var/log/pgherd.log"; }
await "the guest's watchdog" 10 counts

# One client for each server: it tells the moments of its first and its last write.
psql=/usr/lib/postgresql/15/bin/psql
within $psql -qX "host=$inside user=postgres" -c 'create table beat (at timestamptz)'
beat() {
    local address=$1 log=$2
    while :; do
        if within timeout 1 $psql -qX "host=$address user=postgres connect_timeout=1" \
            -c 'insert into beat values (now())' >/dev/null 2>&1; then
            date +%s.%N >>"$run/$log"
        else
            sleep 0.05
        fi
    done
}
beat $inside beats-guest &
pids+=($!)
beat $outside beats-rival &
pids+=($!)
beats() { [ -s "$run/beats-guest" ] && [ "$(wc -l <"$run/beats-guest")" -ge 20 ]; }
await "rows in the guest" 30 beats

step "everything of pgherd in the guest is stopped"
resets() { grep -q 'softdog: Initiating system reboot' "$run/guest.log"; }
! resets || fail "the guest has been reset before anything happened to it"
frozen=$(date +%s.%N)
touch "$tree/freeze"
await "the reset" 60 resets
reset=$(date +%s.%N)
# This kernel can not start itself again from an interrupt, as a machine would: it is switched off, and on again later.
power_off
last=$(tail -n 1 "$run/beats-guest")
await "the rival as the primary" 60 says $outside primary
taken() { [ -s "$run/beats-rival" ]; }
await "rows at the rival" 30 taken
first=$(head -n 1 "$run/beats-rival")
power_on guest-again
await "the guest as a replica" 180 says $inside replica

step "done"
after() { awk -v a="$frozen" -v b="$1" 'BEGIN { printf "%6.2f s", b - a }'; }
printf '%s  all of pgherd in the guest is stopped (ttl %s s, safety_margin %s s)\n' "$(after "$frozen")" $ttl $margin
printf '%s  last row that the guest acknowledged\n' "$(after "$last")"
printf '%s  softdog has reset the guest\n' "$(after "$reset")"
printf '%s  first row that the rival acknowledged\n' "$(after "$first")"
awk -v a="$last" -v b="$first" 'BEGIN { exit !(a < b) }' || fail "both took rows at the same time"
