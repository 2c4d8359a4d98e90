"""What `alerting init` writes: a settings file and one rule that work as they stand, and say how to go on."""

from __future__ import annotations

SETTINGS_FILE = "alerting.yaml"
RULE_FILE = "rules/disk-space-low.yaml"

SETTINGS = """\
# Settings of alerting. `alerting validate` checks them; `alerting schema settings` prints every key.
# Secrets do not belong in this file: write ${NAME} for a variable of the environment,
# or ${file:/run/secrets/name} for a file.

rules: [rules/*.yaml]     # where the rules are, relative to this file
interval: 30s             # how often a rule is looked at that does not say its own

sources:                  # what is read; the key is the name in conditions
  host: {type: host}      # this machine: disk_usage, memory_usage, cpu_usage ...
  # health_check:
  #   type: health
  #   url: https://app.example.org/health         # each field of its JSON can be used: health_check.database.status
  # metrics:
  #   type: prometheus
  #   url: https://app.example.org/metrics
  # sentry:
  #   type: sentry
  #   organization: acme
  #   project: backend
  #   token: ${SENTRY_AUTH_TOKEN}

receivers:                # who is told; the key is the name in `notify:`
  ops: {type: console}    # prints; put a real one in its place:
  # ops: {type: slack, webhook_url: "${SLACK_WEBHOOK_URL}"}
  # pagerduty: {type: pagerduty, routing_key: "${PAGERDUTY_ROUTING_KEY}"}
"""

RULE = """\
# One alert. `alerting check` looks at it once, `alerting run` without end.
alert: DiskSpaceLow
condition: disk_usage > 85%     # for each mount of this host
notify: ops                     # a name under `receivers:` in alerting.yaml
for: 1m                         # how long it must hold before anybody is told
severity: warning               # critical, error, warning or info
annotations:
  summary: "{{ $labels.mount }} is {{ $value }}% full"
"""
