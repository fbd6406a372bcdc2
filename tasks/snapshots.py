"""Stripe's objects, as its API or its events show them, turned into the ledger's own terms."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any

from web.payments.followed_events import SAY_NOTHING_NEW
from web.payments.models import InboxEvent
from web.payments.money import Money, MoneyError
from web.payments.operations.drift import IntentRecord, RefundRecord
from web.payments.snapshots import (
    CardFacts,
    DisputeSnapshot,
    EntrySnapshot,
    IntentSnapshot,
    PayoutSnapshot,
    ReaderSnapshot,
    RefundedSoFar,
    RefundSnapshot,
    SavedCard,
    SetupSnapshot,
    Source,
)
from web.payments.states import PaymentState, RefundState

_STATES = {
    "requires_payment_method": PaymentState.AWAITING,  # or declined, if a try has failed
    "requires_confirmation": PaymentState.AWAITING,
    "requires_action": PaymentState.AWAITING,
    "processing": PaymentState.PROCESSING,
    "requires_capture": PaymentState.AUTHORISED,
    "canceled": PaymentState.CANCELLED,
    "succeeded": PaymentState.SUCCEEDED,
}
_REFUND_STATES = {
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.CANCELLED,
}
_PAYOUT_STATES = frozenset({"pending", "in_transit", "paid", "failed", "canceled"})
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
        tip=_tip_of(intent),
        capture_before=_capture_before(charge) if isinstance(charge, dict) else None,
    )


def _tip_of(intent: dict[str, Any]) -> Money | None:
    """Return what the customer added on a reader; None where Stripe tells of none."""
    tip = (intent.get("amount_details") or {}).get("tip") or {}
    return _money(tip.get("amount"), intent.get("currency"))


def _capture_before(charge: dict[str, Any]) -> datetime.datetime | None:
    """Return when an authorisation runs out, where the charge says so."""
    details = charge.get("payment_method_details") or {}
    at = (details.get("card_present") or {}).get("capture_before")
    return datetime.datetime.fromtimestamp(at, tz=datetime.UTC) if isinstance(at, int) else None


def of_reader(reader: dict[str, Any]) -> ReaderSnapshot:
    """Turn a terminal reader into a snapshot. `last_seen_at` comes in milliseconds, unlike all of Stripe's times."""
    if (
        not isinstance(reader.get("id"), str)
        or reader.get("object") != "terminal.reader"
        or reader.get("deleted")
    ):
        raise UnknownShape("a terminal reader without its id")
    action = reader.get("action") or {}
    taking = action.get("process_payment_intent") or {}
    intent = taking.get("payment_intent") if action.get("type") == "process_payment_intent" else None
    giving = (action.get("refund_payment") or {}) if action.get("type") == "refund_payment" else {}
    seen = reader.get("last_seen_at")
    status = reader.get("status")
    return ReaderSnapshot(
        reader_id=reader["id"],
        is_online=None if status is None else status == "online",
        last_seen_at=datetime.datetime.fromtimestamp(seen / 1000, tz=datetime.UTC)
        if isinstance(seen, int)
        else None,
        label=reader.get("label") or "",
        device_type=(reader.get("device_type") or "")[:40],
        serial_number=(reader.get("serial_number") or "")[:60],
        intent_id=(intent.get("id") if isinstance(intent, dict) else intent) or "",
        refund_public_id=_uuid(giving, "refund"),
        action_status=action.get("status") or "",
        failure_code=(action.get("failure_code") or "")[:60],
        api_error=((action.get("api_error") or {}).get("code") or "")[:60],
    )


def _payment_of(thing: dict[str, Any]) -> str:
    """Return our payment's id from the metadata."""
    return _uuid(thing, "payment")


def _uuid(thing: dict[str, Any], name: str) -> str:
    """Return an id of ours from the metadata; "" where somebody else's program wrote something there."""
    text = (thing.get("metadata") or {}).get(name)
    try:
        return str(uuid.UUID(text))
    except (ValueError, TypeError, AttributeError):
        return ""


def _card(charge: dict[str, Any]) -> dict[str, Any]:
    details = charge.get("payment_method_details") or {}
    if details.get("interac_present"):  # whatever brand is printed beside it: it is refunded the Interac way
        return {**details["interac_present"], "brand": "interac"}
    return details.get("card") or details.get("card_present") or {}


def _time(seconds: object) -> datetime.datetime | None:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC) if isinstance(seconds, int) else None


