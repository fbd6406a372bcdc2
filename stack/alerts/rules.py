"""The rules that are tried: those of `deploy/prometheus/alerts.yml`, in a hurry.

What an alert says stays word for word, its threshold too. Only how long it must be so is shortened, and the windows
of rates by as much; a minute of a deployment is two seconds here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
FASTER = 30
SHORTEST_WINDOW = 60  # seconds: a rate wants several samples
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_LASTS = re.compile(r"(\d+)([smh])")


def hurried(text: str) -> dict[str, Any]:
    """Return the rules with each `for` and each window divided."""
    rules: dict[str, Any] = yaml.safe_load(text)
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = _LASTS.sub(lambda found: f"{_seconds(found) // FASTER}s", rule["for"])
            rule["expr"] = re.sub(r"\[(\d+)([smh])\]", _window, rule["expr"])
    return rules


def names() -> list[str]:
    """Return the name of every alert."""
    return [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def runbook_of(alert: str) -> str:
    """Return the page that an alert leads to."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    (link,) = (
        rule["annotations"]["runbook_url"]
        for group in groups
        for rule in group["rules"]
        if rule["alert"] == alert
    )
    return str(link).rpartition("/")[2]


def _seconds(found: re.Match[str]) -> int:
    return int(found[1]) * _SECONDS[found[2]]


def _window(found: re.Match[str]) -> str:
    return f"[{max(_seconds(found) // FASTER, SHORTEST_WINDOW)}s]"
