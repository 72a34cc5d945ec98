#!/usr/bin/env bash
# Gives images to the node of a run, from archives as image.py writes them.
#
#   tests/cluster/load.sh RUN TAR...
set -euo pipefail

me=load.sh
cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$cluster/lib/run.sh"
[ $# -ge 2 ] || fail "usage: load.sh RUN TAR..."
set_run_that_is_up "$1"
[ "$level" = node ] || fail "the level control-plane runs no containers"
shift
for archive; do ctr images import "$archive" >/dev/null; done