def of_refund(refund: dict[str, Any], *, source: Source) -> RefundSnapshot:
    """Turn a Refund into a snapshot."""
    status, created_at = refund.get("status"), _time(refund.get("created"))
    if status not in _REFUND_STATES or not isinstance(refund.get("id"), str) or created_at is None:
        raise UnknownShape(f"a refund with status {str(status)[:40]!r}")
    return RefundSnapshot(
        stripe_refund_id=refund["id"],
        state=_REFUND_STATES[status],
        amount=_money(refund.get("amount"), refund.get("currency")),
        source=source,
        created_at=created_at,
        intent_id=_id(refund.get("payment_intent")),
        charge_id=_id(refund.get("charge")),
        refund_public_id=_uuid(refund, "refund"),
        failure_code=(refund.get("failure_reason") or "")[:60],
        reason=(refund.get("reason") or "")[:60],
    )


def _id(thing: object) -> str:
    """Return the id of what a field names, expanded or not."""
    return str((thing.get("id") if isinstance(thing, dict) else thing) or "")


def of_charge_refunds(charge: dict[str, Any]) -> RefundedSoFar | None:
    """Say how much of a charge was given back; None for an authorisation that was let go: no money moved."""
    if not charge.get("captured"):
        return None
    return RefundedSoFar(
        intent_id=_id(charge.get("payment_intent")),
        payment_public_id=_payment_of(charge),
        charge_id=charge["id"],
        amount=_money(charge.get("amount_refunded"), charge.get("currency")),
    )


def of_dispute(dispute: dict[str, Any], *, occurred_at: datetime.datetime) -> DisputeSnapshot:
    """Turn a Dispute into a snapshot."""
    opened_at, status = _time(dispute.get("created")), dispute.get("status")
    if opened_at is None or not isinstance(status, str) or not isinstance(dispute.get("id"), str):
        raise UnknownShape("a dispute without a status or a time")
    entries = [entry for entry in dispute.get("balance_transactions") or [] if isinstance(entry, dict)]
    return DisputeSnapshot(
        stripe_dispute_id=dispute["id"],
        intent_id=_id(dispute.get("payment_intent")),
        charge_id=_id(dispute.get("charge")),
        amount=_money(dispute.get("amount"), dispute.get("currency")),
        status=status[:30],
        reason=(dispute.get("reason") or "")[:60],
        is_refundable=bool(dispute.get("is_charge_refundable")),
        occurred_at=occurred_at,
        opened_at=opened_at,
        evidence_due_at=_time((dispute.get("evidence_details") or {}).get("due_by")),
        is_money_gone=sum(entry.get("amount") or 0 for entry in entries) < 0,
        entries=len(entries),
        fee_minor=sum(entry.get("fee") or 0 for entry in entries),
        fee_currency=str(entries[0].get("currency") or "")[:3] if entries else "",
    )


def of_setup(setup: dict[str, Any], *, is_ours_alone: bool) -> SetupSnapshot:
    """Turn a SetupIntent into a snapshot; the card is told where its payment method is expanded.

    The client secret is taken only from what came to us alone, never from an event.
    """
    method, error = setup.get("payment_method"), setup.get("last_setup_error") or {}
    card = method.get("card") if isinstance(method, dict) else None
    saved = None
    if isinstance(method, dict) and card and method.get("customer"):
        saved = SavedCard(
            customer_id=str(method["customer"]),
            payment_method_id=str(method["id"]),
            brand=(card.get("display_brand") or card.get("brand") or "")[:20],
            last4=(card.get("last4") or "")[:4],
            expires_year=int(card.get("exp_year") or 0),
            expires_month=int(card.get("exp_month") or 0),
        )
    return SetupSnapshot(
        setup_intent_id=setup["id"],
        setup_public_id=_uuid(setup, "card_setup"),
        is_succeeded=setup.get("status") == "succeeded",
        is_cancelled=setup.get("status") == "canceled",
        failure_code=(error.get("decline_code") or error.get("code") or "")[:60],
        client_secret=(setup.get("client_secret") or "") if is_ours_alone else "",
        card=saved,
    )


def of_event(event: InboxEvent) -> object | None:
    """Say what an event tells the ledger, as a key of inbox.ROADS; None for kinds that it does not follow."""
    kind = event.event_type
    interpret = next((known for prefix, known in _KINDS.items() if kind.startswith(prefix)), None)
    return None if interpret is None else interpret(event, event.payload["data"]["object"])


def _of_intent_event(event: InboxEvent, thing: dict[str, Any]) -> object | None:
    return of_intent(thing, source=Source.EVENT, occurred_at=event.occurred_at)


def _of_charge_event(event: InboxEvent, thing: dict[str, Any]) -> object | None:
    if event.event_type == "charge.refunded":
        return of_charge_refunds(thing)
    card, intent_id = _card(thing), _id(thing.get("payment_intent"))
    if event.event_type not in _CHARGE_EVENTS or not intent_id or not card:
        return None
    return CardFacts(
        intent_id=intent_id,
        payment_public_id=_payment_of(thing),
        is_paid=thing.get("status") == "succeeded",
        charge_id=_id(thing),
        card_brand=card.get("brand") or "",
        card_last4=card.get("last4") or "",
    )


