# The few commands of this repository; `make` alone lists them.
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup build install install-names test demo bench sim fmt lint clean-demo

export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin:/sbin
TARGET := $(or $(CARGO_TARGET_DIR),target)
PREFIX ?= /usr/local
INTO = $(DESTDIR)$(PREFIX)
NAMES := patroni patronictl patroni_aws patroni_barman patroni_wale_restore
# Hosts are network namespaces, which need root.
ROOT := $(if $(filter 0,$(shell id -u)),,sudo -E env PATH="$$PATH" KEEP="$(KEEP)" RUNS="$(RUNS)" PATRONI="$(PATRONI)" \
	ONLY="$(ONLY)" TTL="$(TTL)" SYNC="$(SYNC)" HERDS="$(HERDS)" PRESSURE="$(PRESSURE)")

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what demo and tests need (Debian packages, Rust, cargo-nextest)
	@scripts/setup.sh test

build: ## build the pgherd binary, optimised: target/release/pgherd
	cargo build --release --locked -p pgherd

install: build ## the binary, its manual pages, completions and systemd unit (PREFIX=/usr/local, DESTDIR=)
	install -D -m 755 $(TARGET)/release/pgherd $(INTO)/bin/pgherd
	@mkdir -p $(INTO)/lib/systemd/system
	sed 's#/usr/bin/pgherd#$(PREFIX)/bin/pgherd#' packaging/systemd/pgherd.service >$(INTO)/lib/systemd/system/pgherd.service
	$(INTO)/bin/pgherd man $(INTO)/share/man/man1
	@mkdir -p $(INTO)/share/bash-completion/completions $(INTO)/share/zsh/site-functions $(INTO)/share/fish/vendor_completions.d
	@for name in pgherd patronictl patroni; do \
		$(INTO)/bin/pgherd completions bash --program $$name >$(INTO)/share/bash-completion/completions/$$name; \
		$(INTO)/bin/pgherd completions zsh --program $$name >$(INTO)/share/zsh/site-functions/_$$name; \
		$(INTO)/bin/pgherd completions fish --program $$name >$(INTO)/share/fish/vendor_completions.d/$$name.fish; \
	done

install-names: ## links under Patroni's names beside the installed binary, in place of what is there
	@for name in $(NAMES); do ln -sfv pgherd $(INTO)/bin/$$name; done

test: ## formatting, clippy, and every test; what .ci/run runs
	@scripts/setup.sh test
	@scripts/test.sh

demo: ## a cluster, a failover and a switchover before your eyes (KEEP=1 leaves it running)
	@scripts/setup.sh demo
	@cargo build --release --locked -p pgherd -p pgherd-bench
	@$(ROOT) $(TARGET)/release/pgherd-demo

bench: ## outages, second writers, memory, CPU, REST (RUNS=5 HERDS=1 ONLY=agent-kill,rest TTL=5 PRESSURE=60 PATRONI=1)
	@PATRONI=$(PATRONI) scripts/setup.sh bench
	@cargo build --release --locked -p pgherd -p pgherd-bench
	@$(ROOT) $(TARGET)/release/pgherd-bench

sim: ## the simulator: universes from fresh seeds on all cores (MINUTES=5, SEED=7)
	cargo run --release --locked -p pgherd-sim -- --for $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED))

fmt: ## format all code
	cargo fmt --all

lint: ## formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

clean-demo: ## stop and remove what `make demo KEEP=1` left running
	@$(ROOT) $(TARGET)/release/pgherd-demo clean
