"""Stripe's events: verify, store once, 200. Everything else happens later, in a worker.

What is not a well-formed, well-signed event is a 400 with nothing stored; Stripe sends it again.
"""

from __future__ import annotations

import functools
import time
import uuid

import orjson
import structlog
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from web.core import metrics
from web.core.crypto import unseal
from web.core.tenancy import any_host
from web.payments.models import StripeAccount, WebhookSecret
from web.payments.operations import inbox
from web.payments.operations.inbox import Arrived, BadEvent
from web.webhooks.signature import BadSignature, verify

LARGEST_BODY = 1_048_576  # bytes; Stripe's events stay far below
_SECRETS_SECONDS = 5  # how long a process trusts its copy of the secrets (a replaced one lives 24 h anyway)

log = structlog.get_logger(__name__)


@any_host  # the address names the business; Stripe may reach us by any name
@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest, token: uuid.UUID) -> HttpResponse:
    """Take one event for the business that the address names."""
    try:
        body = _body(request)
        secrets = _secrets(token, int(time.monotonic() // _SECRETS_SECONDS))
        account_id = verify(body, request.headers.get("Stripe-Signature", ""), secrets)
        event = _event(body)
    except BadSignature:
        return _refused("bad_signature", "No active secret of this address signed this body just now.")
    except BadEvent as error:
        return _refused("bad_event", str(error))
    is_new = inbox.store(account_id=account_id, event=event, now=timezone.now())
    metrics.WEBHOOKS.labels("stored" if is_new else "repeated").inc()
    log.info(
        "webhook.stored" if is_new else "webhook.repeated", event_id=event.event_id, type=event.event_type
    )
    return HttpResponse(b"ok", content_type="text/plain")


def _refused(code: str, message: str) -> HttpResponse:
    metrics.WEBHOOKS.labels(code).inc()
    log.warning("webhook.refused", code=code, reason=message)
    return JsonResponse({"error": {"code": code, "message": message}}, status=400)


def _body(request: HttpRequest) -> bytes:
    try:
        length = int(request.headers.get("Content-Length") or 0)
    except ValueError as error:
        raise BadEvent("The Content-Length is not a number.") from error
    if length > LARGEST_BODY:
        raise BadEvent("The body is too large for an event.")
    try:
        body = request.read(LARGEST_BODY + 1)
    except OSError as error:
        raise BadEvent("The body did not arrive whole.") from error
    if len(body) > LARGEST_BODY:
        raise BadEvent("The body is too large for an event.")
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


def _event(body: bytes) -> Arrived:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadEvent("The body is not JSON.") from error
    return inbox.arrived(data)