def _of_refund_event(event: InboxEvent, thing: dict[str, Any]) -> object | None:
    return of_refund(thing, source=Source.EVENT)


def _of_setup_event(event: InboxEvent, thing: dict[str, Any]) -> object | None:
    return of_setup(thing, is_ours_alone=False)


def _of_dispute_event(event: InboxEvent, thing: dict[str, Any]) -> object | None:
    return of_dispute(thing, occurred_at=event.occurred_at)


def _of_reader_event(event: InboxEvent, thing: dict[str, Any]) -> object | None:
    return of_reader(thing)


def of_payout(payout: dict[str, Any]) -> PayoutSnapshot | None:
    """Turn a payout into a snapshot; None for a currency that we cannot hold."""
    amount = _money(payout.get("amount"), payout.get("currency"))
    if not isinstance(payout.get("id"), str) or payout.get("status") not in _PAYOUT_STATES:
        raise UnknownShape(f"a payout with status {str(payout.get('status'))[:40]!r}")
    if amount is None:
        return None
    return PayoutSnapshot(
        payout_id=payout["id"],
        status=payout["status"],
        amount=amount,
        is_automatic=bool(payout.get("automatic")),
        is_reconcilable=payout.get("reconciliation_status") == "completed",
        failure_code=(payout.get("failure_code") or "")[:60],
        created_at=_moment(payout["created"]),
        arrives_on=_moment(payout["arrival_date"]).date(),
    )


def of_entry(entry: dict[str, Any]) -> EntrySnapshot | None:
    """Turn a balance transaction into a snapshot; None for a currency that we cannot hold."""
    amount, fee = (_money(entry.get(name), entry.get("currency")) for name in ("amount", "fee"))
    if not isinstance(entry.get("id"), str):
        raise UnknownShape("a balance transaction without an id")
    if amount is None or fee is None:
        return None
    source = entry.get("source")
    return EntrySnapshot(
        entry_id=entry["id"],
        kind=str(entry.get("type") or "")[:40],
        category=str(entry.get("reporting_category") or "")[:60],
        source_id=str((source.get("id") if isinstance(source, dict) else source) or "")[:64],
        amount=amount,
        fee=fee,
        created_at=_moment(entry["created"]),
        available_at=_moment(entry["available_on"]),
    )


def _moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)


def _of_payout_event(event: InboxEvent, thing: dict[str, Any]) -> object | None:
    return of_payout(thing)


# What an event's type begins with, the longer before the shorter, and who reads it.
_KINDS: dict[str, Callable[[InboxEvent, dict[str, Any]], object | None]] = {
    "payment_intent.": _of_intent_event,
    "setup_intent.": _of_setup_event,
    "charge.dispute.": _of_dispute_event,
    "charge.refund.": _of_refund_event,
    "refund.": _of_refund_event,
    "charge.": _of_charge_event,
    "terminal.reader.action_": _of_reader_event,
    "payout.": _of_payout_event,
}


def is_followed(event_type: str) -> bool:
    """Return whether events of a type can tell the ledger anything that nothing else tells it."""
    return event_type not in SAY_NOTHING_NEW and any(event_type.startswith(prefix) for prefix in _KINDS)


def intent_record(intent: dict[str, Any]) -> IntentRecord:
    """Say what Stripe's books show of an intent, `latest_charge` expanded."""
    charge = intent.get("latest_charge")
    charge = charge if isinstance(charge, dict) else {}
    is_paid = intent.get("status") == "succeeded"
    return IntentRecord(
        intent_id=str(intent["id"]),
        received=_money(intent.get("amount_received"), intent.get("currency")) if is_paid else None,
        refunded=_money(charge.get("amount_refunded"), charge.get("currency")) if is_paid else None,
        paid_at=_time(charge.get("created")) if is_paid else None,
        payment_public_id=_payment_of(intent),
        business_id=str((intent.get("metadata") or {}).get("business") or ""),
    )


def refund_record(refund: dict[str, Any]) -> RefundRecord:
    """Say what Stripe's books show of a refund."""
    return RefundRecord(
        refund_id=str(refund["id"]),
        intent_id=_id(refund.get("payment_intent")),
        amount=_money(refund.get("amount"), refund.get("currency")),
        stands=refund.get("status") not in ("failed", "canceled"),
        created_at=_time(refund.get("created")) or datetime.datetime.fromtimestamp(0, tz=datetime.UTC),
    )
