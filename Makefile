# The few commands of this repository; `make` alone lists them.
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup build test demo bench sim fmt lint clean-demo

export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Hosts are network namespaces, which need root.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo -E env PATH="$$PATH" KEEP="$(KEEP)" RUNS="$(RUNS)" PATRONI="$(PATRONI)")

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what demo and tests need (Debian packages, Rust, cargo-nextest)
	@scripts/setup.sh test

build: ## build the pgherd binary, optimised: target/release/pgherd
	cargo build --release --locked -p pgherd

test: ## formatting, clippy, and every test; what .ci/run runs
	@scripts/setup.sh test
	@scripts/test.sh

demo: ## a cluster, a failover and a switchover before your eyes (KEEP=1 leaves it running)
	@scripts/setup.sh demo
	@cargo build --release --locked -p pgherd -p pgherd-bench
	@$(ROOT) $(TARGET)/release/pgherd-demo

bench: ## outages, rejoin, memory, CPU, REST (RUNS=5; PATRONI=1 measures Patroni beside it)
	@PATRONI=$(PATRONI) scripts/setup.sh bench
	@cargo build --release --locked -p pgherd -p pgherd-bench
	@$(ROOT) $(TARGET)/release/pgherd-bench

sim: ## the simulator: many universes, each from its seed
	cargo run --release --locked -p pgherd-sim

fmt: ## format all code
	cargo fmt --all

lint: ## formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

clean-demo: ## stop and remove what `make demo KEEP=1` left running
	@$(ROOT) $(TARGET)/release/pgherd-demo clean
