#!/usr/bin/env bash
# Prints the path of a stock kubectl, built from its Go module once a machine.
#
#   scripts/kubectl.sh            build it if need be, print its path
#   scripts/kubectl.sh --cached   print its path if it is built already, else print nothing
#
# The program lies in ${AUTOML_CACHE:-~/.cache/automl-operator}/tools-KEY; KEY names everything that goes into it, so
# another version gets another folder. Needs Go and a module proxy, and nothing else; exit code 3 says that Go is
# missing or too old, any other failure is one of the build.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$here/../tests/tools/kubectl
key=$(cat "$module/go.mod" "$module/go.sum" "${BASH_SOURCE[0]}" | sha256sum | cut -c1-16)
folder=${AUTOML_CACHE:-$HOME/.cache/automl-operator}/tools-$key
program=$folder/kubectl

if [ -x "$program" ]; then
  echo "$program"
  exit
fi
[ "${1:-}" != --cached ] || exit 0

say() { echo "kubectl.sh: $*" >&2; }

if ! command -v go >/dev/null; then
  say "Go is not installed; get it from https://go.dev/dl/ (the golang package of Debian 12 is too old)"
  exit 3
fi
cd "$module"
export CGO_ENABLED=0 GOWORK=off
# Go reads its own version against the go.mod here: 1.21 and newer fetch the toolchain it asks for, older ones cannot.
if ! reason=$(go list -m 2>&1); then
  say "Go cannot read tests/tools/kubectl/go.mod; get a newer one from https://go.dev/dl/"
  say "$(go version): $reason"
  exit 3
fi

version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v1.}
minor=${minor%%.*}
stamp=k8s.io/component-base/version
flags="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=$minor"

say "building kubectl $version (once a machine; some minutes)"
mkdir -p "$folder"
# Under a name of its own first: a build that is cut off, or a second one beside it, never leaves half a program.
unfinished=$(mktemp -d "$folder/build.XXXXXX")
trap 'rm -rf "$unfinished"' EXIT
started=$SECONDS
go build -trimpath -buildvcs=false -ldflags "$flags" -o "$unfinished/kubectl" k8s.io/kubernetes/cmd/kubectl >&2
mv -f "$unfinished/kubectl" "$program"
say "built in $((SECONDS - started)) s"
echo "$program"
