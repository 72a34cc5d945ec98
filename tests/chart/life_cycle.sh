#!/usr/bin/env bash
# The chart's life on a cluster that runs pods: install over CustomResourceDefinitions that are there, upgrade, rollback, uninstall, and
# an install that finds again what was left. KUBECONFIG names a throw-away cluster without the chart; IMAGE an image of
# ours that its nodes have or can pull. At the end the chart is installed as release `automl` in `automl-system`.
#
#   KUBECONFIG=... IMAGE=NAME:TAG tests/chart/life_cycle.sh         HELM=/path/to/helm takes that one
#
# No revision of the chart has been released before this one. So the previous one is a copy of this chart that lacks a field and a
# column in its CustomResourceDefinitions, and has an object and a value that this one has not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PATH=$(scripts/tools.sh kubectl):$PATH
helm=${HELM:-$(scripts/tools.sh helm)/helm}
: "${IMAGE:?names the image, as NAME:TAG}"
chart=charts/automl-operator
system=automl-system
team=automl-life-cycle
folder=$(mktemp -d)
trap 'rm -rf "$folder"; kubectl delete namespace $team --ignore-not-found --wait=false >/dev/null' EXIT

step() { echo "life cycle: $*" >&2; }
fail() {
  echo "life cycle: $*" >&2
  kubectl get experiments,trials -A >&2 || true
  kubectl -n $system get all >&2 || true
  exit 1
}
# Fails unless two texts are equal.
same() { # WHAT EXPECTED FOUND
  [ "$2" = "$3" ] || fail "$1: expected:"$'\n'"$2"$'\n'"found:"$'\n'"$3"
}
# Fails unless a command is refused with these words.
refused() { # WORDS COMMAND...
  local said
  if said=$("${@:2}" 2>&1); then fail "not refused: ${*:2}"; fi
  [[ $said == *"$1"* ]] || fail "refused, but not with \"$1\": $said"
}
release() { # helm install | upgrade ... CHART
  "$helm" "$@" --namespace $system --wait --timeout 2m --set image.repository="${IMAGE%:*}" \
    --set-string image.tag="${IMAGE##*:}" --set image.pullPolicy=IfNotPresent >/dev/null
}
# A suspended Experiment is what helm test asks the API server to take; a pod finds it valid.
test_release() { "$helm" test automl --namespace $system --timeout 2m >/dev/null || fail "helm test"; }

experiment() { # NAME SCRIPT [MORE OF THE TEMPLATE]
  cat <<END
apiVersion: automl.dev/v1alpha1
kind: Experiment
metadata: {name: $1, namespace: $team}
spec:
  objectives: [{metric: accuracy, direction: Maximize}]
  parameters: [{name: x, double: {min: 0, max: 1}}]
  limits: {maxTrials: 2, parallelTrials: 1}
  trialTemplate:
    primaryContainer: train
    ${3:-}
    manifest:
      apiVersion: batch/v1
      kind: Job
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
            - name: train
              image: ${AUTOML_TEST_BUSYBOX:-localhost/automl-test/busybox:1}
              command: [sh, -c, "$2; echo accuracy=\${params.x}"]
END
}
with_retain() { experiment newer true 'retain: Always' | kubectl create --dry-run=server -o name -f -; }
complete() { # EXPERIMENT
  kubectl -n $team wait --for=condition=Complete "experiment/$1" --timeout=120s >/dev/null || fail "$1 does not end"
}
# What must be the same before and after: whose, which, and that nothing was tried again.
kept() {
  kubectl -n $team get experiments,trials --sort-by=.metadata.name -o \
    'jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid} {.status.objective}{"\n"}{end}'
}
# No trial was tried a second time.
once() { same "attempts" 0 "$(kubectl -n $team get trials -o 'jsonpath={range .items[*]}{.status.attempt}{"\n"}{end}' | sort -u)"; }
# Marks that only one of the two revisions has.
definition() { kubectl get crd experiments.automl.dev -o "jsonpath={.spec.versions[0]$1}"; }
marks() {
  definition '.schema.openAPIV3Schema.properties.spec.properties.trialTemplate.properties.retain.default'
  echo " $(definition '.additionalPrinterColumns[?(@.name=="Algorithm")].name')" \
    "$(kubectl -n $system get configmap of-before --ignore-not-found -o name)" \
    "$(kubectl -n $system get deployment automl-automl-operator -o 'jsonpath={.spec.template.spec.containers[0].env[?(@.name=="RUST_LOG")].value}')" \
    "$(kubectl get crd experiments.automl.dev -o 'jsonpath={.metadata.labels.helm\.sh/chart}')"
}
current="Failed Algorithm  info automl-operator-$(sed -n 's/^version: //p' $chart/Chart.yaml)"
before="  configmap/of-before debug automl-operator-0.0.1"

