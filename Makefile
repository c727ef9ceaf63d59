# Tidings: what can be done here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: fuzz help setup setup-run run run-kafka build check test chaos properties bench deny clean

EVENTS ?=
FUZZ_SECONDS ?= 60
KAFKA_DIR ?= .tidings/kafka
VENV := target/venv
DEMO_ARGS := $(if $(EVENTS),--events $(EVENTS),)

help: ## List what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup-run:
	@deploy/setup run

setup:
	@deploy/setup test

build:
	cargo build --locked --bin tidings

run: setup-run build ## Show the main job: three organisations, live traffic, a table of what flows (EVENTS=N to end by itself)
	target/debug/tidings demo $(DEMO_ARGS)

run-kafka: setup-run build ## The same on a real Apache Kafka, started here
	@brokers="$${TIDINGS_KAFKA_BROKERS:-}"; \
	if [ -z "$$brokers" ]; then \
	  trap 'deploy/local/kafka stop --data $(KAFKA_DIR) >/dev/null' EXIT; \
	  brokers="$$(deploy/local/kafka up --data $(KAFKA_DIR))"; \
	fi; \
	target/debug/tidings demo --kafka "$$brokers" $(DEMO_ARGS)

check: ## Quick: format, lints, unit tests
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace --lib --bins

test: setup ## Everything, on real Kafka, PostgreSQL and processes that get killed
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo build --locked --workspace --all-targets
	@echo "what tests print follows, logs left out; with them it is in target/test.log"
	TIDINGS_PYTHON=$(abspath $(VENV))/bin/python cargo test --locked --workspace --no-fail-fast -- --show-output 2>&1 \
	  | tee target/test.log | grep --line-buffered -avE $$'^\x1b\\[2m20|^$$'
	fuzz/run $(FUZZ_SECONDS)

fuzz: ## Inputs that nobody thought of, against what must hold for any (FUZZ_SECONDS=60 for each target)
	fuzz/run $(FUZZ_SECONDS)

chaos: setup ## The long proof: 100,000 events with repeats, reordering and kills, on both logs
	cargo build --locked --workspace --all-targets
	TIDINGS_CHAOS_EVENTS=$${TIDINGS_CHAOS_EVENTS:-100000} TIDINGS_CHAOS_KILLS=$${TIDINGS_CHAOS_KILLS:-10} \
	  cargo test --locked -p tidings --test main -- chaos --nocapture --test-threads=1

properties: ## Generated histories against a plain model of what should be seen (CASES=N, 100,000 unless given; `make test` tries 10,000)
	TIDINGS_CASES=$${CASES:-100000} cargo test --locked -p projector --test model -- --nocapture

bench: setup ## Measure, each figure beside its peer in the same run
	benches/run

deny: ## Check dependencies: who may name what, licences, sources (installs cargo-deny)
	@command -v cargo-deny >/dev/null || { echo "installing cargo-deny"; cargo install --locked cargo-deny@0.20.2; }
	cargo deny --offline check bans licenses sources

clean: ## Remove what was built and what ran here
	cargo clean
	rm -rf .tidings fuzz/target fuzz/corpus fuzz/artifacts
