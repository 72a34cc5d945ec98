#!/usr/bin/env bash
# Prints the path of the image localhost/automl-test/python:1: Debian's Python with scikit-learn and joblib, a shell, and
# /digits with the program of examples/digits, where it starts. Made once a machine, in
# ${AUTOML_CACHE:-~/.cache/automl-operator}; needs root on Debian and its package mirror.
#
#   tests/cluster/load.sh RUN "$(tests/cluster/python-image.sh)"
#
# Exit code 3: this machine cannot, a line says why.
set -euo pipefail

me=python-image.sh
cluster=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$cluster/lib/run.sh"

cache=${AUTOML_CACHE:-$HOME/.cache/automl-operator}
train=$cluster/../../examples/digits/train.py
key=$(cat "$cluster/python-image.sh" "$cluster/image.py" "$train" | sha256sum | cut -c1-16)
image=$cache/python-image-$key.tar
if [ ! -e "$image" ]; then
  if [ "$(id -u)" != 0 ] || ! grep -qx 'ID=debian' /etc/os-release 2>/dev/null; then
    say "the Python image is made of Debian's packages, by root on Debian"
    exit 3
  fi
  "$cluster/../../scripts/packages.sh" image
  mkdir -p "$cache"
  exec 9>"$cache/.python-image.lock"
  flock 9
fi
if [ ! -e "$image" ]; then
  say "making the Python image (once a machine; about a minute)"
  # One that was killed leaves its folder; we have the lock, so nobody is at work in it.
  rm -rf --one-file-system "$cache"/python-image.*/
  work=$(mktemp -d "$cache/python-image.XXXXXX")
  trap 'rm -rf --one-file-system "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # The machine's own sources of packages, in either of their forms.
  sources=()
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ ! -s "$file" ] || sources+=("$file")
  done
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  mmdebstrap --quiet --mode=root --variant=essential --include=python3-minimal,python3-sklearn,python3-joblib \
    --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$codename" "$work/root" "${sources[@]}" >&2
  # What no trial reads: lists, caches and logs, tests of the packages, and the compilers that NumPy asks for.
  rm -rf "$work"/root/var/{cache,log,lib/apt}/* "$work"/root/usr/{include,lib/gcc} "$work"/root/usr/bin/*-linux-gnu-*
  find "$work/root/usr/lib" -name '*.a' -delete
  find "$work/root/usr/lib/python3/dist-packages" -depth -type d -name tests -exec rm -rf {} +
  "$cluster/image.py" --tag localhost/automl-test/python:1 --out "$work/image.tar" --layer "/=$work/root" \
    --layer "/digits/train.py=$train" --workdir /digits --env PYTHONUNBUFFERED=1 --cmd python3
  mv "$work/image.tar" "$image"
  say "made in $SECONDS s, $(($(wc -c <"$image") / 1000000)) MB"
fi
echo "$image"
