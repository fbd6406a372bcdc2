"""Stripe's events: verify, store once, 200. Everything else happens later, in a worker.

What is not a well-formed, well-signed event is a 400 with nothing stored; Stripe sends it again.
"""

from __future__ import annotations

import functools
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
import structlog
from django.db.models import Q
from django.utils import timezone

from web.core import metrics
from web.core.crypto import unseal
from web.payments.models import StripeAccount, WebhookSecret
from web.payments.operations import arrivals
from web.payments.operations.arrivals import Arrived, BadEvent
from web.webhooks.signature import BadSignature, verify
from web.webhooks.together import Together

LARGEST_BODY = 1_048_576  # bytes; Stripe's events stay far below
_SECRETS_SECONDS = 5  # how long a process trusts its copy of the secrets (a replaced one lives 24 h anyway)

# How each is counted, and what the log says.
_STORED = metrics.WEBHOOKS.labels("stored"), "webhooks.stored"
_REPEATED = metrics.WEBHOOKS.labels("repeated"), "webhooks.repeated"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What Stripe is told: a status line, a body."""

    status: str
    body: bytes
    content_type: str = "text/plain"


STORED = Answer("200 OK", b"ok")
NOT_STORED = Answer("500 Internal Server Error", b"not stored: send it again")


def receive(
    token: uuid.UUID, *, length: str, read: Callable[[int], bytes], signature: str, request_id: str
) -> Answer:
    """Take one event for the business whose address has the token.

    `length` and `signature` are headers, `read` reads so many bytes of the body at most. What the database refuses is
    raised: it was not stored.
    """
    try:
        body = _body(length, read)
        secrets = _secrets(token, int(time.monotonic() // _SECRETS_SECONDS))
        account_id = verify(body, signature, secrets)
        event = _event(body, request_id)
    except BadSignature:
        return _refused("bad_signature", "No active secret of this address signed this body just now.")
    except BadEvent as error:
        return _refused("bad_event", str(error))
    together.store(account_id=account_id, event=event)
    return STORED


def _store(letters: Sequence[tuple[int, Arrived]]) -> list[bool]:
    """Store events that came together, and say so once: a line of the log costs a fifth of what an event does."""
    found = arrivals.store_all(letters, now=timezone.now())
    for (outcome, says), is_new in ((_STORED, True), (_REPEATED, False)):
        events = [
            {"event_id": event.event_id, "type": event.event_type, "request_id": event.request_id}
            for (_account, event), was_new in zip(letters, found, strict=True)
            if was_new is is_new
        ]
        if events:
            outcome.inc(len(events))
            # The storing request's id is bound here: it is these events' where it is alone.
            log.info(says, events=events, request_id=events[0]["request_id"] if len(events) == 1 else None)
    return found


together = Together(_store)


def _refused(code: str, message: str) -> Answer:
    metrics.WEBHOOKS.labels(code).inc()
    log.warning("webhook.refused", code=code, reason=message)
    body = orjson.dumps({"error": {"code": code, "message": message}})
    return Answer("400 Bad Request", body, "application/json")


def _body(header: str, read: Callable[[int], bytes]) -> bytes:
    try:
        length = int(header or 0)
    except ValueError as error:
        raise BadEvent("The Content-Length is not a number.") from error
    if not 0 <= length <= LARGEST_BODY:
        raise BadEvent("The body is too large for an event.")
    try:
        body = read(length)
    except OSError as error:
        raise BadEvent("The body did not arrive whole.") from error
    if len(body) < length:
        raise BadEvent("The body did not arrive whole.")
    return body


@functools.lru_cache(maxsize=4096)
def _secrets(token: uuid.UUID, _period: int) -> tuple[tuple[int, str], ...]:
    """Return (account id, secret) of all active secrets of an address; cached for a few seconds."""
    rows = WebhookSecret.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        account__business__payment_settings__webhook_token=token,
    )
    rows = rows.exclude(account__state=StripeAccount.State.REFUSED).order_by("-id")
    return tuple((row.account_id, unseal(row.secret_sealed)) for row in rows)


def _event(body: bytes, request_id: str) -> Arrived:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadEvent("The body is not JSON.") from error
    return arrivals.arrived(data, request_id=request_id)
