{{/*
Services have the port grpc for callers, and http for whoever reads metrics; the label says which
of them a ServiceMonitor takes, so that no pod is read twice. Takes `root` and `component`.
*/}}
{{- define "becket.service" -}}
metadata:
  {{- include "becket.metadata" . | nindent 2 }}
    becket.dev/metrics: "true"
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  selector:
    {{- include "becket.selectorLabels" . | nindent 4 }}
  ports:
    - name: grpc
      port: 7400
      targetPort: grpc
      protocol: TCP
    - name: http
      port: 7480
      targetPort: http
      protocol: TCP
{{- end -}}
