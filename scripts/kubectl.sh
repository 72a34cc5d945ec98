#!/usr/bin/env bash
# Prints the path of a stock kubectl, built from its Go module once a machine (see scripts/tools.sh).
#
#   scripts/kubectl.sh            build it if need be, print its path
#   scripts/kubectl.sh --cached   print its path if it is built already, else print nothing
#
# Exit code 3 says that Go is missing or too old, any other failure is one of the build.
set -euo pipefail

tools=$(dirname "${BASH_SOURCE[0]}")/tools.sh
if [ "${1:-}" = --cached ]; then
  folder=$(SAY=kubectl.sh "$tools" --cached kubectl)
else
  folder=$(SAY=kubectl.sh "$tools" kubectl)
fi
[ -z "$folder" ] || echo "$folder/kubectl"
