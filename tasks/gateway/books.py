"""Stripe's books, for comparing them with ours: intents with their charges, and refunds, by when they were made."""

from __future__ import annotations

from typing import Any

import stripe

from tasks.gateway.stripe_api import StripeRefused, StripeUnreachable, client_of, data_of, raise_for_read
from tasks.snapshots import intent_record, refund_record
from web.payments.models import StripeAccount
from web.payments.operations.drift import IntentRecord, RefundRecord, Slice

PAGES = 10  # of a hundred; a slice that holds more is cut


class TooMany(Exception):
    """The slice holds more than one run reads; nothing was compared."""


def _created(piece: Slice) -> dict[str, int]:
    return {"gte": int(piece.since.timestamp()), "lt": int(piece.until.timestamp())}


def _all(list_page: Any, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every object of a list, whole or not at all."""
    found: list[dict[str, Any]] = []
    try:
        for _ in range(PAGES):
            page = data_of(list_page({**params, "limit": 100}))
            objects = page.get("data")
            if not isinstance(objects, list):
                raise StripeUnreachable("an answer that is not a list")
            found += objects
            if not page.get("has_more") or not objects:
                return found
            params = {**params, "starting_after": objects[-1]["id"]}
    except stripe.StripeError as error:
        raise_for_read(error)
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
    try:
        intent = client_of(account).v1.payment_intents.retrieve(intent_id, {"expand": ["latest_charge"]})
        return intent_record(data_of(intent))
    except stripe.StripeError as error:
        _raise_unless_missing(error)
        return None


def read_refund(account: StripeAccount, refund_id: str) -> RefundRecord | None:
    """Return one refund, None where Stripe does not know it; raise StripeUnreachable or StripeRefused."""
    try:
        return refund_record(data_of(client_of(account).v1.refunds.retrieve(refund_id)))
    except stripe.StripeError as error:
        _raise_unless_missing(error)
        return None


def _raise_unless_missing(error: stripe.StripeError) -> None:
    try:
        raise_for_read(error)
    except StripeRefused as refusal:
        if refusal.http_status != 404:
            raise
