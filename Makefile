# What people type. `make help` lists it.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Where tools lie that are built once a machine; nothing of it in this folder.
CACHE := $(or $(AUTOML_CACHE),$(HOME)/.cache/automl-operator)
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

TARGET := $(or $(CARGO_TARGET_DIR),target)
DEMO := examples/digits

# Arguments for `cargo test`, such as ARGS="--test architecture".
ARGS ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Build, then search for a good network for handwritten digits (Python 3.11 or newer)
	@echo "==> Python packages for the example, into $(DEMO)/.venv"
	@scripts/venv.sh $(DEMO)
	@echo "==> The programs, into $(TARGET)/debug (some minutes the first time)"
	@cargo build --locked --bins
	@echo "==> The search: $(TARGET)/debug/automl run -f $(DEMO)/experiment.yaml"
	@PATH="$$PWD/$(DEMO)/.venv/bin:$$PATH" $(TARGET)/debug/automl run -f $(DEMO)/experiment.yaml

.PHONY: build
build: ## Build the programs automl and automl-agent
	cargo build --locked --bins

.PHONY: test
test: ## Set up what the tests need and run them all (ARGS="..." goes to cargo test)
	@scripts/test.sh $(ARGS)

.PHONY: chart
chart: ## Test the Helm chart, as far as that goes without a node (needs Go)
	@tests/chart/run.sh
	@HELM="$$(scripts/tools.sh helm3)/helm3" tests/chart/run.sh
	@tests/cluster/with.sh control-plane tests/chart/admission.sh

.PHONY: lint
lint: format clippy deny ## Check format, lints and licences

.PHONY: format
format:
	cargo fmt --check

.PHONY: clippy
clippy:
	cargo clippy --locked --all-targets -- -D warnings

.PHONY: deny
deny: $(CARGO_DENY)
	$(CARGO_DENY) --locked check bans licenses sources

$(CARGO_DENY):
	@echo "building cargo-deny $(CARGO_DENY_VERSION) (once a machine; some minutes)"
	cargo install --quiet --locked --version $(CARGO_DENY_VERSION) --root $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION) cargo-deny

.PHONY: bench
bench: ## Measure, with a release build, and print a table (ONLY="steps decisions crowd tuners memory trials page lines agent reports")
	CARGO_INCREMENTAL=0 cargo bench --locked --bench steps --bench stopping --bench tuners --bench figures --bench reports -- $(ONLY)

.PHONY: bench-cluster
bench-cluster: ## Measure on a Kubernetes of this machine, as root, and print a table (LEVEL=node or control-plane: that alone)
	@scripts/bench-cluster.sh $(LEVEL)

# What `make cluster` starts lies in here.
CLUSTER := $(CURDIR)/.automl-cluster

.PHONY: test-cluster
test-cluster: ## Run the scenarios that need pods, on a cluster of this machine or that of KUBECONFIG (ARGS="name")
	@scripts/test-cluster.sh $(ARGS)

.PHONY: cluster
cluster: ## Start a one-node Kubernetes on this machine, as root, and leave it up (GPUS=2)
	@RUN=$(CLUSTER) tests/cluster/up.sh node

.PHONY: cluster-down
cluster-down: ## End what `make cluster` started
	@tests/cluster/down.sh $(CLUSTER)

.PHONY: generate
generate: ## Rewrite generated files (crds/, docs/, those of the chart)
	UPDATE=1 cargo test --locked --test generated
	scripts/chart.py
	scripts/dashboards.py

.PHONY: clean
clean: ## Remove what was built; tools in the cache and experiments in .automl stay
	cargo clean
	rm -rf $(DEMO)/.venv
