"""What a program asks for under a key is done once: the row of the key is written in the transaction of its effect.

A process that dies takes both with it, and the key is free again. While a request is under way its key is held by a
lock that ends with the transaction, whatever ends that. No answer is kept: it is drawn again from what was made.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Callable

from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from web.core import faultpoints
from web.payments.errors import Kind, Refusal
from web.payments.models import ApiRequest, ApiToken


class KeyInFlight(Refusal):
    code, kind = "idempotency_key_in_flight", Kind.CONFLICT
    message = _("A request with this Idempotency-Key is being worked on.")
    next_step = _("Ask again with the same key: it gets the answer of that request.")
    money_moved = None  # the other request may move some


class KeyReused(Refusal):
    code = "idempotency_key_reused"
    message = _("This Idempotency-Key was used for another request.")
    next_step = _("Nothing was done by this request. Use a new key for what is new.")


def form_token(token: ApiToken, key: str) -> str:
    """Return the form's token that stands for a key: what was made with it is found for ever, not only for days."""
    return hashlib.sha256(f"api {token.id} {key}".encode()).hexdigest()


@transaction.atomic(durable=True)
def once(
    *, token: ApiToken, key: str, fingerprint: str, act: Callable[[], str], now: datetime.datetime
) -> tuple[str, bool]:
    """Do what a request asks for, unless it was done; return the public id of what came of it, and if it was before.

    What is refused leaves nothing behind, its key neither: the same request may be allowed later.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended('paydesk api ' || %s || ' ' || %s, 0))",
            [str(token.id), key],
        )
        (is_ours,) = cursor.fetchone()
    if not is_ours:
        raise KeyInFlight
    known = ApiRequest.objects.filter(token=token, key=key).first()
    if known is not None:
        if not hmac.compare_digest(known.fingerprint, fingerprint):
            raise KeyReused
        return known.subject, True
    subject = act()
    faultpoints.reach(faultpoints.API_DONE)
    ApiRequest.objects.create(token=token, key=key, fingerprint=fingerprint, subject=subject, created_at=now)
    return subject, False
