"""What the back office shows: orders, their payments and timeline, and what waits for a person."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields

from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from web.core.models import Business
from web.payments import history
from web.payments.models import Cart, Dispute, Order, OutgoingEndpoint, Payment, PaymentEvent, Refund
from web.payments.models.payment import WITHOUT_MONEY
from web.payments.money import Money
from web.payments.queries import people
from web.payments.states import (
    FINAL_ACTION,
    LIVE,
    REFUND_OPEN,
    REFUND_UNDER_WAY,
    ActionState,
    CartState,
    PaymentState,
    RefundState,
)

MOST_ATTENTION = 20
SENT_BACK_IS_SHOWN = datetime.timedelta(days=30)  # a refund that failed and was not made good since
DEAF_IS_SHOWN = datetime.timedelta(hours=1)  # a program that is updated takes minutes
MOST_EVENTS = 500  # of one sale: far more than a sale has


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """A line of a sale's history, who it was, how long after the one before it, and how long a webhook waited.

    `day` is told where it is another one than the line's before.
    """

    event: PaymentEvent
    who: str
    day: datetime.date | None
    since_previous: datetime.timedelta | None
    lag: datetime.timedelta | None


@dataclass(frozen=True, slots=True)
class Attention:
    """What a person has to look at.

    `held`: money that fits no order. `partly_paid`: carts with money on them and nothing under way. `sent_back`:
    refunds that the bank sent back, or that Stripe refused. `disputes`: open ones, the first to answer first.
    `being_paid`: carts whose payment is under way. `deaf`: addresses of own programs that take nothing of what is sent.
    """

    held: Sequence[Payment]
    partly_paid: Sequence[tuple[Cart, list[Payment]]]
    sent_back: Sequence[Refund]
    disputes: Sequence[Dispute]
    being_paid: Sequence[Cart]
    deaf: Sequence[OutgoingEndpoint]

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))


@dataclass(frozen=True, slots=True)
class OrderMoney:
    """What an order brought: its total, what went back or is on its way, what disputes took, and what is left of it."""

    total: Money
    returned: Money
    on_its_way: Money
    disputed: Money
    left: Money  # can still be given back

    @property
    def net(self) -> Money:
        return self.total - self.returned - self.disputed

    @property
    def is_whole(self) -> bool:
        """Whether nothing was taken away, so that a page need not say more than the total."""
        return not (self.returned or self.on_its_way or self.disputed)


def order(business: Business, number: str) -> Order | None:
    """Return one order with its lines and payments."""
    orders = Order.objects.filter(business=business, number=number).select_related(
        "location", "customer", "created_by"
    )
    return orders.prefetch_related("lines", "payments").first()


def attention(business: Business, *, sets_up: bool = False, now: datetime.datetime) -> Attention:
    """Return what waits for a person, the longest waiting first; of programs only to who `sets_up` the business."""
    held = Payment.objects.filter(business=business, state=PaymentState.HELD, is_released=False)
    paying = Payment.objects.filter(cart_reference=OuterRef("reference"))
    carts = (
        Cart.objects.filter(business=business, state=CartState.FROZEN)
        .annotate(is_live=Exists(paying.filter(state__in=LIVE)))
        .select_related("customer")
        .order_by("state_changed_at")
    )
    with_money = list(
        carts.filter(Exists(paying.filter(state=PaymentState.SUCCEEDED, is_released=False)), is_live=False)[
            :MOST_ATTENTION
        ]
    )
    money = Payment.objects.filter(
        cart_reference__in=[cart.reference for cart in with_money],
        business=business,
        state=PaymentState.SUCCEEDED,
        is_released=False,
    )
    partly_paid = [
        (cart, [payment for payment in money if payment.cart_reference == cart.reference])
        for cart in with_money
    ]
    sent_back = Refund.objects.filter(
        business=business,
        state=RefundState.FAILED,
        origin=Refund.Origin.PAYDESK,
        state_changed_at__gte=now - SENT_BACK_IS_SHOWN,
        payment__refunded_minor__lt=F("payment__amount_received_minor"),
    ).select_related("payment__order")
    # What came to nothing on a reader was seen there by who stood at it.
    sent_back = sent_back.exclude(reader_actions__state__in=FINAL_ACTION - {ActionState.SUCCEEDED})
    disputes = Dispute.objects.filter(business=business, closed_at=None).select_related("payment__order")
    # What a person switched off is meant to hear nothing.
    deaf = OutgoingEndpoint.objects.filter(
        Q(disabled_at=None) | Q(is_disabled_by_failing=True, disabled_at__gte=now - SENT_BACK_IS_SHOWN),
        business=business,
        removed_at=None,
        failing_since__lte=now - DEAF_IS_SHOWN,
    )
    return Attention(
        held=list(held.order_by("state_changed_at").select_related("account")[:MOST_ATTENTION]),
        partly_paid=partly_paid,
        sent_back=list(sent_back.order_by("-state_changed_at")[:MOST_ATTENTION]),
        disputes=list(disputes.order_by(F("evidence_due_at").asc(nulls_last=True), "id")[:MOST_ATTENTION]),
        being_paid=list(carts.filter(is_live=True)[:MOST_ATTENTION]),
        deaf=list(deaf.order_by("failing_since")[:MOST_ATTENTION]) if sets_up else [],
    )


def refunds_of(business: Business, reference: uuid.UUID) -> list[Refund]:
    """Return every refund of a sale, the newest first."""
    refunds = Refund.objects.filter(business=business, payment__cart_reference=reference)
    return list(
        refunds.select_related("payment", "created_by")
        .prefetch_related("lines__order_line", "reader_actions__reader")
        .order_by("-created_at", "-id")
    )


def refunds_of_form(business: Business, reference: uuid.UUID, form_token: str) -> list[Refund]:
    """Return the refunds of a sale that a form has made already: one for each payment that it gives back from."""
    return list(
        Refund.objects.filter(business=business, payment__cart_reference=reference, form_token=form_token)
    )


def disputes_of(business: Business, reference: uuid.UUID) -> list[Dispute]:
    """Return every dispute of a sale."""
    return list(Dispute.objects.filter(business=business, payment__cart_reference=reference))


def money_of(order: Order, refunds: Sequence[Refund], disputes: Sequence[Dispute]) -> OrderMoney:
    """Work out what an order brought, from what is shown beside it. Held money of the sale is not the order's."""
    mine = [payment for payment in order.payments.all() if payment.state == PaymentState.SUCCEEDED]
    ids = {payment.id for payment in mine}

    def money(minor: int) -> Money:
        return Money(minor, order.currency)

    return OrderMoney(
        total=money(order.total_minor),
        returned=money(sum(payment.returned_minor for payment in mine)),
        on_its_way=money(
            sum(
                refund.amount_minor
                for refund in refunds
                if refund.payment_id in ids and refund.state in REFUND_OPEN
            )
        ),
        disputed=money(
            sum(
                dispute.taken_minor
                for dispute in disputes
                if dispute.payment_id in ids and dispute.currency == order.currency
            )
        ),
        left=money(sum(one.refundable.amount for one in mine if one.method not in WITHOUT_MONEY)),
    )


