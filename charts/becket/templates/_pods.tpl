{{/*
What the pods of all components have. Each definition takes a dict with `root` and `component`;
the values of the component are looked up by its name.
*/}}

{{- define "becket.podMetadata" -}}
{{- $values := index .root.Values .component -}}
labels:
  {{- include "becket.selectorLabels" . | nindent 2 }}
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
SIGTERM comes while the endpoints are withdrawn: the process goes on answering, hands over, and
stops. Five seconds more are for files and telemetry, so that no kill comes into it.
*/}}
{{- define "becket.gracePeriod" -}}
{{- $values := index .root.Values .component -}}
{{- add (int $values.stopGraceSeconds) (int $values.preStopSeconds) 5 -}}
{{- end -}}

{{/* The fields of a pod's spec, all but containers. `token`: whether it talks to Kubernetes. */}}
{{- define "becket.podSpec" -}}
{{- $values := index .root.Values .component -}}
serviceAccountName: {{ include "becket.serviceAccount" . }}
automountServiceAccountToken: {{ .token }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ include "becket.gracePeriod" . }}
{{- if .root.Values.chaos.enabled }}
# So that a command in the pod can kill and stop the process, which is the first one otherwise.
shareProcessNamespace: true
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- include "becket.spread" . }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 64Mi
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "becket.spread" -}}
{{- $values := index .root.Values .component -}}
{{- $spread := .root.Values.topologySpread -}}
{{- if $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else if or $spread.zone $spread.host }}
topologySpreadConstraints:
  {{- range $key, $when := dict "topology.kubernetes.io/zone" $spread.zone "kubernetes.io/hostname" $spread.host }}
  {{- if $when }}
  - topologyKey: {{ $key }}
    maxSkew: 1
    whenUnsatisfiable: {{ $when }}
    labelSelector:
      matchLabels:
        {{- include "becket.selectorLabels" $ | nindent 8 }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The container of a service; `env` is YAML, the variables that only this service has. */}}
{{- define "becket.container" -}}
{{- $values := index .root.Values .component -}}
- name: {{ .component }}
  image: {{ include "becket.image" .root | quote }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args:
    - {{ .component }}
    {{- with $values.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  env:
    {{- include "becket.env" . | nindent 4 }}
  ports:
    - name: grpc
      containerPort: 7400
      protocol: TCP
    - name: http
      containerPort: 7480
      protocol: TCP
  {{- /* A port of their own without TLS: the kubelet's probe of gRPC speaks none. */}}
  startupProbe:
    httpGet: {path: /live, port: http}
    {{- toYaml $values.probes.startup | nindent 4 }}
  livenessProbe:
    httpGet: {path: /live, port: http}
    {{- toYaml $values.probes.liveness | nindent 4 }}
  readinessProbe:
    httpGet: {path: /ready, port: http}
    {{- toYaml $values.probes.readiness | nindent 4 }}
  {{- with $values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.containerSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: tmp
      mountPath: /tmp
    {{- if eq .component "storage" }}
    - name: data
      mountPath: /data
    {{- end }}
    {{- with $values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
