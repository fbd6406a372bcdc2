"""The settings of a deployment, as they come from an environment that says no more than it must."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.test import override_settings

SETTINGS = Path(__file__).resolve().parents[3] / "web" / "settings.py"
NAMES = (
    "SECURE_",
    "SESSION_",
    "CSRF_",
    "LANGUAGE_COOKIE",
    "X_FRAME",
    "MIDDLEWARE",
    "ALLOWED_HOSTS",
    "SILENCED",
    "DEBUG",
)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in ("PAYDESK_LOCAL", "DEBUG", "SECURE_SSL_REDIRECT", "METRICS_DIR", "SECURE_HSTS_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BEHIND_PROXY", "true")
    monkeypatch.setenv("SECRET_KEY", "Zq8!" + "kx3Lw9Pv2Rt7Yb5N" * 4)
    return runpy.run_path(str(SETTINGS))


def test_djangos_check_of_deployments_finds_nothing(deployed: dict[str, Any]) -> None:
    given = {
        name: value for name, value in deployed.items() if name.startswith(NAMES) or name == "SECRET_KEY"
    }
    with override_settings(**given):
        found = checks.run_checks(include_deployment_checks=True, tags=[checks.Tags.security])
    assert [one for one in found if one.id not in deployed["SILENCED_SYSTEM_CHECKS"]] == []


def test_cookies_travel_by_https_only_and_every_host_is_told_so(deployed: dict[str, Any]) -> None:
    for cookie in ("SESSION", "CSRF", "LANGUAGE"):
        assert deployed[f"{cookie}_COOKIE_SECURE"] is True
        assert deployed[f"{cookie}_COOKIE_SAMESITE"] == "Lax"
    assert deployed["SESSION_COOKIE_HTTPONLY"] is True
    assert deployed["SECURE_HSTS_SECONDS"] >= 31_536_000
    assert deployed["SECURE_SSL_REDIRECT"] is True
    assert deployed["OPERATORS_NEED_SECOND_FACTOR"] is True
    assert deployed["MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN"] is False
    assert not any(
        "unsafe" in source
        for rule in deployed["CONTENT_SECURITY_POLICY"]["DIRECTIVES"].values()
        for source in rule
    )