def are_under_way(refunds: Sequence[Refund]) -> bool:
    """Say whether a page should look again soon: a refund that waits for a bank changes in days, not seconds."""
    return any(refund.state in REFUND_UNDER_WAY for refund in refunds)


def payments_of(business: Business, reference: uuid.UUID) -> list[Payment]:
    """Return every payment of a sale, also those that ended without money."""
    return list(Payment.objects.filter(business=business, cart_reference=reference).order_by("id"))


def timeline(business: Business, reference: uuid.UUID) -> list[TimelineEntry]:
    """Return a sale's history from its first payment to its receipt."""
    events = PaymentEvent.objects.filter(business=business, cart_reference=reference).order_by("at", "id")
    entries = []
    previous: datetime.datetime | None = None
    newest = list(events[:MOST_EVENTS])
    names = people.names_of(business, {event.actor for event in newest})
    for event in newest:
        since = event.at - previous if previous is not None else None
        day: datetime.date | None = timezone.localtime(event.at).date()
        if previous is not None and timezone.localtime(previous).date() == day:
            day = None
        entries.append(TimelineEntry(event, names.get(event.actor, event.actor), day, since, _lag(event)))
        previous = event.at
    return entries


def _lag(event: PaymentEvent) -> datetime.timedelta | None:
    """Return how long a webhook waited here before it was applied, where the line says."""
    lag = event.data.get("lag_ms")
    if event.kind != history.WEBHOOK or not isinstance(lag, int | float):
        return None
    return datetime.timedelta(milliseconds=lag)
