#!/usr/bin/env bash
# Sets up what the tests need, and runs them all: `cargo test`, those of the Helm chart (`make chart`), of dashboards and alerts
# (tests/observability/run.sh) and of the bench (tests/cluster/apart.sh), then the scenarios on a node (scripts/test-cluster.sh).
#
#   scripts/test.sh [ARGUMENT...]     `cargo test` alone, with these arguments
#
# Tests find in their environment: first in PATH the python3 of examples/digits/.venv; in AUTOML_TEST_KUBECTL the path of a
# stock kubectl; in AUTOML_TEST_APISERVER the kubeconfig of a Kubernetes control plane that is theirs (tests/cluster). What
# this machine cannot have (without Go, Linux or, for a node, root) is left out, and a line says so; with CI=true that is
# an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# The clusters are the tests' own.
unset KUBECONFIG

# Where this is no Debian, or not root, venv.sh says what is missing if anything is.
python3 -c 'import ensurepip, venv' 2>/dev/null || scripts/packages.sh tests || true
scripts/venv.sh examples/digits
export PATH="$PWD/examples/digits/.venv/bin:$PATH"

# After a command that ended with code 3: whether doing without is allowed.
without() { # WHAT HOW
  if [ "${CI:-}" != true ]; then
    echo "test.sh: skipped: $1; $2" >&2
  else
    echo "test.sh: no way to run $1, see above" >&2
    exit 1
  fi
}

code=0
AUTOML_TEST_KUBECTL=$(scripts/kubectl.sh) || code=$?
case $code in
  0) export AUTOML_TEST_KUBECTL ;;
  3)
    unset AUTOML_TEST_KUBECTL
    without "the tests that drive kubectl" "they need Go"
    ;;
  *) exit $code ;;
esac

# Heavy, and only what tests/programs.rs needs.
[ "${CI:-}" != true ] || scripts/venv.sh tests/programs

# All that fails is shown, not only what fails first.
tests=(cargo test --locked --no-fail-fast "$@")
failed=0 code=0
# shellcheck disable=SC2016 # for the shell that runs it
tests/cluster/with.sh control-plane bash -c 'export AUTOML_TEST_APISERVER=$KUBECONFIG; unset KUBECONFIG RUN; exec "$@"' - \
  "${tests[@]}" || code=$?
if [ $code = 3 ]; then
  without "the tests against a real API server" "they need Go and Linux"
  code=0
  "${tests[@]}" || code=$?
fi
[ $code = 0 ] || failed=$code

if [ $# = 0 ]; then
  if [ -n "${AUTOML_TEST_KUBECTL:-}" ]; then
    make --no-print-directory chart || failed=$?
  else
    without "the tests of the Helm chart" "they need Go"
  fi
  code=0
  tests/cluster/apart.sh || code=$?
  case $code in
    0) ;;
    3) without "the test of the bench itself" "it needs Go and Linux" ;;
    *) failed=$code ;;
  esac
  code=0
  tests/observability/run.sh || code=$?
  case $code in
    0) ;;
    3) without "the tests of dashboards and alerts" "they need Debian's prometheus" ;;
    *) failed=$code ;;
  esac
  code=0
  # The profile of the other tests, so that nothing is compiled twice; `make test-cluster` takes what is shipped.
  PROFILE=dev scripts/test-cluster.sh || code=$?
  case $code in
    0) ;;
    3) without "the scenarios on a node" "they need Go, Linux and root (sudo make test), or a cluster (make test-cluster)" ;;
    *) failed=$code ;;
  esac
fi
exit $failed
