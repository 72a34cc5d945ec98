#!/usr/bin/env bash
# Ends a run of up.sh, in whatever state it is, and removes all that it made; does nothing when nothing is there.
#
#   tests/cluster/down.sh RUN      KEEP=1: what the parts logged stays, in RUN/log
set -euo pipefail

me=down.sh
cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$cluster/lib/run.sh"
. "$cluster/lib/process.sh"
. "$cluster/lib/node.sh"
set_run "${1:-${RUN:?usage: down.sh RUN}}"
[ -e "$RUN/level" ] || exit 0
# What carries the mark of a run is ended here, and that would be all that this script starts.
if [ -n "${AUTOML_CLUSTER_RUN:-}" ]; then exec env -u AUTOML_CLUSTER_RUN "$cluster/down.sh" "$RUN"; fi
cd /

# Processes of containers: they do not carry our mark, but lie in the run's control groups.
processes_of_pods() {
  control_groups | while read -r group; do
    [ ! -d "$group" ] || find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -u
}

# Until nobody is seen twice: one that was being started when we looked may show, and start another, a moment later.
end_processes() {
  local pids none=0
  for _ in $(seq 200); do
    pids=$(processes_of_run && processes_of_pods)
    if [ -z "$pids" ]; then
      none=$((none + 1))
      [ $none -lt 2 ] || return 0
    else
      none=0
      # shellcheck disable=SC2086 # one argument each
      kill -KILL $pids 2>/dev/null || true
    fi
    sleep 0.05
  done
  fail "these processes cannot be ended: ${pids//$'\n'/ }"
}

remove_control_groups() {
  local group
  for group in $(control_groups); do
    for _ in $(seq 50); do
      [ -d "$group" ] || break
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
    done
    [ ! -d "$group" ] || say "could not remove $group"
  done
}

end_processes
remove_control_groups
if [ "${KEEP:-}" = 1 ]; then
  # level stays, so that a second call takes the logs away.
  find "$RUN" -mindepth 1 -maxdepth 1 ! -name log ! -name level -exec rm -rf --one-file-system {} +
else
  rm -rf --one-file-system "$RUN"
fi
