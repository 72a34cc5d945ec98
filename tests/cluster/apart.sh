#!/usr/bin/env bash
# Tests what the bench promises of itself: runs at the same time do not meet, and nothing is left of one, however it ended.
#
#   tests/cluster/apart.sh      exit code 3: this machine cannot start a control plane, a line says why
#
# As root with nodes, else with control planes alone.
set -euo pipefail

me=apart.sh
cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$cluster/lib/run.sh"
. "$cluster/lib/process.sh"
. "$cluster/lib/node.sh"

# What runs on each cluster: leaves something there, says so, and stays.
if [ "${1:-}" = stay ]; then
  kubectl create configmap "of-${2##*/}" >/dev/null
  if [ "$(<"$RUN/level")" = node ]; then
    kubectl run sleeper --image localhost/automl-test/busybox:1 --image-pull-policy Never --command -- sleep 600 >/dev/null
    kubectl wait pod/sleeper --for condition=Ready --timeout 60s >/dev/null
  fi
  echo "$RUN" >"$2"
  exec sleep 600
fi

tools=$("$cluster/../../scripts/tools.sh" kubectl)
export PATH=$tools:$PATH
node=control-plane
[ "$(id -u)" != 0 ] || node=node
# A folder of its own, in which nobody else's runs lie.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/apart.XXXXXX")
export TMPDIR

