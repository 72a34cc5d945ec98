{{/* Name of the chart, in labels. */}}
{{- define "automl-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of what is in the release's namespace. */}}
{{- define "automl-operator.fullname" -}}
{{- $name := include "automl-operator.name" . -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Namespace of the release. */}}
{{- define "automl-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/*
Name of what belongs to the whole cluster. Releases that watch one namespace each may share a name, so theirs begins with
their own namespace. Two that watch all would work against each other, and meet here.
*/}}
{{- define "automl-operator.clusterName" -}}
{{- if .Values.watchNamespace }}
{{- printf "%s-%s" (include "automl-operator.namespace" .) (include "automl-operator.fullname" .) }}
{{- else }}
{{- include "automl-operator.fullname" . }}
{{- end }}
{{- end }}

{{/* Labels that select the operator's pods: they never change. */}}
{{- define "automl-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "automl-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of everything. Those that select pods win over all others. */}}
{{- define "automl-operator.labels" -}}
{{- $chart := printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- $own := dict
  "helm.sh/chart" $chart
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/component" "operator"
  "app.kubernetes.io/part-of" "automl-operator"
  "app.kubernetes.io/managed-by" .Release.Service -}}
{{- merge (include "automl-operator.selectorLabels" . | fromYaml) .Values.commonLabels $own | toYaml }}
{{- end }}

{{/* Name, labels and annotations of an object: (list . NAME LABELS ANNOTATIONS). */}}
{{- define "automl-operator.metadata" -}}
{{- $top := index . 0 -}}
name: {{ index . 1 }}
labels:
  {{- merge (include "automl-operator.selectorLabels" $top | fromYaml) (index . 2) (include "automl-operator.labels" $top | fromYaml) | toYaml | nindent 2 }}
{{- with merge (dict) (index . 3) $top.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Annotations of a CustomResourceDefinition. */}}
{{- define "automl-operator.crdAnnotations" -}}
{{- $keep := ternary (dict "helm.sh/resource-policy" "keep") (dict) .Values.crds.keep -}}
{{- with merge (dict) $keep .Values.crds.annotations .Values.commonAnnotations }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "automl-operator.serviceAccountName" -}}
{{- default (ternary (include "automl-operator.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "automl-operator.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* URL at which trials report: by the full name, since they run in other namespaces. */}}
{{- define "automl-operator.reportUrl" -}}
{{- if .Values.reportUrl }}
{{- .Values.reportUrl }}
{{- else }}
{{- $domain := ternary (printf ".%s" .Values.clusterDomain) "" (ne .Values.clusterDomain "") -}}
{{- printf "http://%s.%s.svc%s:%d" (include "automl-operator.fullname" .) (include "automl-operator.namespace" .) $domain (int .Values.service.port) }}
{{- end }}
{{- end }}

{{/* The kinds that trials are made of, as JSON: [{group, resource, kind}]. */}}
{{- define "automl-operator.workloads" -}}
{{- prepend .Values.rbac.extraWorkloads (dict "group" "batch" "resource" "jobs" "kind" "Job") | toJson }}
{{- end }}

{{/* "true" where admission policies are wanted and the cluster knows them. */}}
{{- define "automl-operator.admissionPolicies" -}}
{{- $known := or (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") -}}
{{- if and .Values.admissionPolicy.enabled $known }}true{{ end }}
{{- end }}
