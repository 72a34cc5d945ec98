#!/usr/bin/env bash
# Ends, freezes and starts again one part of a run, such as kube-apiserver, etcd, kubelet or containerd.
#
#   tests/cluster/part.sh RUN stop|kill|start|pause|resume|pid PART
set -euo pipefail

me=part.sh
cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$cluster/lib/run.sh"
. "$cluster/lib/process.sh"
. "$cluster/lib/config.sh"
. "$cluster/lib/control_plane.sh"
. "$cluster/lib/node.sh"
[ $# = 3 ] || fail "usage: part.sh RUN stop|kill|start|pause|resume|pid PART"
set_run_that_is_up "$1"
action=$2 name=$3
[ -e "$RUN/parts/$name" ] || fail "no part $name; there are: $(cd "$RUN/parts" && echo *)"
cd "$RUN"

signal() { # SIGNAL
  local pid
  pid=$(pid_of "$name") || fail "$name does not run"
  kill "-$1" "$pid"
}

case $action in
  start)
    ! pid_of "$name" >/dev/null || fail "$name runs already"
    PATH=$(<tools):$PATH
    start "$name"
    ;;
  stop) stop "$name" ;;
  kill)
    signal KILL
    stop "$name"
    ;;
  pause) signal STOP ;;
  resume) signal CONT ;;
  pid) pid_of "$name" || fail "$name does not run" ;;
  *) fail "no action $action" ;;
esac
