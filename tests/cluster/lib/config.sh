# shellcheck shell=bash disable=SC2034,SC2154 # the scripts share their variables
# Fixed addresses, certificates, users and configuration files of a run.

# The node level has a network namespace of its own, so these are the same for every run.
node=node
node_ip=10.244.0.1         # the bridge's: API server, DNS and the node itself
pod_cidr=10.244.0.0/22
service_cidr=10.96.0.0/16
service_ip=10.96.0.1       # of the Service `kubernetes`

# Fills in config/NAME.
render() { # NAME TARGET
  sed -e "s#@RUN@#$RUN#g; s#@ID@#$ID#g; s#@NODE@#$node#g; s#@NODE_IP@#$node_ip#g; s#@POD_CIDR@#$pod_cidr#g" \
    -e "s#@CNI@#${cni:-}#g" "$cluster/config/$1" >"$RUN/$2"
}

certificate() { # NAME SUBJECT EXTENSIONS OPENSSL_ARGUMENT...
  local name=$1 subject=$2 extensions=$3
  shift 3
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "$subject" \
    -keyout "pki/$name.key" -out "pki/$name.crt" -extensions ext \
    -config <(printf '[req]\ndistinguished_name=dn\n[dn]\n[ext]\n%b' "$extensions") "$@" 2>>log/openssl.log
}

write_certificates() {
  local names=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc
  names=$names,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$node_ip,IP:$service_ip
  certificate ca /CN=automl-cluster 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\nsubjectKeyIdentifier=hash\n'
  certificate apiserver /CN=kube-apiserver "subjectAltName=$names\nextendedKeyUsage=serverAuth\n" \
    -CA pki/ca.crt -CAkey pki/ca.key
  certificate kubelet-client /CN=kube-apiserver 'extendedKeyUsage=clientAuth\n' -CA pki/ca.crt -CAkey pki/ca.key
  openssl ecparam -name prime256v1 -genkey -noout -out pki/service-accounts.key
  openssl ec -in pki/service-accounts.key -pubout -out pki/service-accounts.pub 2>>log/openssl.log
}

# Every part is a user of its own, so that the audit log tells them apart. alice may do nothing until a test lets her.
write_users() {
  local user groups
  while read -r user groups; do
    echo "$(openssl rand -hex 16),$user,$user${groups:+,$groups}"
  done >pki/users.csv <<END
admin system:masters
alice users
system:kube-controller-manager
system:kube-scheduler
system:kube-proxy
system:node:$node system:nodes
coredns system:masters
END
}

# Writes a kubeconfig with a context for each user named; the first is the current one.
write_kubeconfig() ( # FILE SERVER USER...
  server=$2
  umask 077
  exec >"$1"
  shift 2
  cat <<END
apiVersion: v1
kind: Config
clusters:
- {name: cluster, cluster: {server: "$server", certificate-authority-data: $(base64 -w0 pki/ca.crt)}}
current-context: $1
contexts:
END
  for user; do echo "- {name: \"$user\", context: {cluster: cluster, user: \"$user\"}}"; done
  echo users:
  for user; do echo "- {name: \"$user\", user: {token: $(token_of "$user")}}"; done
)

token_of() { sed -n "s/,$1,$1\(,.*\)\?$//p" pki/users.csv; }
