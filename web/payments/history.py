"""The kinds of lines in a sale's history, and the one way to write them."""

from __future__ import annotations

import datetime
import uuid
from typing import NotRequired, TypedDict, Unpack

import orjson
from django.db import connection

from web.payments.models import Payment, PaymentEvent

REQUESTED = "payment.requested"
MOVED = "payment.moved"
REPEATED = "payment.repeated"  # a form, tab or till asked again and got the same payment back
SENT = "stripe.sent"
ANSWERED = "stripe.answered"
READ = "stripe.read"
READ_ASKED = "read.asked"  # by somebody on call
WEBHOOK = "stripe.webhook"
STALE = "stripe.stale"  # older news than what we have; kept, not applied
ORDER_MADE = "order.made"
RECEIPT_SENT = "receipt.sent"
POLICY_ACCEPTED = "policy.accepted"
CART_REOPENED = "cart.reopened"
REFUND_REQUESTED = "refund.requested"
REFUND_MOVED = "refund.moved"
REFUND_IMPORTED = "refund.imported"  # made at Stripe, not here
PAYMENT_RELEASED = "payment.released"  # given back before there was an order: its cart is free of it
PAYMENT_ATTACHED = "payment.attached"  # held money that a person put onto its cart
DISPUTE_OPENED = "dispute.opened"
DISPUTE_CHANGED = "dispute.changed"
READER_QUEUED = "reader.queued"
READER_MOVED = "reader.moved"
CAPTURE_ASKED = "capture.asked"
CUSTOMER_CHOSEN = "customer.chosen"  # the sale was given to another customer, or to a guest
STORED = "stored.changed"  # a gift card or pass was credited, or what it gave was taken back
DISCOUNTED = "cart.discounted"
PAYS_ON_ARRIVAL = "cart.pays_on_arrival"

DRILL_STEP = "drill.step"

WORKER = "worker"
STRIPE = "stripe"
CUSTOMER = "customer"


def program(token_id: int) -> str:
    """Return how a program is named in the history: by the API token that it came with."""
    return f"token {token_id}"


def staff(profile_id: int) -> str:
    """Return how a member of staff is named in the history."""
    return f"staff {profile_id}"


class Said(TypedDict):
    """What a line of history says besides its kind."""

    business_id: int
    cart_reference: uuid.UUID
    payment: Payment | None
    actor: str
    now: datetime.datetime
    from_state: NotRequired[str]
    to_state: NotRequired[str]
    cause: NotRequired[str]
    data: NotRequired[dict[str, object] | None]


def line(kind: str, **said: Unpack[Said]) -> PaymentEvent:
    """Return one line, to be written in the transaction of what it tells."""
    return PaymentEvent(
        business_id=said["business_id"],
        cart_reference=said["cart_reference"],
        payment=said["payment"],
        kind=kind,
        from_state=said.get("from_state", ""),
        to_state=said.get("to_state", ""),
        cause=said.get("cause", ""),
        data=said.get("data") or {},
        actor=said["actor"],
        at=said["now"],
    )


_STORE = """
INSERT INTO payments_paymentevent (business_id, cart_reference, payment_id, kind, from_state, to_state, cause, data,
                                   actor, at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, %s)
"""


def record(kind: str, **said: Unpack[Said]) -> None:
    """Write one line, in the transaction of what it tells."""
    store(line(kind, **said))


def store(said: PaymentEvent) -> None:
    """Write a line that `line` returned, in the transaction of what it tells."""
    with connection.cursor() as cursor:  # written out: a sale has fifteen, and each has the same shape
        cursor.execute(
            _STORE,
            [
                said.business_id,
                said.cart_reference,
                said.payment_id,
                said.kind,
                said.from_state,
                said.to_state,
                said.cause,
                orjson.dumps(said.data).decode(),
                said.actor,
                said.at,
            ],
        )
