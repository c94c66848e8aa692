{{- define "backlog-scaler.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "backlog-scaler.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "backlog-scaler.labels" -}}
{{ include "backlog-scaler.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "backlog-scaler.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "backlog-scaler.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "backlog-scaler.image" -}}
{{- $repository := required "image.repository: name your image, such as registry.example/backlog-scaler (make image builds it)" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "backlog-scaler.tlsSecretName" -}}
{{- default (printf "%s-tls" (include "backlog-scaler.fullname" .)) .Values.tls.secretName }}
{{- end }}

{{/* The port of an address in the settings, such as "[::]:9090". Call with (list "grpc" .). */}}
{{- define "backlog-scaler.port" -}}
{{- $key := index . 0 }}
{{- $address := toString (get (index . 1).Values.settings.listen $key) }}
{{- if not (regexMatch "^(\\[[0-9a-fA-F:.]+\\]|[0-9.]+):[0-9]+$" $address) }}
{{- fail (printf "settings.listen.%s: the chart needs an address and a port, such as \"[::]:9090\", not %q" $key $address) }}
{{- end }}
{{- regexFind "[0-9]+$" $address }}
{{- end }}

{{/* The settings file: .Values.settings, where the certificate is mounted, and .Values.kubernetes. */}}
{{- define "backlog-scaler.settings" -}}
{{- $settings := deepCopy .Values.settings }}
{{- if .Values.tls.enabled }}
{{- $tls := dict "certFile" "/tls/tls.crt" "keyFile" "/tls/tls.key" }}
{{- if .Values.tls.clientCertificates }}
{{- $_ := set $tls "clientCaFile" "/tls/ca.crt" }}
{{- with .Values.tls.clientNames }}
{{- $_ := set $tls "clientNames" . }}
{{- end }}
{{- end }}
{{- $_ := set $settings "listen" (mergeOverwrite (dict "tls" $tls) $settings.listen) }}
{{- end }}
{{- if .Values.kubernetes.enabled }}
{{- $kubernetes := dict "enabled" true "kedaNamespace" .Values.kubernetes.kedaNamespace }}
{{- if not .Values.kubernetes.events }}
{{- $_ := set $kubernetes "events" false }}
{{- end }}
{{- with .Values.kubernetes.namespaces }}
{{- $_ := set $kubernetes "namespaces" . }}
{{- end }}
{{- $_ := set $settings "kubernetes" (mergeOverwrite $kubernetes (default dict $settings.kubernetes)) }}
{{- end }}
{{- toYaml $settings }}
{{- end }}

{{/* A time such as 500ms, 10s or 1m in whole seconds, rounded up. Call with (list "preStopDelay" .). */}}
{{- define "backlog-scaler.seconds" -}}
{{- $key := index . 0 }}
{{- $text := toString (get (index . 1).Values.settings.listen $key) }}
{{- $number := regexFind "^[0-9]+" $text | int }}
{{- if regexMatch "^[0-9]+ms$" $text }}
{{- divf $number 1000 | ceil | int }}
{{- else if regexMatch "^[0-9]+s$" $text }}
{{- $number }}
{{- else if regexMatch "^[0-9]+m$" $text }}
{{- mul $number 60 }}
{{- else if eq $text "0" }}
{{- 0 }}
{{- else }}
{{- fail (printf "settings.listen.%s: %q is not understood here (10s, 500ms, 1m are); set terminationGracePeriodSeconds" $key $text) }}
{{- end }}
{{- end }}

{{- define "backlog-scaler.terminationGracePeriodSeconds" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}
{{- add (include "backlog-scaler.seconds" (list "preStopDelay" .)) (include "backlog-scaler.seconds" (list "shutdownGrace" .)) 5 }}
{{- else }}
{{- .Values.terminationGracePeriodSeconds | int }}
{{- end }}
{{- end }}
