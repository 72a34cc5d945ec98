#!/usr/bin/env bash
# Runs admission.sh on a control plane of this machine, started for it and taken down again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

export RUN
RUN=$(mktemp -d "${TMPDIR:-/tmp}/automl-test.XXXXXX")
trap 'tests/cluster/down.sh "$RUN" >/dev/null' EXIT
tests/cluster/up.sh control-plane >/dev/null
KUBECONFIG=$RUN/kubeconfig-outside tests/chart/admission.sh
