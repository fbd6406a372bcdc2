"""Every alert of `deploy/prometheus/alerts.yml`, made to fire and ended by its runbook on a running Paydesk."""
