# shellcheck shell=bash disable=SC2034,SC2154 # the scripts share their variables
# Parts: the programs of a run. parts/NAME is a script that becomes the program, pids/NAME holds "PID START", START being
# the kernel's start time, so that a number used again is never taken for ours. Every process of a run carries
# AUTOML_CLUSTER_RUN=$RUN in its environment and hands it on, by which down.sh finds those that nobody wrote down.

start_time() { # PID
  # The name, in brackets, may hold anything; the start time is the 20th field after it.
  sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

# Writes down what a part is.
part() { # NAME COMMAND...
  local name=$1
  shift
  printf '#!/usr/bin/env bash\nexec%s\n' "$(printf ' %q' "$@")" >"$RUN/parts/$name"
}

# Runs a part, in an environment and a session of its own: nothing that the caller has set changes what it does.
start() { # NAME
  local pid
  (
    cd "$RUN" || exit
    exec env -i PATH="$PATH" HOME="$RUN/home" AUTOML_CLUSTER_RUN="$RUN" setsid bash "$RUN/parts/$1"
  ) >>"$RUN/log/$1.log" 2>&1 </dev/null &
  pid=$!
  # Bash would tell of its end, however it comes.
  disown "$pid"
  echo "$pid $(start_time "$pid")" >"$RUN/pids/$1"
}

# Prints the process id of a part that runs.
pid_of() { # NAME
  local pid begun
  [ -e "$RUN/pids/$1" ] || return 1
  read -r pid begun <"$RUN/pids/$1" || return 1
  [ -n "$begun" ] && [ "$(start_time "$pid")" = "$begun" ] || return 1
  # One that has ended and waits to be collected runs no more.
  ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || return 1
  echo "$pid"
}

# Ends a part: politely, and after 15 s for sure.
stop() { # NAME
  local pid deadline=$((SECONDS + 15))
  while pid=$(pid_of "$1"); do
    kill "-$([ $SECONDS -lt $deadline ] && echo TERM || echo KILL)" "$pid" 2>/dev/null || true
    sleep 0.1
  done
  rm -f "$RUN/pids/$1"
}

# Waits until a command succeeds, while the part it waits for lives.
await() { # SECONDS PART COMMAND...
  local deadline=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! pid_of "$name" >/dev/null; then
      tail -n 5 "$RUN/log/$name.log" >&2
      fail "$name has ended; its last lines stand above"
    fi
    [ $SECONDS -lt $deadline ] || fail "waited too long for $name; the command that failed last: $*"
    sleep 0.1
  done
}

# Prints the ids of all processes of this run, but this script and those that called it.
processes_of_run() {
  local pid callers=" " caller=$$
  while [ "${caller:-0}" -gt 1 ]; do
    callers="$callers$caller "
    caller=$(sed -n 's/^PPid:\t//p' "/proc/$caller/status" 2>/dev/null)
  done
  { grep -lzxF "AUTOML_CLUSTER_RUN=$RUN" /proc/[0-9]*/environ 2>/dev/null || true; } |
    while IFS=/ read -r _ _ pid _; do
      case $callers in *" $pid "*) ;; *) echo "$pid" ;; esac
    done
}
