#!/usr/bin/env bash
# Installs the chart, as release `automl` in `automl-system`, on the cluster of KUBECONFIG. Helm stands in PATH.
#
#   tests/cluster/install.sh NAME:TAG [ARGUMENT...]   an image that the nodes have, or can pull; arguments of Helm's
set -euo pipefail
image=${1:?usage: install.sh NAME:TAG [ARGUMENT...]}
shift

helm upgrade --install automl "$(dirname "${BASH_SOURCE[0]}")/../../charts/automl-operator" --namespace automl-system \
  --create-namespace --wait --timeout 2m --set image.repository="${image%:*}" --set-string image.tag="${image##*:}" \
  --set image.pullPolicy=IfNotPresent "$@" >/dev/null
