{{/*
The environment of the services: settings by their names, with the prefix BECKET_.

A variable that stands twice would be settled by the API server in silence, and refused by a
server-side apply: so it is refused here, with the name of the value that repeats it.
*/}}

{{/* All variables of a container, as a YAML list. */}}
{{- define "becket.env" -}}
{{- $values := index .root.Values .component -}}
{{- $own := concat (fromYamlArray (include "becket.commonEnv" .)) (fromYamlArray (default "[]" .env)) -}}
{{- $names := dict -}}
{{- range $own -}}{{- $_ := set $names .name "the chart" -}}{{- end -}}
{{- /* A setting of one service goes before the same setting of all. */ -}}
{{- $settings := fromYaml (include "becket.settings" (dict "from" "settings" "settings" .root.Values.settings)) -}}
{{- $ours := fromYaml (include "becket.settings" (dict "from" (printf "%s.settings" .component) "settings" $values.settings)) -}}
{{- range $name, $value := merge $ours $settings -}}
{{- if hasKey $names $name -}}
{{- fail (printf "%s: %s is set by the chart, from a value of its own: leave it out of settings" $.component $name) -}}
{{- end -}}
{{- $_ := set $names $name "settings" -}}
{{- $own = append $own (dict "name" $name "value" $value) -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- if hasKey $names .name -}}
{{- fail (printf "%s.extraEnv: %s is set already, by %s" $.component .name (get $names .name)) -}}
{{- end -}}
{{- $_ := set $names .name "extraEnv" -}}
{{- $own = append $own . -}}
{{- end -}}
{{- toYaml $own -}}
{{- end -}}

{{/* A map of settings as a map from variable to text; groups may hold groups, as the schema allows. */}}
{{- define "becket.settings" -}}
{{- $found := dict -}}
{{- range $key, $value := .settings -}}
{{- if kindIs "map" $value -}}
{{- $inner := fromYaml (include "becket.settings" (dict "settings" $value)) -}}
{{- range $name, $text := $inner -}}
{{- $_ := set $found (printf "BECKET_%s__%s" (upper $key) (trimPrefix "BECKET_" $name)) $text -}}
{{- end -}}
{{- else -}}
{{- $_ := set $found (printf "BECKET_%s" $key | upper) (include "becket.text" $value) -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* A value as text: numbers in full, where toString would write 1e+06; lists as JSON. */}}
{{- define "becket.text" -}}
{{- if kindIs "string" . -}}{{- . -}}{{- else -}}{{- toJson . -}}{{- end -}}
{{- end -}}

{{- define "becket.commonEnv" -}}
{{- $values := index .root.Values .component -}}
- name: POD_IP
  valueFrom:
    fieldRef: {fieldPath: status.podIP}
- name: BECKET_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: BECKET_CLUSTER_NAME
  value: {{ include "becket.fullname" .root }}
- name: BECKET_LISTEN
  value: "0.0.0.0:7400"
- name: BECKET_HTTP_LISTEN
  value: "0.0.0.0:7480"
- name: BECKET_ADVERTISE
  value: "$(POD_IP):7400"
- name: BECKET_ADDRESS_TEMPLATE
  value: {{ printf "{name}.%s" (include "becket.address" (dict "root" .root "component" "storage")) | quote }}
- name: BECKET_LOG_LEVEL
  value: {{ .root.Values.logLevel }}
- name: BECKET_LOG_FORMAT
  value: json
- name: BECKET_PRE_STOP_S
  value: {{ $values.preStopSeconds | quote }}
- name: BECKET_STOP_GRACE_S
  value: {{ $values.stopGraceSeconds | quote }}
{{- end -}}
