{{- define "archiver.pod" -}}
metadata:
  labels:
    {{- include "archiver.labels" . | nindent 4 }}
    {{- if .Values.workloadIdentity.enabled }}
    azure.workload.identity/use: "true"
    {{- end }}
  annotations:
    # The configuration is read at the start; secrets and the mapping are read again when they change.
    checksum/config: {{ .Values.config | sha256sum }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "archiver.name" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # Copies that are under way are finished first.
  terminationGracePeriodSeconds: 60
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: archiver
      image: {{ include "archiver.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run]
      env:
        - {name: WHATSAPP_ARCHIVER__HTTP__LISTEN, value: "0.0.0.0:8080"}
        - {name: WHATSAPP_ARCHIVER__HTTP__TOKEN, value: '{ file = "/run/secrets/whatsapp-archiver/status_token" }'}
        - {name: WHATSAPP_ARCHIVER__LOG__LEVEL, value: {{ .Values.logLevel | quote }}}
        {{- if eq .Values.ledger.kind "postgres" }}
        - {name: WHATSAPP_ARCHIVER__LEDGER__URL, value: {{ .Values.ledger.url | quote }}}
        - name: WHATSAPP_ARCHIVER__LEDGER__PASSWORD
          value: {{ printf "{ file = \"/run/secrets/whatsapp-archiver/%s\" }" .Values.ledger.passwordKey | squote }}
        - name: WHATSAPP_ARCHIVER__LEDGER__REPLICA
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- else }}
        - {name: WHATSAPP_ARCHIVER__LEDGER__URL, value: "sqlite:///var/lib/whatsapp-archiver/ledger.db"}
        {{- end }}
        {{- with .Values.env }}{{ toYaml . | nindent 8 }}{{ end }}
      ports:
        - {name: http, containerPort: 8080, protocol: TCP}
      # The pages are there once the ledger is open, which an upgrade may have to migrate: an hour is enough for ten million items.
      startupProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 5
        failureThreshold: 720
      livenessProbe:
        httpGet: {path: /livez, port: http}
        periodSeconds: 30
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 15
        timeoutSeconds: 5
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/whatsapp-archiver, readOnly: true}
        - {name: secrets, mountPath: /run/secrets/whatsapp-archiver, readOnly: true}
        - {name: data, mountPath: /var/lib/whatsapp-archiver}
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: config
      projected:
        sources:
          - configMap: {name: {{ include "archiver.name" . }}}
          {{- if .Values.mapping.text }}
          - secret: {name: {{ include "archiver.name" . }}-mapping}
          {{- else if .Values.mapping.existingSecret }}
          - secret: {name: {{ .Values.mapping.existingSecret }}}
          {{- end }}
    - name: secrets
      {{- if .Values.keyVault.name }}
      csi:
        driver: secrets-store.csi.k8s.io
        readOnly: true
        volumeAttributes: {secretProviderClass: {{ include "archiver.name" . }}}
      {{- else }}
      secret: {secretName: {{ .Values.existingSecret }}, defaultMode: 0440}
      {{- end }}
    - name: tmp
      emptyDir: {}
    {{- if not (eq .Values.ledger.kind "sqlite") }}
    # Nothing is kept in it: the ledger is elsewhere, and staging and Maildirs on disk are refused.
    - name: data
      emptyDir: {}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if gt (int .Values.replicas) 1 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "archiver.selector" . | nindent 10 }}
  {{- end }}
{{- end }}
