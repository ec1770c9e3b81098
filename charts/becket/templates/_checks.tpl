{{/*
What is refused before anything is sent to the cluster, each with what to do instead. Only objects
of this namespace are looked up: a lookup that is forbidden fails the whole render.
*/}}

{{- define "becket.check" -}}
{{- include "becket.checkCount" . -}}
{{- include "becket.checkMemory" . -}}
{{- include "becket.checkAdmission" . -}}
{{- include "becket.checkClaims" . -}}
{{- end -}}

{{- define "becket.checkCount" -}}
{{- $members := int .Values.storage.replicas -}}
{{- $replicas := int .Values.cluster.replicas -}}
{{- if lt $members $replicas -}}
{{- fail (printf "storage.replicas is %d and cluster.replicas is %d: each partition needs so many members. Raise storage.replicas, or lower cluster.replicas if the cluster is new." $members $replicas) -}}
{{- end -}}
{{- end -}}

{{- define "becket.checkMemory" -}}
{{- $resources := default dict .Values.storage.resources -}}
{{- $asked := toString (default "" (dig "requests" "memory" "" $resources)) -}}
{{- $granted := toString (default "" (dig "limits" "memory" "" $resources)) -}}
{{- if ne (include "becket.quantity" $asked) (include "becket.quantity" $granted) -}}
{{- fail (printf "storage.resources: requests.memory (%s) and limits.memory (%s) must be the same: a member beyond its request is the first to be killed when its node runs short of memory" (default "none" $asked) (default "none" $granted)) -}}
{{- end -}}
{{- end -}}

{{- define "becket.checkAdmission" -}}
{{- if .Values.admissionPolicy.enabled -}}
{{- if not (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") -}}
{{- fail "admissionPolicy.enabled is true, and this API server knows no ValidatingAdmissionPolicy (it comes with Kubernetes 1.30). Set admissionPolicy.enabled=false: then nothing stops `kubectl scale` from deleting members with their data still on them. Without a server (`helm template`) say --api-versions admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The API server refuses any change of volumeClaimTemplates, and a set that is made again for it
starts with one replica and kills the others. So a change is refused here. Where lookup finds
nothing (first install, `helm template`) nothing is compared.
*/}}
{{- define "becket.checkClaims" -}}
{{- $name := include "becket.componentName" (dict "root" . "component" "storage") -}}
{{- $set := lookup "apps/v1" "StatefulSet" .Release.Namespace $name -}}
{{- $claims := dig "spec" "volumeClaimTemplates" (list) (default dict $set) -}}
{{- range $claim := $claims -}}
{{- $spec := $claim.spec -}}
{{- $size := dig "resources" "requests" "storage" "" $spec -}}
{{- if ne (include "becket.quantity" $size) (include "becket.quantity" $.Values.persistence.size) -}}
{{- fail (printf "persistence.size is %s, and the volumes of %s were asked for with %s, which Kubernetes does not let change. Leave persistence.size at %s and grow each claim instead: kubectl -n %s patch pvc data-%s-0 -p '{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"%s\"}}}}', likewise for each member; the StatefulSet is never made again" (toString $.Values.persistence.size) $name $size $size $.Release.Namespace $name (toString $.Values.persistence.size)) -}}
{{- end -}}
{{- $class := "" -}}
{{- if hasKey $spec "storageClassName" -}}{{- $class = default "-" $spec.storageClassName -}}{{- end -}}
{{- if ne $class $.Values.persistence.storageClass -}}
{{- fail (printf "persistence.storageClass is %q, and the volumes of %s were asked for with %q, which Kubernetes does not let change. Leave it" $.Values.persistence.storageClass $name $class) -}}
{{- end -}}
{{- if ne (toJson $spec.accessModes) (toJson $.Values.persistence.accessModes) -}}
{{- fail (printf "persistence.accessModes is %s, and the volumes of %s were asked for with %s, which Kubernetes does not let change. Leave it" (toJson $.Values.persistence.accessModes) $name (toJson $spec.accessModes)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A quantity as a number, so that 1Gi and 1024Mi are the same; nothing for nothing. */}}
{{- define "becket.quantity" -}}
{{- $text := toString . -}}
{{- if $text -}}
{{- $number := regexFind "^[0-9]+([.][0-9]*)?([eE][+-]?[0-9]+)?" $text -}}
{{- $unit := trimPrefix $number $text -}}
{{- $factors := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- if or (not $number) (not (hasKey $factors $unit)) -}}
{{- fail (printf "%q is no quantity such as 8Gi" $text) -}}
{{- end -}}
{{- printf "%.3f" (mulf (float64 $number) (get $factors $unit)) -}}
{{- end -}}
{{- end -}}
