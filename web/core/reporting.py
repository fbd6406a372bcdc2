"""Errors to Sentry, where SENTRY_DSN names one: what the logs say at `error`, with its traceback, redacted as they are.

No local variables, bodies, cookies, headers or people: they may hold what nobody must see. All text passes the same
redaction as a log line before it leaves.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.conf import settings

from web.core.logs import REDACTED, is_secret_name, redact_event, redact_text

IDS = ("request_id", "business_id", "payment_id", "refund_id", "job", "job_id", "event_id", "attempt")
_OPTIONS: dict[str, Any] = {
    "default_integrations": False,
    "include_local_variables": False,
    "max_request_body_size": "never",
    "max_breadcrumbs": 0,
    "server_name": "",
    "traces_sample_rate": None,
}


def start() -> None:
    """Report errors from now on, where this deployment has somewhere to report to."""
    if not settings.SENTRY_DSN:
        return
    import sentry_sdk
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        integrations=[LoggingIntegration(level=None, event_level=logging.ERROR)],
        before_send=told,  # type: ignore[arg-type]
        **_OPTIONS,
    )


def told(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Shape a log record as Sentry shows it: named by its event, with its ids, and nothing secret."""
    record = hint.get("log_record")
    if record is not None and isinstance(record.msg, dict):
        said = dict(redact_event(None, "", dict(record.msg)))
        name = str(said.pop("event", ""))
        has_exception = bool(said.pop("exc_info", None)) and sys.exc_info()[0] is not None
        event["logentry"] = {"message": name, "formatted": name}
        event["fingerprint"] = [name, str(said.get("job", ""))]
        event["tags"] = {key: str(said[key]) for key in IDS if key in said}
        event["extra"] = said
        if has_exception:
            event["exception"] = _exception()
            event["fingerprint"].append(sys.exc_info()[0].__name__)  # type: ignore[union-attr]
    for unwanted in ("user", "request", "breadcrumbs", "modules"):
        event.pop(unwanted, None)
    redacted: dict[str, Any] = _redacted(event)
    return redacted


def _exception() -> dict[str, Any]:
    import sentry_sdk
    from sentry_sdk.utils import event_from_exception

    shaped, _hint = event_from_exception(sys.exc_info(), client_options=sentry_sdk.get_client().options)
    return {"values": list(shaped["exception"]["values"])}


def _redacted(value: Any) -> Any:
    """Redact every text, however deep: a traceback is deeper than a log line."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {
            name: REDACTED if is_secret_name(str(name)) else _redacted(inner) for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(inner) for inner in value]
    return value
