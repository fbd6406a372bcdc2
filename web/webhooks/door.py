"""Stripe's way in, past Django's request: what a page needs is of no use to a machine, and was most of an event's cost.

The events of a busy hour are most of what the web processes do. An event needs its address's token, its bytes and its
signature; no session, language, business by host, form or policy for browsers. Whatever is not exactly a POST to
such an address goes on to Django, whose view of it (views.py) does the same.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections

from web.core import metrics, tracing
from web.core.logs import request_id_of
from web.webhooks import receiving

VIEW = "payment:stripe-webhook"
_ADDRESS = re.compile(
    re.escape(f"/{settings.PAYMENT_URL_PREFIX}webhooks/stripe/")
    + r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/"  # as Django's uuid converter has it
)
Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# As the middleware counts pages; which child of a metric it is costs more to find than to count.
_SECONDS = metrics.REQUEST_SECONDS.labels(VIEW)
_answered = cache(partial(metrics.REQUESTS.labels, VIEW))

log = structlog.get_logger(__name__)


class Door:
    """A WSGI application: takes Stripe's events itself, and passes every other request to `application`."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = _ADDRESS.fullmatch(environ["PATH_INFO"]) if environ["REQUEST_METHOD"] == "POST" else None
        if found is None or (settings.SECURE_SSL_REDIRECT and not _is_https(environ)):
            return self.application(environ, start_response)
        started = time.monotonic()
        request_id = request_id_of(environ.get("HTTP_X_REQUEST_ID"))
        try:
            with (
                structlog.contextvars.bound_contextvars(request_id=request_id),
                tracing.span(f"web POST {VIEW}", parent=environ.get("HTTP_TRACEPARENT", ""), kind="server"),
            ):
                answer = _taken(environ, uuid.UUID(found[1]), request_id)
        finally:
            close_old_connections()  # a pool has it back
        _answered(answer.status[:3]).inc()
        _SECONDS.observe(time.monotonic() - started)
        start_response(
            answer.status,
            [
                ("Content-Type", answer.content_type),
                ("Content-Length", str(len(answer.body))),
                ("X-Content-Type-Options", "nosniff"),
                ("X-Request-Id", request_id),
            ],
        )
        return [answer.body]


def _is_https(environ: Environ) -> bool:
    """Return what Django's `request.is_secure` would."""
    if settings.SECURE_PROXY_SSL_HEADER:
        name, value = settings.SECURE_PROXY_SSL_HEADER
        if given := environ.get(name):
            return str(given).partition(",")[0].strip() == value
    return bool(environ["wsgi.url_scheme"] == "https")


def _taken(environ: Environ, token: uuid.UUID, request_id: str) -> receiving.Answer:
    try:
        return receiving.receive(
            token,
            length=environ.get("CONTENT_LENGTH", ""),
            read=environ["wsgi.input"].read,
            signature=environ.get("HTTP_STRIPE_SIGNATURE", ""),
            request_id=request_id,
        )
    except (
        DatabaseError
    ) as error:  # only its type: the database quotes what it was given, and that is the body
        log.error("webhook.failed", error=type(error).__name__)
    except Exception as error:  # what went wrong is ours to see
        log.exception("webhook.failed", error=type(error).__name__)
    return receiving.NOT_STORED  # Stripe sends it again
