"""Stripe's objects, as its API or its events show them, turned into the ledger's own terms."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from web.payments.models import InboxEvent
from web.payments.money import Money, MoneyError
from web.payments.snapshots import CardFacts, IntentSnapshot, Source
from web.payments.states import PaymentState

_STATES = {
    "requires_payment_method": PaymentState.AWAITING,  # or declined, if a try has failed
    "requires_confirmation": PaymentState.AWAITING,
    "requires_action": PaymentState.AWAITING,
    "processing": PaymentState.PROCESSING,
    "requires_capture": PaymentState.AUTHORISED,
    "canceled": PaymentState.CANCELLED,
    "succeeded": PaymentState.SUCCEEDED,
}
_CHARGE_EVENTS = frozenset({"charge.succeeded", "charge.failed", "charge.updated", "charge.captured"})


class UnknownShape(Exception):
    """Stripe sent something that this version cannot read; it is kept and seen, never guessed at."""


def _money(amount: object, currency: object) -> Money | None:
    if not isinstance(amount, int) or not isinstance(currency, str):
        return None
    try:
        return Money.from_stripe(amount, currency)
    except MoneyError:
        return None


def of_intent(
    intent: dict[str, Any], *, source: Source, occurred_at: datetime.datetime | None
) -> IntentSnapshot:
    """Turn a PaymentIntent into a snapshot; `latest_charge` may be an id or expanded.

    The client secret is taken from answers and reads, which come to us alone, never from an event.
    """
    status = intent.get("status")
    if status not in _STATES or not isinstance(intent.get("id"), str):
        raise UnknownShape(f"a payment intent with status {str(status)[:40]!r}")
    state = _STATES[status]
    error = intent.get("last_payment_error") or {}
    if status == "requires_payment_method" and error:
        state = PaymentState.DECLINED
    charge = intent.get("latest_charge")
    card = _card(charge) if isinstance(charge, dict) else {}
    return IntentSnapshot(
        intent_id=intent["id"],
        state=state,
        amount=_money(intent.get("amount"), intent.get("currency")),
        amount_received=_money(intent.get("amount_received"), intent.get("currency")),
        source=source,
        occurred_at=occurred_at,
        payment_public_id=_payment_of(intent),
        charge_id=(charge.get("id") if isinstance(charge, dict) else charge) or "",
        card_brand=card.get("brand") or "",
        card_last4=card.get("last4") or "",
        decline_code=(error.get("decline_code") or "")[:60],
        failure_code=(error.get("code") or "")[:60],
        client_secret=(intent.get("client_secret") or "") if source is not Source.EVENT else "",
    )


def _payment_of(thing: dict[str, Any]) -> str:
    """Return our payment's id from the metadata; "" where somebody else's program wrote something there."""
    text = (thing.get("metadata") or {}).get("payment")
    try:
        return str(uuid.UUID(text))
    except (ValueError, TypeError, AttributeError):
        return ""


def _card(charge: dict[str, Any]) -> dict[str, Any]:
    details = charge.get("payment_method_details") or {}
    return details.get("card") or details.get("card_present") or {}


def of_event(event: InboxEvent) -> IntentSnapshot | CardFacts | None:
    """Say what an event tells the ledger; None for kinds that it does not follow."""
    kind = event.event_type
    if not kind.startswith("payment_intent.") and kind not in _CHARGE_EVENTS:
        return None
    thing = event.payload["data"]["object"]
    if kind in _CHARGE_EVENTS:
        card = _card(thing)
        if not thing.get("payment_intent") or not card:
            return None
        return CardFacts(
            intent_id=thing["payment_intent"],
            payment_public_id=_payment_of(thing),
            is_paid=thing.get("status") == "succeeded",
            charge_id=thing["id"],
            card_brand=card.get("brand") or "",
            card_last4=card.get("last4") or "",
        )
    return of_intent(thing, source=Source.EVENT, occurred_at=event.occurred_at)
