{{/*
A NetworkPolicy of one component: `clients` says whether others than Becket may call it. Egress is
not limited: where the API server and the resolver are differs from cluster to cluster.
*/}}
{{- define "becket.networkPolicy" -}}
{{- if .root.Values.networkPolicy.enabled }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "becket.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "becket.selectorLabels" . | nindent 6 }}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: {{ include "becket.name" .root }}
              app.kubernetes.io/instance: {{ .root.Release.Name }}
        {{- if .clients }}
        {{- with .root.Values.networkPolicy.clients }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- end }}
      ports:
        - port: grpc
          protocol: TCP
    {{- with .root.Values.networkPolicy.scrapers }}
    - from:
        {{- toYaml . | nindent 8 }}
      ports:
        - port: http
          protocol: TCP
    {{- end }}
{{- end }}
{{- end -}}