step "the previous chart, made of this one"
cp -r $chart "$folder/before"
python3 - "$folder/before" <<'END'
import pathlib, re, sys
folder = pathlib.Path(sys.argv[1])
def edit(name, pattern, by, count):
    text, made = re.subn(pattern, by, (folder / name).read_text(), flags=re.M)
    assert made == count, f"{name}: {pattern} is there {made} times"
    (folder / name).write_text(text)
edit("Chart.yaml", r"^version: .*", "version: 0.0.1", 1)
definition = "templates/crds/experiments.yaml"
# A property, with all lines below it that are indented more.
edit(definition, r"^( +)retain:\n(?:\1 +.*\n)+", "", 1)
edit(definition, r"^( +)- jsonPath: \.spec\.algorithm\.name\n(?:\1 +.*\n)+", "", 1)
END

step "install over CustomResourceDefinitions that somebody has applied"
kubectl create namespace $system --dry-run=client -o yaml | kubectl apply -f - >/dev/null
kubectl apply --server-side -f crds >/dev/null
object='extraObjects=[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-before"}}]'
# Helm 4 applies by the server, which knows who else has.
conflicts=()
case $("$helm" version --short) in v4.*) conflicts=(--force-conflicts) ;; esac
earlier=(--set log.filter=debug --set-json "$object")
refused "invalid ownership metadata" release install automl "$folder/before" "${earlier[@]}"
release install automl "$folder/before" "${earlier[@]}" --take-ownership "${conflicts[@]}"
same "the previous revision" "$before" "$(marks)"
test_release
kubectl create namespace $team >/dev/null
refused 'unknown field "spec.trialTemplate.retain"' with_retain
experiment ended true | kubectl create -f - >/dev/null
complete ended
experiment goes-on "sleep 6" | kubectl create -f - >/dev/null
kubectl -n $team wait --for=create trial/goes-on-00000 --timeout=60s >/dev/null

step "upgrade, while a trial runs"
release upgrade automl $chart --reset-values
same "this revision" "$current" "$(marks)"
with_retain >/dev/null
test_release
complete goes-on
once
results=$(kept)
same "how many there are" 6 "$(wc -l <<<"$results")"

step "rollback"
"$helm" rollback automl 1 --namespace $system --wait --timeout 2m >/dev/null
same "the previous revision" "$before" "$(marks)"
refused 'unknown field "spec.trialTemplate.retain"' with_retain
same "what is kept" "$results" "$(kept)"
test_release

step "upgrade again, uninstall"
release upgrade automl $chart --reset-values
same "this revision" "$current" "$(marks)"
"$helm" uninstall automl --namespace $system --wait --timeout 2m >/dev/null
kinds=$(kubectl api-resources --verbs=list -o name | grep -v -E '^(events|componentstatuses)' | paste -sd,)
# The cluster removes EndpointSlices and pods some moments later.
for _ in $(seq 150); do
  left=$(kubectl get "$kinds" -A -l app.kubernetes.io/instance=automl -o name 2>/dev/null | sort)
  [ "$(wc -l <<<"$left")" -gt 2 ] || break
  sleep 0.2
done
same "what an uninstall leaves" $'customresourcedefinition.apiextensions.k8s.io/experiments.automl.dev\ncustomresourcedefinition.apiextensions.k8s.io/trials.automl.dev' "$left"
same "what is kept" "$results" "$(kept)"
experiment meanwhile true | kubectl create -f - >/dev/null
kubectl create -f - >/dev/null <<END
apiVersion: automl.dev/v1alpha1
kind: Trial
metadata: {name: by-hand, namespace: $team}
spec: {experiment: meanwhile, assignments: {x: 0.5}}
END

step "install again"
refused "invalid ownership metadata" release install another $chart
release install automl $chart
same "this revision" "$current" "$(marks)"
complete meanwhile
kubectl -n $team wait --for=jsonpath='{.status.objective}'=0.5 trial/by-hand --timeout=60s >/dev/null || fail "by-hand does not end"
once
same "what is kept" "$results" "$(kept | grep -v -E 'meanwhile|by-hand')"
test_release
step "all is as it must be, with Helm $("$helm" version --short)"
