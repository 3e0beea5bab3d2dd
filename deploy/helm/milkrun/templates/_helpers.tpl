{{- define "milkrun.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "milkrun.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "milkrun.labels" -}}
{{ include "milkrun.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The configuration file: what the chart says goes before `config`. */}}
{{- define "milkrun.file" -}}
{{- $own := dict "store" "${MILKRUN_STORE}" "listen" "0.0.0.0:8080" -}}
{{- $key := dict "id" "admin" "sha256" .Values.adminKeySha256 "owner" "ops" "scopes" (list "admin") -}}
{{- $keys := prepend (default (list) .Values.config.keys) $key -}}
{{- toYaml (merge (dict "keys" $keys) $own .Values.config) -}}
{{- end }}

{{- define "milkrun.pod" -}}
metadata:
  labels:
    {{- include "milkrun.selector" . | nindent 4 }}
  annotations:
    checksum/config: {{ include "milkrun.file" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ add .Values.drainSeconds 10 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: milkrun
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: ["run", "--drain", "{{ .Values.drainSeconds }}s"]
      env:
        - name: MILKRUN_STORE
          {{- if eq .Values.store.kind "sqlite" }}
          value: sqlite:/var/lib/milkrun/milkrun.db
          {{- else }}
          valueFrom:
            secretKeyRef:
              name: {{ .Values.store.postgres.secretName }}
              key: {{ .Values.store.postgres.secretKey }}
          {{- end }}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: 8080
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 5
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 2
        failureThreshold: 150
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/milkrun
          readOnly: true
        - name: data
          mountPath: /var/lib/milkrun
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "milkrun.name" . }}
    {{- if eq .Values.store.kind "postgres" }}
    - name: data
      emptyDir: {}
    {{- end }}
{{- end }}
