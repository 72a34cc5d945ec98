#!/usr/bin/env bash
# Tests the chart's life cycle and the scenarios of tests/cluster on a whole cluster: that of KUBECONFIG, which should be
# one to throw away, or else a node that it starts on this machine (root and Linux; see tests/cluster/README.md) and takes
# down again.
#
#   scripts/test-cluster.sh [ARGUMENT...]     arguments go to the tests, such as the name of one: then those alone run
#
# The image is built (PROFILE, else `release`) and given to a node of ours; for another cluster IMAGE names one that it
# can pull. Exit code 3: this machine cannot start a node, a line says why.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ -n "${KUBECONFIG:-}" ] || exec tests/cluster/with.sh node "${BASH_SOURCE[0]}" "$@"

PATH=$(scripts/tools.sh helm kubectl):$PATH
export IMAGE=${IMAGE:-localhost/automl-test/automl:1}
say() { echo "test-cluster.sh: $*" >&2; }
ours= # a node of ours, whose folder can be looked into
more=()
if [ "$KUBECONFIG" = "${RUN:-}/kubeconfig-outside" ]; then
  ours=1
  tar=$(scripts/image.sh "$IMAGE")
  python=$(tests/cluster/python-image.sh)
  tests/cluster/load.sh "$RUN" "$tar" "$python"
  # Where tests/cluster/queries.rs starts one.
  node=$(kubectl get nodes --output 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  more+=(--set "prometheus.url=http://$node:9099")
fi

[ $# -gt 0 ] || tests/chart/life_cycle.sh

tests/cluster/install.sh "$IMAGE" "${more[@]}"
code=0
AUTOML_TEST_CLUSTER=$KUBECONFIG cargo test --locked --test cluster -- --test-threads=1 "$@" || code=$?
if [ $code != 0 ]; then
  say "the operator's last lines:"
  kubectl --namespace automl-system logs deployment/automl-automl-operator --tail=40 >&2 || true
  exit $code
fi
# A single test uses a part of the rights only.
if [ -n "$ours" ] && [ $# = 0 ]; then
  tests/cluster/contention.py
  tests/cluster/rbac.py "$RUN/log/audit.log" automl-system automl-automl-operator
fi
