{{- define "holdup.name" -}}
{{- /* Pods' names have 63 bytes; the rules for Prometheus look for "holdup" in the job's name, which is the service's. */ -}}
{{- if hasPrefix "holdup" .Release.Name -}}
{{- .Release.Name | trunc 45 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-holdup" (.Release.Name | trunc 38 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{- define "holdup.selector" -}}
app.kubernetes.io/name: holdup
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "holdup.labels" -}}
{{ include "holdup.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "holdup.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "holdup.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "holdup.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}
