#!/usr/bin/env bash
# Builds programs from the Go modules of tests/tools, once a machine, and prints the folders that they lie in, joined
# by ":" as PATH wants them.
#
#   PATH=$(scripts/tools.sh kubectl helm):$PATH
#   scripts/tools.sh --cached kubectl   print the same if all are built already, else print nothing
#
# The programs lie in ${AUTOML_CACHE:-~/.cache/automl-operator}/tools-KEY, a folder for each module; KEY names all that
# goes into them, so another version gets another folder. Needs Go and a module proxy. Exit code 2: no such program;
# 3: Go is missing or too old; any other failure is one of a build. SAY is the name under which it speaks.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
modules=$here/../tests/tools

say() { echo "${SAY:-tools.sh}: $*" >&2; }

# Sets module and package of the program NAME.
look_up() { # NAME
  case $1 in
    etcd) module=kubernetes package=go.etcd.io/etcd/server/v3 ;;
    kube-apiserver | kube-controller-manager | kube-scheduler | kube-proxy | kubelet | kubectl)
      module=kubernetes package=k8s.io/kubernetes/cmd/$1 ;;
    coredns) module=extras package=github.com/coredns/coredns ;;
    helm) module=extras package=helm.sh/helm/v4/cmd/helm ;;
    helm3) module=helm3 package=helm.sh/helm/v3/cmd/helm ;;
    *)
      say "no program named $1; see the list in scripts/tools.sh"
      exit 2
      ;;
  esac
}

folder_of() { # MODULE
  local key
  key=$(cat "$modules/$1/go.mod" "$modules/$1/go.sum" "$here/tools.sh" | sha256sum | cut -c1-16)
  echo "${AUTOML_CACHE:-$HOME/.cache/automl-operator}/tools-$key"
}

# Ends with code 3 when no Go here can read the module of this folder.
require_go() { # MODULE
  if ! command -v go >/dev/null; then
    say "Go is not installed; get it from https://go.dev/dl/ (the golang package of Debian 12 is too old)"
    exit 3
  fi
  # Go reads its own version against the go.mod: 1.21 and newer fetch the toolchain it asks for, older ones cannot.
  local reason
  if ! reason=$(cd "$modules/$1" && go list -m 2>&1); then
    say "Go cannot read tests/tools/$1/go.mod; get a newer one from https://go.dev/dl/"
    say "$(go version): $reason"
    exit 3
  fi
}

# What the linker puts in, so that a program knows its version: a module's release does not stand in its source.
stamps() { # PACKAGE VERSION
  local minor=${2#v1.}
  case $1 in
    k8s.io/kubernetes/*)
      local stamp=k8s.io/component-base/version
      echo "-X $stamp.gitVersion=$2 -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%%.*}"
      ;;
    helm.sh/helm/*) echo "-X ${1%/cmd/helm}/internal/version.version=$2" ;;
  esac
}

# Builds under a name of its own first: a build that is cut off never leaves half a program.
build() { # NAME FOLDER, with module and package of NAME set
  local version started=$SECONDS
  version=$(cd "$modules/$module" && go list -f '{{.Module.Version}}' "$package")
  say "building $1 $version (once a machine; some minutes)"
  unfinished=$(mktemp -d "$2/build-$1.XXXXXX")
  trap 'rm -rf "$unfinished"' EXIT
  (cd "$modules/$module" &&
    go build -trimpath -buildvcs=false -ldflags "-s -w $(stamps "$package" "$version")" \
      -o "$unfinished/$1" "$package" >&2)
  mv -f "$unfinished/$1" "$2/$1"
  rm -rf "$unfinished"
  say "built $1 in $((SECONDS - started)) s, $(($(wc -c <"$2/$1") / 1000000)) MB"
}

# Two callers that want the same program: the second waits for the first. Without flock both build; neither harms.
build_once() { # NAME FOLDER
  (
    if command -v flock >/dev/null; then
      exec 9>"$2/.$1.lock"
      if ! flock --nonblock 9; then
        say "waiting for another build of $1"
        flock 9
      fi
      rm -rf "$2/build-$1".*
    fi
    [ -x "$2/$1" ] || build "$1" "$2" 9>&-
  )
}

cached=
if [ "${1:-}" = --cached ]; then
  cached=1
  shift
fi
if [ $# = 0 ]; then
  say "usage: scripts/tools.sh [--cached] NAME..."
  exit 2
fi

export CGO_ENABLED=0 GOWORK=off
checked=
folders=
for name; do
  look_up "$name"
  folder=$(folder_of "$module")
  case :$folders: in *:$folder:*) ;; *) folders=${folders:+$folders:}$folder ;; esac
  [ ! -x "$folder/$name" ] || continue
  [ -z "$cached" ] || exit 0
  case " $checked " in
    *" $module "*) ;;
    *)
      require_go "$module"
      checked="$checked $module"
      ;;
  esac
  mkdir -p "$folder"
  build_once "$name" "$folder"
done
echo "$folders"
