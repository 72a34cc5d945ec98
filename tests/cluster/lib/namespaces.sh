#!/usr/bin/env bash
# The first process in a run's own network and mount namespaces: prepares them and stays, so that others can enter.
# All ports, rules, bridges, routes and mounts made inside vanish with the last process inside.
#
#   unshare --net --mount --propagation private namespaces.sh RUN ADDRESS/BITS
set -euo pipefail
run=$1 address=$2

# The kubelet wants mounts below its folder to reach the containers.
mount --make-rshared /

# Parts and CNI plugins write to fixed places: here they write to memory over what the machine has.
mount -t tmpfs tmpfs "$run/overlays"
for place in /run /var/lib /var/log; do
  mkdir -p "$run/overlays$place/upper" "$run/overlays$place/work"
  mount -t overlay overlay "$place" \
    -o "lowerdir=$place,upperdir=$run/overlays$place/upper,workdir=$run/overlays$place/work"
done

# The kubelet sets these for the whole machine, unless they are what it wants already: here they seem to be.
while read -r setting value; do
  file=$run/overlays/${setting//\//.}
  echo "$value" >"$file"
  mount --bind "$file" "/proc/sys/$setting"
done <<END
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
END

ip link set lo up
ip link add pods type bridge
ip address add "$address" dev pods
ip link set pods up
# Nothing is behind it; parts choose their address by it.
ip route add default dev pods src "${address%/*}"
echo 1 >/proc/sys/net/ipv4/ip_forward

touch "$run/namespaces-ready"
exec sleep infinity
