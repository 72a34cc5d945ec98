#!/usr/bin/env bash
# Tests the chart's rights and admission policies on a real API server, as users of different rights: what each may do, and
# with which words it is refused. KUBECONFIG names a throw-away cluster whose user may impersonate others; KUBECTL and HELM
# name the programs. It leaves nothing behind. It needs no node and no controllers: parts of the cluster's own roles are
# bound, since only a controller adds them up.
#
#   KUBECONFIG=... tests/chart/admission.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

kubectl=${KUBECTL:-$(scripts/kubectl.sh)}
helm=${HELM:-$(scripts/tools.sh helm)/helm}
system=automl-admission-$$-system
team=automl-admission-$$-team
folder=$(mktemp -d)
failures=0 cases=0

clean() {
  "$kubectl" delete experiments,trials --all -n $team --ignore-not-found --wait=false > /dev/null 2>&1 || true
  "$helm" uninstall automl-operator -n $system > /dev/null 2>&1 || true
  "$kubectl" delete crd experiments.automl.dev trials.automl.dev --ignore-not-found > /dev/null 2>&1 || true
  "$kubectl" delete namespace $system $team --ignore-not-found --wait=false > /dev/null 2>&1 || true
  rm -rf "$folder"
}
trap clean EXIT

as() { "$kubectl" --as "$1" --as-group system:authenticated -n $team "${@:2}"; }
# allowed WHAT USER kubectl-arguments...
allowed() {
  cases=$((cases + 1))
  if ! said=$(as "${@:2}" 2>&1); then
    echo "admission: $1: is refused: $said" >&2
    failures=$((failures + 1))
  fi
}
# refused WHAT MESSAGE USER kubectl-arguments...
refused() {
  cases=$((cases + 1))
  if said=$(as "${@:3}" 2>&1); then
    echo "admission: $1: is not refused" >&2
    failures=$((failures + 1))
  elif [[ $said != *"$2"* ]]; then
    echo "admission: $1: is refused, but not with \"$2\": $said" >&2
    failures=$((failures + 1))
  fi
}

experiment() {
  cat << EXPERIMENT
apiVersion: automl.dev/v1alpha1
kind: Experiment
metadata: {name: $1}
spec:
  objectives: [{metric: loss, direction: Minimize}]
  parameters: [{name: x, double: {min: 0, max: 1}}]
  limits: {maxTrials: ${2:-1}}
  trialTemplate:
    primaryContainer: main
    manifest:
      apiVersion: batch/v1
      kind: Job
      spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: none, command: [none]}]}}}
EXPERIMENT
}
# trial NAME [more of spec]
trial() {
  printf '{apiVersion: automl.dev/v1alpha1, kind: Trial, metadata: {name: %s}, spec: {experiment: mine, assignments: {x: 0.5}%s}}' \
    "$1" "${2:+, $2}"
}
own='index: 0, manifest: {apiVersion: batch/v1, kind: Job}'

"$kubectl" create namespace $system > /dev/null
"$kubectl" create namespace $team > /dev/null
"$helm" install automl-operator charts/automl-operator -n $system > /dev/null
"$kubectl" wait --for=condition=Established crd/experiments.automl.dev crd/trials.automl.dev --timeout=30s > /dev/null

bind() { "$kubectl" -n $team create rolebinding "$1-${2/:/-}" --clusterrole="$2" --user="$1" > /dev/null; }
# alice edits all, bob only Experiments and Trials, carol has a role with all of our group, dave is the namespace's admin,
# eve may only look.
for role in system:aggregate-to-edit automl-operator-view automl-operator-edit; do bind alice $role; done
for role in automl-operator-view automl-operator-edit; do bind bob $role; done
"$kubectl" -n $team apply -f - > /dev/null << ROLE
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: all-of-automl}
rules: [{apiGroups: [automl.dev], resources: ["*"], verbs: ["*"]}]
ROLE
# frank may create Jobs, and no claims.
"$kubectl" -n $team apply -f - > /dev/null << ROLE
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: jobs}
rules: [{apiGroups: [batch], resources: [jobs], verbs: [create]}]
ROLE
"$kubectl" -n $team create rolebinding frank --role=jobs --user=frank > /dev/null
bind frank automl-operator-edit
"$kubectl" -n $team create rolebinding carol --role=all-of-automl --user=carol > /dev/null
for role in system:aggregate-to-edit automl-operator-view automl-operator-edit automl-operator-admin; do bind dave $role; done
bind eve automl-operator-view
operator=system:serviceaccount:$system:automl-operator

