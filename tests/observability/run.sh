#!/usr/bin/env bash
# Tests what a platform engineer sees: dashboards, alerts and rules of the chart, and the operator's metrics, with the real
# Prometheus of Debian. Exit code 3: that is missing, and this is not root on Debian.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

scripts/packages.sh observability
scripts/dashboards.py --check
tests/observability/lint.py
promtool check rules charts/automl-operator/files/rules.yaml
promtool check config docs/laptop/prometheus.yml
promtool test rules tests/observability/rules_test.yaml
cargo build --locked --bins
tests/observability/live.py "${CARGO_TARGET_DIR:-target}/debug/automl"
tests/observability/provoke.py "${CARGO_TARGET_DIR:-target}/debug/automl"
tests/observability/query.py "${CARGO_TARGET_DIR:-target}/debug/automl"
