#!/usr/bin/env bash
# Makes FOLDER/.venv with the packages of FOLDER/requirements.txt; does nothing when it is made already.
#
#   scripts/venv.sh examples/digits
set -euo pipefail

folder=${1:?usage: scripts/venv.sh FOLDER}
venv=$folder/.venv

# The copy of the requirements is put there last, so a folder without it is half made.
if cmp -s "$folder/requirements.txt" "$venv/requirements.txt" && "$venv/bin/python3" -c '' 2>/dev/null; then
  exit
fi

python=
for name in python3 python3.11 python3.12 python3.13 python3.14; do
  if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
    python=$name
    break
  fi
done
if [ -z "$python" ]; then
  echo "venv.sh: no Python 3.11 to 3.14 in PATH; python3 is $(python3 --version 2>/dev/null || echo missing)" >&2
  echo "venv.sh: on Debian 12 and newer: sudo apt-get install python3 python3-venv" >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  echo "venv.sh: $("$python" --version) cannot make virtual environments: its venv package is missing" >&2
  echo "venv.sh: on Debian and Ubuntu: sudo apt-get install python3-venv" >&2
  exit 1
fi

"$python" -m venv --clear "$venv"
"$venv/bin/python3" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$folder/requirements.txt"
cp "$folder/requirements.txt" "$venv/requirements.txt"
