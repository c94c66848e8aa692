{{/* The name of a group's objects: Kubernetes allows no underscore. */}}
{{- define "name" -}}
{{ .name | replace "_" "-" }}
{{- end }}

{{/* What one replica may have waiting for it. */}}
{{- define "lagThreshold" -}}
{{- $least := index .concurrencyRange 0 | int }}
{{- $most := index .concurrencyRange 1 | int }}
{{- if or (lt (int .concurrency) $least) (gt (int .concurrency) $most) }}
{{- fail (printf "%s: concurrency %v is not in %v" .name .concurrency .concurrencyRange) }}
{{- end }}
{{- if gt (int .minReplicas) (int .partitions) }}
{{- fail (printf "%s: more replicas than its %v partitions" .name .partitions) }}
{{- end }}
{{- mul .concurrency .perThread }}
{{- end }}

{{/* The environment of a group's worker, as a map. */}}
{{- define "environment" -}}
GROUP: {{ .group.name }}
TOPIC: {{ .group.topic }}
NEXT_TOPIC: {{ .group.next }}
CONCURRENCY: {{ .group.concurrency | quote }}
WORK_SECONDS: {{ .group.seconds | quote }}
{{- if eq .group.name "sla_monitor" }}
SLA_SECONDS: {{ .values.slaSeconds | quote }}
{{- end }}
{{- end }}

{{/* Every topic with its partitions: name=partitions, separated by commas. */}}
{{- define "topics" -}}
{{- $all := list }}
{{- range .Values.groups }}{{ $all = append $all (printf "%s=%v" .topic .partitions) }}{{ end }}
{{- range .Values.results }}{{ $all = append $all (printf "%s=%v" .name .partitions) }}{{ end }}
{{- join "," $all }}
{{- end }}

{{/* Kubernetes' quantities as compose writes them. */}}
{{- define "cpus" -}}
{{- if hasSuffix "m" . }}{{ divf (trimSuffix "m" . | float64) 1000 | quote }}{{ else }}{{ quote . }}{{ end }}
{{- end }}
{{- define "bytes" -}}
{{ . | replace "Mi" "m" | replace "Gi" "g" }}
{{- end }}
