#!/usr/bin/env bash
# Starts a cluster, runs a command on it, and takes the cluster down again however that ends.
#
#   tests/cluster/with.sh control-plane|node COMMAND [ARGUMENT...]
#
# The command finds in its environment RUN, the run's folder, and KUBECONFIG. What it leaves running is ended with the
# cluster. When it fails, the logs of all parts stay, and a line says where; an interruption is no failure. The exit code
# is the command's, or that of up.sh, where 3 says that this machine cannot.
set -euo pipefail

me=with.sh
cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$cluster/lib/run.sh"
. "$cluster/lib/process.sh"
[ $# -ge 2 ] || fail "usage: with.sh control-plane|node COMMAND [ARGUMENT...]"
level=$1
shift
patience=20 # seconds that the command has to end when it is told to

child=
# Runs a command in a process group of its own, so that a signal for us can be handed on to all of it. Unlike with
# setsid or a plain `&`, an interruption is not ignored in it.
supervise() { # COMMAND...
  local code=0
  set -m
  "$@" </dev/null &
  child=$!
  set +m
  wait "$child" || code=$?
  child=
  return $code
}

end_child() {
  kill -TERM -- "-$child" 2>/dev/null || return 0
  for _ in $(seq $((patience * 10))); do
    kill -0 -- "-$child" 2>/dev/null || return 0
    sleep 0.1
  done
}

up= interrupted=
finish() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  [ -z "$child" ] || end_child
  if [ -z "$up" ]; then
    # up.sh removes what it made, and keeps the logs where it failed by itself.
    [ -z "$interrupted" ] || "$cluster/down.sh" "$RUN" || true
    rmdir "$RUN" 2>/dev/null || true
  elif [ $code = 0 ] || [ -n "$interrupted" ]; then
    "$cluster/down.sh" "$RUN" || [ $code != 0 ] || code=1
  else
    KEEP=1 "$cluster/down.sh" "$RUN" || true
    say "failed with exit code $code; the logs of all parts are in $RUN/log ($cluster/down.sh $RUN removes them)"
  fi
  exit $code
}

# Where with.sh was killed outright, its cluster is there still: the next one ends it.
for owner in "${TMPDIR:-/tmp}"/automl-test.*/owner; do
  left=${owner%/*}
  [ -d "$left/pids" ] && read -r pid begun <"$owner" || continue
  [ "$(start_time "$pid")" != "$begun" ] || continue
  say "ending $left, which was left behind"
  "$cluster/down.sh" "$left" || true
done

RUN=$(mktemp -d "${TMPDIR:-/tmp}/automl-test.XXXXXX")
export RUN
trap finish EXIT
trap 'interrupted=1; exit 129' HUP
trap 'interrupted=1; exit 130' INT
trap 'interrupted=1; exit 143' TERM

supervise "$cluster/up.sh" "$level" >/dev/null
up=1
echo "$$ $(start_time $$)" >"$RUN/owner"
# By this mark down.sh finds what the command has left running.
supervise env AUTOML_CLUSTER_RUN="$RUN" KUBECONFIG="$RUN/kubeconfig-outside" "$@"
