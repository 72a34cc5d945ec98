#!/usr/bin/env bash
# Runs the scenarios of tests/cluster on a whole cluster: that of KUBECONFIG, which should be one to throw away, or else a
# node that it starts on this machine (root and Linux; see tests/cluster/README.md) and takes down again.
#
# The image is built and given to a node of ours; for another cluster IMAGE names one that it can pull. Arguments go to
# the tests, such as the name of one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PATH=$(scripts/tools.sh helm kubectl):$PATH
image=${IMAGE:-localhost/automl-test/automl:1}
if [ -z "${KUBECONFIG:-}" ]; then
  tar=$(scripts/image.sh "$image")
  export RUN
  RUN=$(mktemp -d "${TMPDIR:-/tmp}/automl-test.XXXXXX")
  trap 'tests/cluster/down.sh "$RUN" >/dev/null' EXIT
  tests/cluster/up.sh node >/dev/null
  tests/cluster/load.sh "$RUN" "$tar"
  export KUBECONFIG=$RUN/kubeconfig-outside
fi

helm upgrade --install automl charts/automl-operator --namespace automl-system --create-namespace --wait --timeout 2m \
  --set image.repository="${image%:*}" --set-string image.tag="${image##*:}" --set image.pullPolicy=IfNotPresent
code=0
AUTOML_TEST_CLUSTER=$KUBECONFIG cargo test --locked --test cluster -- --test-threads=1 "$@" || code=$?
if [ $code != 0 ]; then
  echo "test-cluster.sh: the operator's last lines:" >&2
  kubectl --namespace automl-system logs deployment/automl-automl-operator --tail=40 >&2 || true
fi
exit $code
