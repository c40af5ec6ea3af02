#!/usr/bin/env bash
# Everything that must hold before a change lands; the test runner's summary is the last line.
# Network namespaces need root: as another user each test program is run through sudo.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin" RUST_LIB_BACKTRACE=0
started=$SECONDS
step() { printf '\033[1m==>\033[0m [%4ds] %s\n' $((SECONDS - started)) "$*"; }

step "1/4 formatting"
cargo fmt --all --check
step "2/4 building, with clippy's lints denied; end-to-end tests run the binary"
# Clippy is the compiler with more lints: as the compiler of our crates it saves checking everything below them once more.
# The whole workspace: with one package alone its dependencies get fewer features, and would be built twice.
RUSTC_WORKSPACE_WRAPPER=$(rustc --print sysroot)/bin/clippy-driver
export RUSTC_WORKSPACE_WRAPPER CLIPPY_ARGS="-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__"
cargo build --workspace --all-targets --locked
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null; then
        host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
        step "tests make network namespaces: sudo may ask for your password"
        sudo -v
        export "CARGO_TARGET_${host}_RUNNER=sudo -E env PATH=$PATH"
    else
        step "neither root nor sudo: hosts are loopback addresses and tests that cut links are skipped"
    fi
fi
step "3/4 examples in the documentation"
# They are marked `rust`, `no_run` or `should_panic`. Without any, rustdoc would take a minute to find nothing to do.
if grep -rqE '^ *//[/!] ```(rust|no_run|should_panic)' crates --include='*.rs'; then
    cargo test --workspace --doc --locked --quiet
fi
step "4/4 unit, scenario, contract, simulator and end-to-end tests"
if cargo nextest --version >/dev/null 2>&1; then
    # One more than there are cores: two clusters that mostly wait (.config/nextest.toml) leave room for a test that reckons.
    exec cargo nextest run --workspace --locked --profile ci --test-threads $(($(nproc) + 1))
fi
exec cargo test --workspace --all-targets --locked --no-fail-fast -- --test-threads=1
