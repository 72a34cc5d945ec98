# shellcheck shell=bash disable=SC2034,SC2154 # the scripts share their variables
# What the node level adds: namespaces, containerd, kubelet, kube-proxy, CoreDNS, and a way in from outside.

start_namespaces() {
  part namespaces unshare --net --mount --propagation private \
    "$cluster/lib/namespaces.sh" "$RUN" "$node_ip/${pod_cidr#*/}"
  start namespaces
  await 10 namespaces test -e namespaces-ready
  # Entering the mount namespace forgets the working directory.
  inside=(nsenter --target "$(pid_of namespaces)" --net --mount -- env --chdir="$RUN")
}

# Prints the folders of this run's control groups: one for each hierarchy of version 1, one in all for version 2.
control_groups() { awk -v id="$ID" '$3 ~ /^cgroup2?$/ {print $2 "/" id}' /proc/mounts | sort -u; }

# The kubelet ends pods below its root that it does not know: a root of its own keeps it from those of others.
make_control_groups() {
  local group file
  for group in $(control_groups); do
    if [ -e "${group%/*}/cgroup.subtree_control" ]; then
      for file in $(<"${group%/*}/cgroup.controllers"); do
        echo "+$file" >"${group%/*}/cgroup.subtree_control" 2>/dev/null || true
      done
    fi
    mkdir "$group"
    for file in cpuset.cpus cpuset.mems; do
      # In version 1 a new one is empty and takes no process.
      if [ -e "$group/tasks" ] && [ -e "$group/$file" ]; then cat "${group%/*}/$file" >"$group/$file"; fi
    done
  done
  # Version 2 alone: the machine's root group hands on what it has, that of a container only while no process is in it.
  group=/sys/fs/cgroup/$ID
  [ -e "$group/cgroup.controllers" ] || return 0
  for file in cpu memory pids; do
    grep -qw "$file" "$group/cgroup.controllers" || fail "$(
      cat <<END
control groups below /sys/fs/cgroup get no controller "$file"; in a container move all processes away from there first:
  mkdir -p /sys/fs/cgroup/init && xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs
END
    )"
  done
}

define_node() {
  for cni in /usr/lib/cni /opt/cni/bin; do [ ! -e "$cni/bridge" ] || break; done
  render containerd.toml config/containerd.toml
  render cni.conflist config/cni/10-pods.conflist
  render kubelet.yaml config/kubelet.yaml
  render kube-proxy.yaml config/kube-proxy.yaml
  render Corefile config/Corefile
  echo "nameserver $node_ip" >config/resolv.conf

  part containerd "${inside[@]}" containerd --config "$RUN/config/containerd.toml"
  part kubelet "${inside[@]}" kubelet --config "$RUN/config/kubelet.yaml" --hostname-override "$node" \
    --kubeconfig "$RUN/config/kubelet.kubeconfig" --root-dir "$RUN/kubelet" --cert-dir "$RUN/pki" --node-ip "$node_ip"
  part kube-proxy "${inside[@]}" kube-proxy --config "$RUN/config/kube-proxy.yaml"
  part coredns "${inside[@]}" coredns -conf "$RUN/config/Corefile"
  # From a port of the machine, through a socket's file, to the API server in the namespace.
  part forward-inside "${inside[@]}" socat "UNIX-LISTEN:$RUN/api.sock,fork" "TCP:$node_ip:6443"
  part forward-outside socat -d -d "TCP-LISTEN:0,bind=127.0.0.1,fork" "UNIX-CONNECT:$RUN/api.sock"
}

load_base_images() {
  await 20 containerd ctr version
  "$cluster/image.py" --tag localhost/automl-test/pause:1 --out images/pause.tar --busybox --user 65535:65535 \
    --cmd /bin/sh -c 'trap "exit 0" TERM; while :; do sleep 2147483647 & wait $!; done'
  "$cluster/image.py" --tag localhost/automl-test/busybox:1 --out images/busybox.tar --busybox --cmd /bin/sh
  for image in images/*.tar; do ctr images import "$image" >/dev/null; done
}

start_node() {
  start kubelet
  start kube-proxy
  start coredns
  start forward-inside
  start forward-outside
}

outside_port() { sed -n 's/.*listening on AF=2 127.0.0.1:\([0-9]*\)$/\1/p' log/forward-outside.log | tail -n 1; }
forwards() { [ -n "$(outside_port)" ] && [ -S api.sock ]; }

await_node() {
  await 10 forward-outside forwards
  write_kubeconfig kubeconfig-outside "https://127.0.0.1:$(outside_port)" admin alice
  await 60 kubelet kubectl get "node/$node"
  kubectl wait --for=condition=Ready "node/$node" --timeout=60s >/dev/null
  offer_gpus
  await 20 coredns grep -q ^CoreDNS- log/coredns.log
  await 20 kube-proxy service_is_routed
}

service_is_routed() { "${inside[@]}" iptables -t nat -S KUBE-SERVICES | grep -q "$service_ip/32"; }

# Nobody offers them but the node's status: scheduling, quotas and reasons are real, devices are not.
offer_gpus() {
  local at=nvidia.com~1gpu count
  count=$(<gpus)
  kubectl patch node "$node" --subresource=status --type=json --patch "[
    {\"op\": \"add\", \"path\": \"/status/capacity/$at\", \"value\": \"$count\"},
    {\"op\": \"add\", \"path\": \"/status/allocatable/$at\", \"value\": \"$count\"}]" >/dev/null
}
