#!/usr/bin/env bash
# Runs a command where the parts of a run are: in its network namespace (its own one at the node level), with KUBECONFIG
# set and the bench's programs first in PATH. What still runs when down.sh comes is ended by it.
#
#   tests/cluster/in.sh RUN COMMAND [ARGUMENT...]
set -euo pipefail

me=in.sh
cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$cluster/lib/run.sh"
. "$cluster/lib/process.sh"
[ $# -ge 2 ] || fail "usage: in.sh RUN COMMAND [ARGUMENT...]"
set_run_that_is_up "$1"
shift

PATH=$(<"$RUN/tools"):$PATH
export PATH KUBECONFIG=$RUN/kubeconfig AUTOML_CLUSTER_RUN=$RUN
[ "$level" = node ] || exec "$@"
exec nsenter --target "$(pid_of namespaces)" --net -- "$@"