experiment mine > "$folder/mine.yaml"
experiment mine 5 > "$folder/mine-5.yaml"
experiment theirs > "$folder/theirs.yaml"
with_claim() {
  experiment "$1" | sed 's/^  limits:/  checkpoint:\n    volumeClaimTemplate:\n      spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}\n&/'
}
with_claim claiming > "$folder/claiming.yaml"
experiment franks > "$folder/franks.yaml"
with_claim franks-too > "$folder/franks-too.yaml"
trial by-hand > "$folder/by-hand.yaml"
trial by-hand-too > "$folder/by-hand-too.yaml"
trial mine-00000 "$own" > "$folder/own.yaml"

# A controller checks the expressions by our schemas, where there is one.
for policy in experiments trials; do
  checked=
  for _ in $(seq 25); do
    checked=$("$kubectl" get validatingadmissionpolicy automl-operator-$policy -o 'jsonpath={.status.observedGeneration}')
    [ -z "$checked" ] || break
    sleep 0.2
  done
  warnings=$("$kubectl" get validatingadmissionpolicy automl-operator-$policy -o 'jsonpath={.status.typeChecking.expressionWarnings}')
  if [ -n "$warnings" ]; then
    echo "admission: the types in policy automl-operator-$policy: $warnings" >&2
    failures=$((failures + 1))
  elif [ -z "$checked" ]; then
    echo "admission: no controller has checked the types in policy automl-operator-$policy"
  fi
done

# A new policy takes a moment to hold.
for _ in $(seq 100); do
  said=$(as bob create --dry-run=server -f "$folder/theirs.yaml" 2>&1) || true
  case $said in *ValidatingAdmissionPolicy*) break ;; *) sleep 0.2 ;; esac
done

may_not="bob may not create jobs.batch in namespace $team"
allowed 'an Experiment by who may create Jobs' alice create -f "$folder/mine.yaml"
refused 'an Experiment by who may not' "$may_not, and each trial of this Experiment would be one" bob create -f "$folder/theirs.yaml"
refused 'an Experiment applied by the server' "$may_not" bob apply --server-side -f "$folder/theirs.yaml"
refused 'an Experiment in a dry run' "$may_not" bob create --dry-run=server -f "$folder/theirs.yaml"
refused 'an Experiment by who has all rights to our group' 'carol may not create jobs.batch' carol create -f "$folder/theirs.yaml"
refused 'an Experiment by who may only look' 'cannot create resource "experiments"' eve create -f "$folder/theirs.yaml"
refused 'another budget by who may not' "$may_not" bob apply --server-side --force-conflicts -f "$folder/mine-5.yaml"
refused 'another template by who may not' "$may_not" bob patch experiment mine --type=json \
  -p '[{"op": "replace", "path": "/spec/trialTemplate/manifest/spec/template/spec/containers/0/image", "value": "other"}]'
