#!/usr/bin/env bash
# Prints figures of the operator on a real Kubernetes as a table (see docs/performance.md): on a node, and against a
# control plane alone, each started for it. Needs what the node level of tests/cluster needs: Linux, root, Go.
#
#   scripts/bench-cluster.sh [node | control-plane]     default: both
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset KUBECONFIG

image=localhost/automl-test/automl:1
measure() { # LEVEL: on the cluster of RUN
  local code=0
  if [ "$1" = node ]; then
    tests/cluster/load.sh "$RUN" "$tar"
    tests/cluster/install.sh "$image"
    python3 tests/cluster/figures node || code=$?
    [ $code = 0 ] || kubectl --namespace automl-system logs deployment/automl-automl-operator --tail=40 >&2 || true
  else
    kubectl apply --server-side -f crds >/dev/null
    python3 tests/cluster/figures control-plane "$(dirname "$tar")/automl" || code=$?
  fi
  return $code
}

tools=$(scripts/tools.sh helm kubectl)
export PATH=$tools:$PATH
tar=$(scripts/image.sh "$image")
export -f measure
export tar image
echo "$(nproc) processors, $(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1), $(uname -sr)"
for level in ${1:-node control-plane}; do
  printf '\n%s\n' "$level"
  tests/cluster/with.sh "$level" bash -euo pipefail -c 'measure "$1"' - "$level"
done
