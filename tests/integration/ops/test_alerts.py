"""Alerts and dashboard name only what is shown, and every alert leads to a runbook that knows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.utils import timezone

from stack.alerts import rules
from stack.alerts.causes import CAUSES
from web.core import metrics
from web.ops import figures
from web.payments.operations import pulses

ROOT = Path(__file__).resolve().parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "paydesk.json"
RUNBOOKS = ROOT / "docs" / "runbooks"


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def shown() -> set[str]:
    """Return the name of every series that `/metrics` can have."""
    names: set[str] = set()
    for family in [*metrics.REGISTRY.collect(), *figures.read(now=timezone.now())]:
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names.update(family.name + suffix for suffix in suffixes)
    return names


def named(expression: str) -> set[str]:
    return set(re.findall(r"\bpaydesk_\w+", expression))


@pytest.mark.django_db
def test_every_metric_that_an_alert_or_a_panel_names_is_shown() -> None:
    pulses.beat_is_alive(host="here", now=timezone.now())
    pulses.ticked(now=timezone.now())
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = {target["expr"] for panel in panels for target in panel.get("targets", [])}
    asked |= {alert["expr"] for alert in alerts()}
    assert len(asked) > 50
    assert set().union(*map(named, asked)) - shown() == set()
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_alert_has_a_runbook_that_knows_it() -> None:
    for alert in alerts():
        link = alert["annotations"]["runbook_url"]
        page = RUNBOOKS / link.removeprefix("{{ $externalLabels.runbooks }}/")
        assert page.is_file(), link
        assert f"`{alert['alert']}`" in page.read_text(), f"{page.name} does not name {alert['alert']}"
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["annotations"]["summary"]


def test_every_runbook_says_what_a_person_on_call_must_know() -> None:
    index = (RUNBOOKS / "README.md").read_text()
    pages = sorted(page for page in RUNBOOKS.glob("*.md") if page.name != "README.md")
    assert len(pages) >= 10
    for page in pages:
        headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
        assert headings[:2] == ["What you see", "What it means for money"], page.name
        assert headings[-1] == "It is over when", page.name
        assert "What to do" in headings, page.name
        assert f"({page.name})" in index, f"{page.name} is not in the index"


def test_commands_in_runbooks_exist() -> None:
    from django.core.management import get_commands

    known = set(get_commands())
    for page in RUNBOOKS.glob("*.md"):
        for command in re.findall(r"manage\.py (\w+)", page.read_text()):
            assert command in known, f"{page.name}: manage.py {command}"


def test_every_alert_has_a_cause_that_is_tried_on_a_running_stack() -> None:
    """`make alerts-check` tries them; here only that none was forgotten, and that time alone is shortened."""
    assert {name for cause in CAUSES for name in cause.alerts} == set(rules.names())
    (group,) = rules.hurried(rules.RULES.read_text())["groups"]
    for hurried, alert in zip(group["rules"], alerts(), strict=True):
        assert re.sub(r"\[\w+\]", "", hurried["expr"]) == re.sub(r"\[\w+\]", "", alert["expr"])
        assert int(hurried["for"].removesuffix("s")) <= 60
        assert {"300s", "5m", "10m", "1h"}.isdisjoint(re.findall(r"\[(\w+)\]", hurried["expr"]))


def test_every_alert_is_tried_by_promtool_and_passes_where_it_is_there() -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    fires = {one["alertname"] for test in tests for one in test["alert_rule_test"] if one["exp_alerts"]}
    quiet = {one["alertname"] for test in tests for one in test["alert_rule_test"] if not one["exp_alerts"]}
    assert fires == quiet == {alert["alert"] for alert in alerts()}
    if promtool := shutil.which("promtool"):
        for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]):
            subprocess.run([promtool, *command], cwd=PROMETHEUS, check=True, timeout=120)
