# shellcheck shell=bash disable=SC2034,SC2154 # the scripts share their variables
# etcd, API server, controller-manager and scheduler: of both levels. Listens on $address alone.

kubectl() {
  env -i PATH="$PATH" HOME="$RUN/home" AUTOML_CLUSTER_RUN="$RUN" \
    "${inside[@]}" kubectl --kubeconfig "$RUN/kubeconfig" "$@"
}

# Prints a port that nothing listens on, below those that the kernel gives to clients.
free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

# What no test here needs: each makes itself a service account, and the limit on their requests makes a start wait for
# all of them.
controllers_left_out=(
  certificatesigningrequest-approving certificatesigningrequest-cleaner certificatesigningrequest-signing
  device-taint-eviction endpointslice-mirroring horizontal-pod-autoscaler
  kube-apiserver-serving-clustertrustbundle-publisher legacy-serviceaccount-token-cleaner
  persistentvolume-attach-detach persistentvolume-expander persistentvolume-protection podcertificaterequest-cleaner
  replicationcontroller resourceclaim resourcepoolstatusrequest storage-version-migrator
  storageversion-garbage-collector ttl volumeattributesclass-protection
)

define_control_plane() { # PORT
  local server=https://$address:$1 user left_out
  left_out=$(printf ',-%s-controller' "${controllers_left_out[@]}")
  write_kubeconfig kubeconfig "$server" admin alice
  for user in kube-controller-manager kube-scheduler kube-proxy; do
    write_kubeconfig config/$user.kubeconfig "$server" system:$user
  done
  write_kubeconfig config/kubelet.kubeconfig "$server" "system:node:$node"
  write_kubeconfig config/coredns.kubeconfig "$server" coredns
  # Sockets of files beside each other: no port is needed, and none can be taken.
  part etcd etcd --data-dir etcd --log-level warn --unsafe-no-fsync \
    --listen-client-urls unix://etcd.sock --advertise-client-urls unix://etcd.sock \
    --listen-peer-urls unix://etcd-peer.sock --initial-advertise-peer-urls unix://etcd-peer.sock \
    --initial-cluster default=unix://etcd-peer.sock
  # shellcheck disable=SC2086 # several arguments, as the caller wrote them
  part kube-apiserver "${inside[@]}" kube-apiserver --etcd-servers unix://etcd.sock \
    --bind-address "$address" --advertise-address "$address" --secure-port "$1" \
    --cert-dir pki --tls-cert-file pki/apiserver.crt --tls-private-key-file pki/apiserver.key \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file pki/service-accounts.pub --service-account-signing-key-file pki/service-accounts.key \
    --token-auth-file pki/users.csv --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction,OwnerReferencesPermissionEnforcement \
    --service-cluster-ip-range "$service_cidr" --allow-privileged=true \
    --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate pki/kubelet-client.crt --kubelet-client-key pki/kubelet-client.key \
    --audit-policy-file config/audit.yaml --audit-log-path log/audit.log --audit-log-maxsize 4000 \
    "${apiserver_arguments[@]}" ${APISERVER_ARGUMENTS:-}
  part kube-controller-manager "${inside[@]}" kube-controller-manager --secure-port 0 --leader-elect=false \
    --controllers "*$left_out" \
    --kubeconfig config/kube-controller-manager.kubeconfig --use-service-account-credentials=true \
    --service-account-private-key-file pki/service-accounts.key --root-ca-file pki/ca.crt
  part kube-scheduler "${inside[@]}" kube-scheduler --secure-port 0 --leader-elect=false \
    --kubeconfig config/kube-scheduler.kubeconfig
}

# On a port of the machine another may be faster; then another port is tried.
start_api_server() { # [PORT]
  local deadline=$((SECONDS + 60))
  for _ in 1 2 3 4 5; do
    define_control_plane "${1:-$(free_port)}"
    pid_of etcd >/dev/null || start etcd
    : >log/kube-apiserver.log
    start kube-apiserver
    until kubectl get --raw /readyz >/dev/null 2>&1; do
      pid_of kube-apiserver >/dev/null || break
      [ $SECONDS -lt $deadline ] || fail "the API server is not ready after 60 s"
      sleep 0.1
    done
    if pid_of kube-apiserver >/dev/null; then return; fi
    grep -q 'address already in use' log/kube-apiserver.log || break
  done
  tail -n 5 log/kube-apiserver.log >&2
  fail "kube-apiserver has ended; its last lines stand above"
}

start_controllers() {
  start kube-controller-manager
  start kube-scheduler
}

await_controllers() {
  await 60 kube-controller-manager kubectl get serviceaccount/default configmap/kube-root-ca.crt
}
