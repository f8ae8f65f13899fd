{{/* The name in objects' labels. */}}
{{- define "tunewright.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* The name of objects: at most 50 characters, so that what is appended still fits a DNS label. */}}
{{- define "tunewright.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* The name of what is not in a namespace: two releases of one name in two namespaces must not meet. */}}
{{- define "tunewright.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "tunewright.fullname" .) -}}
{{- end }}

{{/* What the operator's pods are found by. Pods of FineTuneJobs have other components. */}}
{{- define "tunewright.selector" -}}
app.kubernetes.io/name: {{ include "tunewright.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{/* Every object's labels. Ours win over commonLabels: the selector must hold. */}}
{{- define "tunewright.labels" -}}
{{- $own := include "tunewright.selector" . | fromYaml }}
{{- $_ := set $own "app.kubernetes.io/part-of" "tunewright" }}
{{- $_ = set $own "app.kubernetes.io/version" .Chart.AppVersion }}
{{- $_ = set $own "app.kubernetes.io/managed-by" .Release.Service }}
{{- $_ = set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) }}
{{- mergeOverwrite (deepCopy .Values.commonLabels) $own | toYaml }}
{{- end }}

{{- define "tunewright.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tunewright.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name: name one that exists, since serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* An image's full name, from [root, image]. */}}
{{- define "tunewright.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- with $root.Values.global.imageRegistry | default $image.registry -}}
{{ . | trimSuffix "/" }}/
{{- end -}}
{{- $image.repository -}}
{{- if $image.digest -}}
@{{ $image.digest }}
{{- else -}}
:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The operator's subject in bindings. */}}
{{- define "tunewright.subjects" -}}
- kind: ServiceAccount
  name: {{ include "tunewright.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
