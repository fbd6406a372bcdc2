"""What the back office shows: orders, their payments and timeline, and what waits for a person."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from web.core.models import Business
from web.payments import history
from web.payments.models import Cart, Order, Payment, PaymentEvent
from web.payments.states import CartState, PaymentState

MOST_ATTENTION = 20
MOST_EVENTS = 500  # of one sale: far more than a sale has


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """A line of a sale's history, how long after the one before it, and how long a webhook waited."""

    event: PaymentEvent
    since_previous: datetime.timedelta | None
    lag: datetime.timedelta | None


@dataclass(frozen=True, slots=True)
class Attention:
    """What a person has to look at: money that fits no order, and carts that are being paid."""

    held: Sequence[Payment]
    being_paid: Sequence[Cart]

    def __bool__(self) -> bool:
        return bool(self.held or self.being_paid)


def order(business: Business, number: str) -> Order | None:
    """Return one order with its lines and payments."""
    orders = Order.objects.filter(business=business, number=number).select_related(
        "location", "customer", "created_by"
    )
    return orders.prefetch_related("lines", "payments").first()


def attention(business: Business) -> Attention:
    """Return held payments and carts that are being paid, the longest waiting first."""
    held = Payment.objects.filter(business=business, state=PaymentState.HELD).order_by("state_changed_at")
    carts = Cart.objects.filter(business=business, state=CartState.FROZEN).select_related("customer")
    return Attention(list(held[:MOST_ATTENTION]), list(carts.order_by("state_changed_at")[:MOST_ATTENTION]))


def payments_of(business: Business, reference: uuid.UUID) -> list[Payment]:
    """Return every payment of a sale, also those that ended without money."""
    return list(Payment.objects.filter(business=business, cart_reference=reference).order_by("id"))


def timeline(business: Business, reference: uuid.UUID) -> list[TimelineEntry]:
    """Return a sale's history from its first payment to its receipt."""
    events = PaymentEvent.objects.filter(business=business, cart_reference=reference).order_by("at", "id")
    entries = []
    previous: datetime.datetime | None = None
    for event in events[:MOST_EVENTS]:
        since = event.at - previous if previous is not None else None
        entries.append(TimelineEntry(event, since, _lag(event)))
        previous = event.at
    return entries


def _lag(event: PaymentEvent) -> datetime.timedelta | None:
    """Return how long a webhook waited here before it was applied, where the line says."""
    lag = event.data.get("lag_ms")
    if event.kind != history.WEBHOOK or not isinstance(lag, int | float):
        return None
    return datetime.timedelta(milliseconds=lag)
