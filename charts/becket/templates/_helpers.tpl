{{/*
Names, labels and the image. Every definition takes the root context, or a dict with `root` and
`component`.
*/}}

{{- define "becket.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The beginning of all names. 40 characters at most: the controller makes labels of "F-storage-" and
ten characters more, and a label has 63.
*/}}
{{- define "becket.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of one component: F-storage. */}}
{{- define "becket.componentName" -}}
{{- printf "%s-%s" (include "becket.fullname" .root) .component -}}
{{- end -}}

{{/* Of an object that belongs to no namespace: NAMESPACE-F-storage. */}}
{{- define "becket.clusterName" -}}
{{- printf "%s-%s" .root.Release.Namespace (include "becket.componentName" .) -}}
{{- end -}}

{{/* Where a component answers inside the cluster; the cluster's domain is left to the resolver. */}}
{{- define "becket.address" -}}
{{- printf "%s.%s.svc:7400" (include "becket.componentName" .) .root.Release.Namespace -}}
{{- end -}}

{{/* What selectors use: nothing that a newer chart or image would change. */}}
{{- define "becket.selectorLabels" -}}
app.kubernetes.io/name: {{ include "becket.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "becket.labels" -}}
{{ include "becket.selectorLabels" . }}
app.kubernetes.io/part-of: becket
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The metadata of an object of one component, with its name. */}}
{{- define "becket.metadata" -}}
name: {{ include "becket.componentName" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "becket.labels" . | nindent 2 }}
{{- end -}}

{{- define "becket.clusterMetadata" -}}
name: {{ include "becket.clusterName" . }}
labels:
  {{- include "becket.labels" . | nindent 2 }}
{{- end -}}

{{- define "becket.image" -}}
{{- $image := .Values.image -}}
{{- $name := $image.repository -}}
{{- if $image.registry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" $image.registry) $name -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion (toString $image.tag)) -}}
{{- end -}}
{{- end -}}

{{- define "becket.serviceAccount" -}}
{{- $account := (index .root.Values .component).serviceAccount -}}
{{- if $account.name -}}
{{- $account.name -}}
{{- else if $account.create -}}
{{- include "becket.componentName" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}
