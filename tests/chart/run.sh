#!/usr/bin/env bash
# Tests the chart as far as that goes without a cluster: files made of others are current, `helm lint --strict`, a render of
# each file in values/ as in snapshots/, its objects by the schemas of each supported Kubernetes and by house rules, and
# the refusal of each file in bad/ with its message.
#
#   tests/chart/run.sh             HELM=/path/to/helm takes that one
#   UPDATE=1 tests/chart/run.sh    rewrites snapshots/
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

helm=${HELM:-$(scripts/tools.sh helm)/helm}
scripts/venv.sh tests/chart
python=$PWD/tests/chart/.venv/bin/python3
chart=charts/automl-operator
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failures=0
fail() {
  echo "chart: $1" >&2
  failures=$((failures + 1))
}

# Nothing of the user's own Helm, and no cluster.
export HELM_CONFIG_HOME=$folder/config HELM_CACHE_HOME=$folder/cache HELM_DATA_HOME=$folder/data KUBECONFIG=/dev/null
render() { "$helm" template automl-operator "$chart" --namespace automl-system "$@"; }
# Helm 4 shows NOTES.txt without a cluster, Helm 3 does not.
notes() { "$helm" install automl-operator "$chart" --namespace automl-system --dry-run=client "$@" | sed '1,/^NOTES:$/d'; }
major=$("$helm" version --short | sed 's/^v\([0-9]*\).*/\1/')
# snapshot NAME FILE: FILE is to be as snapshots/NAME.
snapshot() {
  if [ "${UPDATE:-}" = 1 ]; then
    cp "$2" "tests/chart/snapshots/$1"
  elif ! diff --unified "tests/chart/snapshots/$1" "$2" >&2; then
    fail "another render than in tests/chart/snapshots/$1; if that is meant: UPDATE=1 tests/chart/run.sh"
  fi
}

"$python" scripts/chart.py --check || fail "files are stale, see above"
"$helm" lint --strict --quiet --kube-version 1.37.0 "$chart" || fail "helm lint"

for values in tests/chart/values/*.yaml; do
  name=$(basename "$values" .yaml)
  # The CustomResourceDefinitions are long, and compared with crds/ by check.py; dashboards are long, too. Versions of Helm put
  # blank lines between objects, or do not.
  render --values "$values" --set crds.install=false,metrics.dashboards.enabled=false --kube-version 1.37.0 | sed '/^$/d' > "$folder/$name.snapshot"
  snapshot "$name.yaml" "$folder/$name.snapshot"
  if [ "$major" = 4 ]; then
    notes --values "$values" > "$folder/$name.notes"
    snapshot "$name.txt" "$folder/$name.notes"
  fi
  for version in 1.29 1.30 1.31 1.32 1.33 1.34 1.35 1.36 1.37; do
    render --values "$values" --kube-version $version.0 > "$folder/$name-$version.yaml"
  done
done
for known in tests/chart/snapshots/*; do
  name=$(basename "${known%.*}")
  [ -e "tests/chart/values/$name.yaml" ] || fail "$known is of no file in values/"
done
"$python" tests/chart/check.py "$folder"/*-1.??.yaml || fail "objects are not as they must be, see above"

for values in tests/chart/bad/*.yaml; do
  message=$(cat "${values%.yaml}.txt")
  if said=$(render --values "$values" --kube-version 1.37.0 2>&1); then
    fail "$values is accepted"
  elif [[ $said != *"$message"* ]]; then
    fail "$values is refused, but not with: $message"$'\n'"$said"
  fi
done
if render --kube-version 1.28.0 > /dev/null 2>&1; then fail "Kubernetes 1.28 is accepted"; fi

if [ $failures -gt 0 ]; then
  echo "chart: $failures failures, with $("$helm" version --short)" >&2
  exit 1
fi
echo "chart: all is well, with Helm $("$helm" version --short)"
