# shellcheck shell=bash disable=SC2034,SC2154 # the scripts share their variables
# What a run is, for every script of this folder: RUN is the folder that holds all that it writes, ID a short name made
# from it. Sourced, with $me set to the script's name and $cluster to this folder.

export PATH=$PATH:/usr/sbin:/sbin

say() { echo "$me: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

# Sets RUN and ID, and refuses what a template, a list of mounts or a socket's name could not hold.
set_run() { # FOLDER
  RUN=$(realpath -m -- "$1")
  [[ $RUN =~ ^[A-Za-z0-9/._-]+$ ]] || fail "$RUN: only letters, digits and ._- may stand in the name of a run's folder"
  [ ${#RUN} -le 64 ] || fail "$RUN: the name of a run's folder may have 64 characters at most (names of sockets follow)"
  ID=automl-$(printf %s "$RUN" | sha256sum | cut -c1-8)
}

# The same, for scripts that need one that is up.
set_run_that_is_up() { # FOLDER
  set_run "$1"
  if [ ! -e "$RUN/level" ] || [ ! -d "$RUN/pids" ]; then fail "no cluster is up in $RUN"; fi
  level=$(<"$RUN/level")
}

ctr() { command ctr --address "$RUN/containerd/containerd.sock" --namespace k8s.io "$@"; }