pids=()
finish() {
  local code=$?
  trap '' INT TERM
  trap - EXIT
  [ ${#pids[@]} = 0 ] || kill -TERM "${pids[@]}" 2>/dev/null || true
  wait
  for run in "$TMPDIR"/automl-test.*/level; do
    [ ! -e "$run" ] || KEEP=$([ $code = 0 ] || echo 1) "$cluster/down.sh" "${run%/*}" || true
  done
  if [ $code = 0 ] || [ $code = 3 ]; then rm -rf "$TMPDIR"; else say "what was printed, and the logs, are in $TMPDIR"; fi
  exit $code
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Starts a cluster; $pid is who owns it.
launch() { # NAME LEVEL
  # Unlike with a plain `&`, an interruption is not ignored in it.
  set -m
  "$cluster/with.sh" "$2" "$cluster/apart.sh" stay "$TMPDIR/$1" >"$TMPDIR/$1.out" 2>&1 </dev/null &
  pid=$!
  set +m
  pids+=("$pid")
}
# Waits until a command succeeds, while this process lives.
soon() { # PID COMMAND...
  local deadline=$((SECONDS + 120)) code=0
  until "${@:2}" >/dev/null 2>&1; do
    if ! kill -0 "$1" 2>/dev/null; then
      wait "$1" || code=$?
      cat "$TMPDIR"/*.out >&2
      [ $code != 3 ] || exit 3
      fail "it has ended with exit code $code before this came true: ${*:2}"
    fi
    [ $SECONDS -lt $deadline ] || fail "it does not come true: ${*:2}"
    sleep 0.1
  done
}
ends_with() { # CODE PID
  local code=0
  wait "$2" 2>/dev/null || code=$?
  [ $code = "$1" ] || fail "exit code $code, where $1 was expected"
}

on() { kubectl --kubeconfig "$1/kubeconfig-outside" --request-timeout 10s "${@:2}"; } # RUN ARGUMENT...
# A cluster has one by which it is known.
identity() { on "$1" get namespace kube-system --output 'jsonpath={.metadata.uid}'; } # RUN

# Prints the ids of all processes of a run.
processes_of() { # RUN
  (
    set_run "$1"
    processes_of_run
    control_groups | while read -r group; do
      [ ! -d "$group" ] || find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done
  ) | sort -u
}
# Prints the network and mount namespaces that a run has made: bridges, rules and mounts vanish with them.
namespaces_of() { # RUN
  local process
  for process in $(processes_of "$1"); do
    readlink "/proc/$process/ns/net" "/proc/$process/ns/mnt" || true
  done 2>/dev/null | sort -u | grep -vxF -e "$(readlink /proc/self/ns/net)" -e "$(readlink /proc/self/ns/mnt)" || true
}
# Prints what there is of a run, a line each.
what_is_left() { # RUN NAMESPACE...
  local process namespace
  for process in $(processes_of "$1"); do
    echo "process $process: $(tr '\0' ' ' <"/proc/$process/cmdline" || true)"
  done 2>/dev/null
  for namespace in "${@:2}"; do
    # Somebody may be in it who has no mark of the run.
    find /proc/[0-9]*/ns -lname "$namespace" 2>/dev/null | head -n 1 || true
  done
  (
    set_run "$1"
    for group in $(control_groups); do [ ! -e "$group" ] || echo "control group $group"; done
  )
  grep -F "$1" /proc/self/mounts || true
  [ ! -e "$1" ] || echo "folder $1"
}
nothing_is_left() { # RUN NAMESPACE...
  local left
  left=$(what_is_left "$@")
  [ -z "$left" ] || fail "this is left of $1:"$'\n'"$left"
}

launch first "$node"
first=$pid
launch second "$node"
second=$pid
soon "$first" test -s "$TMPDIR/first"
soon "$second" test -s "$TMPDIR/second"
one=$(<"$TMPDIR/first") two=$(<"$TMPDIR/second")
say "after $SECONDS s two are up, each a $node"
[ "$(identity "$one")" != "$(identity "$two")" ] || fail "$one and $two are the same cluster"
on "$one" get configmap of-first >/dev/null
on "$two" get configmap of-second >/dev/null
[ "$(on "$one" get configmap of-second --ignore-not-found --output name)" = "" ] || fail "$one and $two meet"
left=$(what_is_left "$one")
[ "$(wc -l <<<"$left")" -gt 5 ] || fail "this test does not see what there is: $left"
mapfile -t namespaces < <(namespaces_of "$one")
mapfile -t others < <(namespaces_of "$two")
[ -z "$(comm -12 <(printf '%s\n' "${namespaces[@]}" | sort) <(printf '%s\n' "${others[@]}" | sort) | grep .)" ] ||
  fail "$one and $two share a network or mounts"
# The node's network, its mounts, and those of a pod.
[ $node != node ] || [ ${#namespaces[@]} -ge 4 ] || fail "a node and its pod have namespaces of their own: ${namespaces[*]}"

say "who owns the $node is killed; the next run ends it, and is interrupted at its start"
kill -KILL "$first"
ends_with 137 "$first"
identity "$one" >/dev/null || fail "who was killed cannot have ended $one"
launch third "$node"
third=$pid
is_starting() {
  local run
  for run in "$TMPDIR"/automl-test.*; do
    case $run in "$one" | "$two") ;; *) three=$run ;; esac
  done
  [ -n "${three:-}" ] && [ -e "$three/pids/kube-apiserver" ]
}
soon "$third" is_starting
nothing_is_left "$one" "${namespaces[@]}"
mapfile -t namespaces < <(namespaces_of "$three")
kill -INT "$third"
ends_with 130 "$third"
nothing_is_left "$three" "${namespaces[@]}"

say "a command that fails leaves the logs, and a line says where"
code=0
"$cluster/with.sh" control-plane false >"$TMPDIR/failing.out" 2>&1 </dev/null || code=$?
[ $code = 1 ] || fail "exit code $code of a command that failed with 1"
failed=$(sed -n 's/.*the logs of all parts are in \(.*\)\/log (.*/\1/p' "$TMPDIR/failing.out")
[ -s "$failed/log/kube-apiserver.log" ] || fail "there is no log where it says: $(<"$TMPDIR/failing.out")"
left=$(what_is_left "$failed")
[ "$left" = "folder $failed" ] || fail "more than its logs is left of $failed:"$'\n'"$left"
"$cluster/down.sh" "$failed"
nothing_is_left "$failed"

say "the other one is still there, and is interrupted"
identity "$two" >/dev/null || fail "$two does not answer"
kill -INT "$second"
ends_with 130 "$second"
nothing_is_left "$two" "${others[@]}"
say "all is well after $SECONDS s"
