{{- define "promoted.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Names of cluster-wide objects: the same release name may stand in several namespaces. */}}
{{- define "promoted.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "promoted.fullname" .) -}}
{{- end -}}

{{- define "promoted.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "promoted.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "promoted.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "promoted.serviceAccount" -}}
{{- $own := ternary (include "promoted.fullname" .) "default" .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default $own -}}
{{- end -}}

{{- define "promoted.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- with .Values.image.digest -}}@{{ . }}{{- end -}}
{{- end -}}

{{/* "true" or nothing. */}}
{{- define "promoted.leaderElection" -}}
{{- if or .Values.leaderElection (gt (int .Values.replicas) 1) -}}true{{- end -}}
{{- end -}}

{{/* The Lease of this namespace: one per release, so that two releases do not wait for each other. */}}
{{- define "promoted.lease" -}}
{{- include "promoted.fullname" . -}}
{{- end -}}

{{/* The account as the subject of a binding. */}}
{{- define "promoted.subjects" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "promoted.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}
