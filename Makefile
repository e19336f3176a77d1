# Everything a person types. `make help` lists it.

DEMO ?=
NAME ?=
FUZZ_SECONDS ?= 600
FUZZ_SMOKE_SECONDS ?= 180
HISTORIES ?= 1000000
LINES ?= 20
ARM64_TARGET_DIR ?= target/arm64
export HEADGATE_ADVISORIES ?= $(abspath ../shared/advisory-db)

.PHONY: help demo test fuzz fuzz-smoke soak bench lint advisories arm64 gpio
.DEFAULT_GOAL := help

help: ## list what there is
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## play an update with a simulated controller, a software TPM and a broker
	@deploy/setup.sh
	cargo run --release --locked -p gateway --bin headgate -- demo $(DEMO)

test: ## every test of the workspace
	@deploy/setup.sh --test
	@tests/run.sh

fuzz: ## fuzz every target for FUZZ_SECONDS each (600); corpora are kept, so it goes on where it stopped
	@deploy/setup.sh
	@set -e; for target in fuzz/fuzz_targets/*.rs; do \
		fuzz/run.sh "$$(basename "$$target" .rs)" $(FUZZ_SECONDS); done

fuzz-smoke: ## replay every corpus, then fuzz for FUZZ_SMOKE_SECONDS in all (180)
	@deploy/setup.sh
	@fuzz/smoke.sh $(FUZZ_SMOKE_SECONDS)

soak: ## the property tests with HISTORIES random histories (1000000), the bus tests on LINES lines (20)
	@deploy/setup.sh
	HEADGATE_HISTORIES=$(HISTORIES) cargo test --release --locked --workspace histories -- --nocapture
	HEADGATE_LINES=$(LINES) cargo test --release --locked -p sensor-monitor --test bus -- --nocapture
	HEADGATE_LINES=$(LINES) cargo test --locked -p headgate-tests --test bus -- --nocapture

bench: ## measure against other programs; NAME picks one measurement
	@deploy/setup.sh --bench
	tests/bench/run.sh $(NAME)

lint: advisories ## formatting, clippy, licences, bans, advisories
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@deploy/tools.sh
	target/tools/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources

advisories: ## known vulnerabilities in what we build on; the database folder is HEADGATE_ADVISORIES
	@deploy/setup.sh
	cargo test --quiet --locked --workspace --test advisories -- --nocapture

arm64: ## cross build the workspace for arm64 into ARM64_TARGET_DIR
	@deploy/setup.sh --arm64
	CARGO_TARGET_DIR=$(ARM64_TARGET_DIR) \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
	AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar \
	PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_SYSROOT_DIR_aarch64_unknown_linux_gnu=/ \
	PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig \
	cargo build --release --locked --workspace --target aarch64-unknown-linux-gnu

gpio: ## read a digital input of a real kernel, in a virtual machine
	@deploy/setup.sh --vm
	tests/vm/gpio.sh
