"""Stripe's books, for comparing them with ours: intents with their charges, and refunds, by when they were made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from tasks.gateway.stripe_api import StripeRefused, StripeUnreachable, client_of, objects_of, read
from tasks.snapshots import intent_record, refund_record
from web.payments.models import StripeAccount
from web.payments.operations.drift import IntentRecord, RefundRecord, Slice

PAGES = 10  # of a hundred; a slice that holds more is cut
TRIES = 3  # of each read: a slice takes many, and one without an answer would have all of them made again


class TooMany(Exception):
    """The slice holds more than one run reads; nothing was compared."""


def _created(piece: Slice) -> dict[str, int]:
    return {"gte": int(piece.since.timestamp()), "lt": int(piece.until.timestamp())}


def _read(ask: Callable[[], Any]) -> dict[str, Any]:
    for _ in range(TRIES - 1):
        with contextlib.suppress(StripeUnreachable):
            return read(ask)
    return read(ask)


def _all(list_page: Any, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every object of a list, whole or not at all."""
    found: list[dict[str, Any]] = []
    for _ in range(PAGES):
        page = _read(partial(list_page, {**params, "limit": 100}))
        objects = objects_of(page)
        found += objects
        if not page.get("has_more") or not objects:
            return found
        params = {**params, "starting_after": objects[-1]["id"]}
    raise TooMany


def list_intents(account: StripeAccount, piece: Slice) -> list[IntentRecord]:
    """Return the intents that were made in a slice; raise TooMany, StripeUnreachable or StripeRefused."""
    intents = client_of(account).v1.payment_intents
    params = {"created": _created(piece), "expand": ["data.latest_charge"]}
    return [intent_record(one) for one in _all(intents.list, params)]


def list_refunds(account: StripeAccount, piece: Slice) -> list[RefundRecord]:
    """Return the refunds that were made in a slice; raise TooMany, StripeUnreachable or StripeRefused."""
    refunds = client_of(account).v1.refunds
    return [refund_record(one) for one in _all(refunds.list, {"created": _created(piece)})]


def read_intent(account: StripeAccount, intent_id: str) -> IntentRecord | None:
    """Return one intent, None where Stripe does not know it; raise StripeUnreachable or StripeRefused."""
    intents = client_of(account).v1.payment_intents
    found = _one(partial(intents.retrieve, intent_id, {"expand": ["latest_charge"]}))
    return None if found is None else intent_record(found)


def read_refund(account: StripeAccount, refund_id: str) -> RefundRecord | None:
    """Return one refund, None where Stripe does not know it; raise StripeUnreachable or StripeRefused."""
    found = _one(partial(client_of(account).v1.refunds.retrieve, refund_id))
    return None if found is None else refund_record(found)


def _one(ask: Callable[[], Any]) -> dict[str, Any] | None:
    try:
        return _read(ask)
    except StripeRefused as refusal:
        if refusal.http_status == 404:
            return None
        raise
