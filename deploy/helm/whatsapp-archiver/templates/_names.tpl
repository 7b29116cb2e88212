{{- define "archiver.name" -}}
{{- if contains "whatsapp-archiver" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-whatsapp-archiver" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "archiver.selector" -}}
app.kubernetes.io/name: whatsapp-archiver
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "archiver.labels" -}}
{{ include "archiver.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "archiver.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* Stops what can't work. The schema can't express it. */}}
{{- define "archiver.check" -}}
{{- if and (gt (int .Values.replicas) 1) (ne .Values.ledger.kind "postgres") }}
{{- fail "replicas > 1 needs ledger.kind = postgres: replicas share their work through the ledger, and an SQLite ledger belongs to one" }}
{{- end }}
{{- if and .Values.mapping.text .Values.mapping.existingSecret }}
{{- fail "mapping.text and mapping.existingSecret are both set: give one of them" }}
{{- end }}
{{- $local := regexMatch "(?m)^[ \t]*([^# \t][^\n]*)?kind\\s*=\\s*[\"'](local|maildir)[\"']" .Values.config }}
{{- $env := regexMatch "__(STAGING|MAILBOX)__KIND\",\"value\":\"(local|maildir)\"" (toJson .Values.env) }}
{{- if and (eq .Values.ledger.kind "postgres") (or $local $env) }}
{{- fail "staging.kind = local and mailbox.kind = maildir need ledger.kind = sqlite, which comes with a volume: with postgres, nothing in a pod outlives it" }}
{{- end }}
{{- if and .Values.keyVault.name (not .Values.workloadIdentity.enabled) }}
{{- fail "keyVault needs workloadIdentity: the pod's identity reads the vault" }}
{{- end }}
{{- end }}
