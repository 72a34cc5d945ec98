#!/usr/bin/env bash
# Installs what is missing of the Debian packages that a purpose of tests/cluster/packages.txt needs.
#
#   scripts/packages.sh tests | control-plane | node | image | observability
#
# Does nothing, and says nothing, when all is there. Exit code 3: something is missing, and this is not root on Debian.
set -euo pipefail

purpose=${1:?usage: scripts/packages.sh tests|control-plane|node|image|observability}
list=$(dirname "${BASH_SOURCE[0]}")/../tests/cluster/packages.txt
PATH=$PATH:/usr/sbin:/sbin

say() { echo "packages.sh: $*" >&2; }

is_there() { # PACKAGE PROOF
  case $2 in
    -) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
    /*) [ -e "$2" ] ;;
    *) command -v "$2" >/dev/null ;;
  esac
}

missing=()
while read -r of package proof; do
  [ "$of" = "$purpose" ] || continue
  is_there "$package" "$proof" || missing+=("$package")
done <"$list"
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  say "missing: ${missing[*]}; on Debian: sudo apt-get install --no-install-recommends ${missing[*]}"
  exit 3
fi
say "installing ${missing[*]}"
{
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
} >&2
