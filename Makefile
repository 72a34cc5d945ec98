# What people type. `make help` lists it.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(AUTOML_CACHE),$(HOME)/.cache/automl-operator)
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs (target/debug/automl and automl-agent)
	cargo build --locked --bins

.PHONY: test
test: ## Set up what the tests need and run them
	cargo test --locked

.PHONY: lint
lint: $(CARGO_DENY) ## Check format, lints, licences
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	$(CARGO_DENY) --locked check bans licenses sources

$(CARGO_DENY):
	@echo "installing cargo-deny $(CARGO_DENY_VERSION) into $(CACHE)"
	cargo install --quiet --locked --version $(CARGO_DENY_VERSION) --root $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny

.PHONY: generate
generate: ## Rewrite generated files (crds/, docs/conditions.md)
	UPDATE=1 cargo test --locked --test generated

.PHONY: clean
clean: ## Remove what was built
	cargo clean