refused 'going on by who may not' "$may_not" bob patch experiment mine --type=merge -p '{"spec": {"suspend": true}}'
allowed 'labels by who may not create Jobs' bob label experiment mine team=a
allowed 'a finalizer by who may not create Jobs' bob patch experiment mine --type=merge -p '{"metadata": {"finalizers": ["example.com/a"]}}'
allowed 'no finalizer by who may not create Jobs' bob patch experiment mine --type=merge -p '{"metadata": {"finalizers": null}}'
allowed 'the same again by who may not create Jobs' bob apply --server-side --force-conflicts -f "$folder/mine.yaml"
allowed 'another budget by who may' alice patch experiment mine --type=merge -p '{"spec": {"limits": {"maxTrials": 3}}}'
refused 'another kind than Job' 'Unsupported value: "Deployment"' alice patch experiment mine --type=merge \
  -p '{"spec": {"trialTemplate": {"manifest": {"kind": "Deployment"}}}}'

allowed 'an Experiment by who may create Jobs only' frank create -f "$folder/franks.yaml"
refused 'a claim by who may create Jobs only' \
  "frank may not create persistentvolumeclaims in namespace $team, and the operator would create one for this Experiment" \
  frank create -f "$folder/franks-too.yaml"
allowed 'a claim by who may create both' alice create -f "$folder/claiming.yaml"

allowed 'a Trial by hand by who may create Jobs' alice create -f "$folder/by-hand.yaml"
refused 'a Trial by hand by who may not' "$may_not, and the operator would create one for this Trial" bob create -f "$folder/by-hand-too.yaml"
theirs="spec.index and spec.manifest belong to the operator's own Trials"
refused "a Trial as the operator's by who edits" "$theirs" alice create -f "$folder/own.yaml"
refused "a Trial as the operator's by who has all rights to our group" 'carol may not create jobs.batch' carol create -f "$folder/own.yaml"
allowed "a Trial as the operator's by the admin, from a backup" dave create -f "$folder/own.yaml"
allowed 'its removal' dave delete trial mine-00000
refused 'a status by who edits' 'resource "trials/status"' alice patch trial by-hand --subresource=status --type=merge -p '{"status": {"attempt": 1}}'
allowed 'a status by the admin' dave patch trial by-hand --subresource=status --type=merge -p '{"status": {"attempt": 1}}'

allowed "the operator's own Trial" "$operator" create -f "$folder/own.yaml"
allowed "a Trial's adoption by the operator" "$operator" patch trial by-hand --type=merge -p '{"metadata": {"labels": {"automl.dev/experiment": "mine"}}}'
# kubectl reads a status before it patches it, the operator does not.
allowed "the operator's status" "$operator" auth can-i patch experiments --subresource=status
allowed "its Trials' status" "$operator" auth can-i patch trials --subresource=status
refused 'writing Experiments for the operator' no "$operator" auth can-i patch experiments
refused 'an Experiment by the operator' 'cannot create resource "experiments"' "$operator" create -f "$folder/theirs.yaml"
allowed 'claims for the operator' "$operator" auth can-i create persistentvolumeclaims
refused 'the end of claims for the operator' no "$operator" auth can-i delete persistentvolumeclaims
refused 'secrets for the operator' 'cannot list resource "secrets"' "$operator" get secrets
refused 'pods by the operator' 'cannot create resource "pods"' "$operator" run a --image=none

# With further kinds, a Trial made by hand may turn out to be of each of them.
workloads='rbac.extraWorkloads=[{"group": "ray.io", "resource": "rayjobs", "kind": "RayJob"}]'
"$helm" upgrade automl-operator charts/automl-operator -n $system --set-json "$workloads" > /dev/null
for _ in $(seq 100); do
  said=$(as alice create --dry-run=server -f "$folder/by-hand-too.yaml" 2>&1) || break
  sleep 0.2
done
refused 'a Trial by hand by who may create Jobs only' 'alice may not create rayjobs.ray.io' alice create -f "$folder/by-hand-too.yaml"
allowed 'an Experiment of Jobs by who may create Jobs only' alice create -f "$folder/theirs.yaml"

if [ $failures -gt 0 ]; then
  echo "admission: $failures of $cases cases failed" >&2
  exit 1
fi
echo "admission: $cases cases are as they must be"
