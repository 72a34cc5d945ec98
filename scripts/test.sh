#!/usr/bin/env bash
# Sets up what the tests need, then runs `cargo test` with the arguments given.
#
# Tests find in their environment: first in PATH the python3 of examples/digits/.venv, and in AUTOML_TEST_KUBECTL the
# path of a stock kubectl. Without Go there is none and the tests that drive it are skipped; with CI=true that is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/venv.sh examples/digits
export PATH="$PWD/examples/digits/.venv/bin:$PATH"

if AUTOML_TEST_KUBECTL=$(scripts/kubectl.sh); then
  export AUTOML_TEST_KUBECTL
elif [ $? = 3 ] && [ "${CI:-}" != true ]; then
  echo "test.sh: the tests that drive kubectl are skipped: kubectl is built with Go, see above" >&2
  unset AUTOML_TEST_KUBECTL
else
  echo "test.sh: no kubectl for the tests, see above" >&2
  exit 1
fi

# All that fails is shown, not only what fails first.
exec cargo test --locked --no-fail-fast "$@"
