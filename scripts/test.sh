#!/usr/bin/env bash
# Sets up what the tests need, then runs `cargo test` with the arguments given.
#
# Tests find in their environment: first in PATH the python3 of examples/digits/.venv; in AUTOML_TEST_KUBECTL the path of a
# stock kubectl; in AUTOML_TEST_APISERVER the kubeconfig of a Kubernetes control plane that is theirs (tests/cluster). Both
# are built with Go: without it the tests that need them are skipped; with CI=true that is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/venv.sh examples/digits
export PATH="$PWD/examples/digits/.venv/bin:$PATH"

# Whether doing without is allowed, after a command that ended with this code.
without() { # CODE WHAT
  if [ "$1" = 3 ] && [ "${CI:-}" != true ]; then
    echo "test.sh: $2 are skipped: see above" >&2
  else
    echo "test.sh: no way to run $2, see above" >&2
    exit 1
  fi
}

code=0
AUTOML_TEST_KUBECTL=$(scripts/kubectl.sh) || code=$?
if [ $code = 0 ]; then
  export AUTOML_TEST_KUBECTL
else
  unset AUTOML_TEST_KUBECTL
  without $code "the tests that drive kubectl"
fi

export RUN
RUN=$(mktemp -d "${TMPDIR:-/tmp}/automl-test.XXXXXX")
trap 'tests/cluster/down.sh "$RUN" >/dev/null' EXIT
code=0
tests/cluster/up.sh control-plane >/dev/null || code=$?
if [ $code = 0 ]; then
  export AUTOML_TEST_APISERVER=$RUN/kubeconfig-outside
else
  without $code "the tests against a real API server"
fi

# All that fails is shown, not only what fails first.
cargo test --locked --no-fail-fast "$@"
