#!/usr/bin/env bash
# Starts a one-node Kubernetes for tests and prints one line, `export KUBECONFIG=...`.
#
#   tests/cluster/up.sh control-plane   etcd, API server, controller-manager, scheduler on 127.0.0.1; no root needed
#   tests/cluster/up.sh node            all that a node has too, in namespaces of its own: pods run; needs root, Linux
#
# From the environment: RUN, the folder of this run (empty or absent before; default: a new one); GPUS, how many
# nvidia.com/gpu the node offers (2); APISERVER_ARGUMENTS, more arguments for kube-apiserver; KEEP=1, logs stay. If it
# fails, it removes all but the logs and says where they are. Exit code 3: this machine cannot, a line says why.
set -euo pipefail

me=up.sh
cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$cluster/lib/run.sh"
. "$cluster/lib/process.sh"
. "$cluster/lib/config.sh"
. "$cluster/lib/control_plane.sh"
. "$cluster/lib/node.sh"

level=${1:-}
programs=(etcd kube-apiserver kube-controller-manager kube-scheduler kubectl)
address=127.0.0.1
inside=()
# Nothing but the machine itself can be reached at a loopback address: no endpoints for the Service `kubernetes`.
apiserver_arguments=(--endpoint-reconciler-type none)
# Tests wait for old versions to expire.
apiserver_arguments+=(--etcd-compaction-interval 5s)
case $level in
  control-plane) ;;
  node)
    programs+=(kubelet kube-proxy coredns)
    address=$node_ip
    apiserver_arguments=()
    ;;
  *)
    say "usage: up.sh control-plane|node"
    exit 2
    ;;
esac
if [ "$(uname)" != Linux ]; then
  say "the bench needs Linux"
  exit 3
fi
if [ "$level" = node ] && [ "$(id -u)" != 0 ]; then
  say "the node level needs root (try sudo); the level control-plane does not"
  exit 3
fi
[[ ${GPUS:=2} =~ ^[0-9]+$ ]] || fail "GPUS=$GPUS is not a number"
"$cluster/../../scripts/packages.sh" "$level"
tools=$(SAY=$me "$cluster/../../scripts/tools.sh" "${programs[@]}")
PATH=$tools:$PATH
# etcd and others may keep more connections open than a shell's default allows.
ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
umask 022

owned=
images=
finish() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  [ $code != 0 ] && [ -n "$owned" ] || exit $code
  [ -z "$images" ] || kill "$images" 2>/dev/null || true
  # An interruption is no failure: nobody will read its logs.
  [ $code -gt 128 ] || KEEP=1
  KEEP=${KEEP:-} "$cluster/down.sh" "$RUN" || true
  [ ! -d "$RUN/log" ] || say "not up; the logs are in $RUN/log"
  exit $code
}
trap finish EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

set_run "${RUN:-$(mktemp -d "${TMPDIR:-/tmp}/automl-cluster.XXXXXX")}"
case $level:$RUN/ in
  node:/run/* | node:/var/run/* | node:/var/lib/* | node:/var/log/*)
    fail "$RUN: a run's folder may not lie in /run, /var/lib or /var/log" ;;
esac
mkdir -p "$RUN"
[ -e "$RUN/level" ] || [ -z "$(ls -A "$RUN")" ] || fail "$RUN holds other things; a run needs a folder of its own"
[ -e "$RUN/level" ] || echo "$level" >"$RUN/level"
# A run belongs to who makes pids/.
mkdir "$RUN/pids" 2>/dev/null || fail "$RUN is in use; end it with $cluster/down.sh $RUN"
owned=1
echo "$level" >"$RUN/level"
cd "$RUN"
rm -rf log
export AUTOML_CLUSTER_RUN=$RUN

started=$(date +%s%N)
say "starting $level in $RUN"
mkdir -p parts log/pods config/cni pki home images cni containerd kubelet overlays
chmod 700 pki
echo "$GPUS" >gpus
echo "$tools" >tools
write_certificates
write_users
cp "$cluster/config/audit.yaml" config/

if [ "$level" = node ]; then
  start_namespaces
  make_control_groups
  define_node
  start containerd
  load_base_images &
  images=$!
  start_api_server 6443
  start_controllers
  wait $images
  start_node
  await_controllers
  await_node
else
  start_api_server
  start_controllers
  await_controllers
  ln -s kubeconfig kubeconfig-outside
fi
say "ready after $(( ($(date +%s%N) - started) / 100000000 ))00 ms"
echo "export KUBECONFIG=$RUN/kubeconfig-outside"
