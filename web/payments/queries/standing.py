"""What is stuck and what is at risk, over all businesses: payments, refunds, held money, differences with Stripe.

Each is read along a partial index that holds only such rows, however many payments there are.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count, Min, Q, Sum

from web.payments.models import Drift, HeldReason, Payment, ReaderAction, Refund
from web.payments.money import Money
from web.payments.states import OURS_TO_MOVE, REFUND_UNDER_WAY

STUCK_AFTER = datetime.timedelta(minutes=5)  # a worker takes seconds, Stripe's own hiccups a minute or two
# Looked at every few seconds; after its deadline it is cancelled, which takes seconds too.
READER_STUCK_AFTER = datetime.timedelta(minutes=2)
MOST_COUNTED = 100_000
MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Stuck:
    """What has been ours to move for too long. `oldest_seconds` is the age of the oldest such state."""

    payments: int
    refunds: int
    oldest_seconds: float | None

    @property
    def number(self) -> int:
        return self.payments + self.refunds


def stuck(*, now: datetime.datetime, after: datetime.timedelta = STUCK_AFTER) -> Stuck:
    """Count payments and refunds that nobody but us could move, and that have not moved for so long. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT payments.number, refunds.number, least(payments.oldest, refunds.oldest)
            FROM (SELECT count(*) AS number, min(state_changed_at) AS oldest FROM (
                      SELECT state_changed_at FROM payments_payment
                      WHERE state = ANY(%(payment_states)s)
                            AND state_changed_at < %(before)s
                      ORDER BY state_changed_at LIMIT %(most)s) AS counted) AS payments,
                 (SELECT count(*) AS number, min(state_changed_at) AS oldest FROM (
                      SELECT state_changed_at FROM payments_refund
                      WHERE state = ANY(%(refund_states)s) AND state_changed_at < %(before)s
                      ORDER BY state_changed_at LIMIT %(most)s) AS counted) AS refunds
            """,
            {
                "before": now - after,
                "most": MOST_COUNTED,
                "payment_states": sorted(OURS_TO_MOVE),
                "refund_states": sorted(REFUND_UNDER_WAY),
            },
        )
        payments, refunds, oldest = cursor.fetchone()
    return Stuck(payments, refunds, None if oldest is None else (now - oldest).total_seconds())


def stuck_payments(*, now: datetime.datetime, after: datetime.timedelta = STUCK_AFTER) -> list[Payment]:
    """Return the payments that have been stuck the longest."""
    rows = Payment.objects.filter(state__in=sorted(OURS_TO_MOVE), state_changed_at__lt=now - after)
    return list(rows.select_related("business").order_by("state_changed_at")[:MOST_SHOWN])


def stuck_refunds(*, now: datetime.datetime, after: datetime.timedelta = STUCK_AFTER) -> list[Refund]:
    """Return the refunds that have been stuck the longest."""
    rows = Refund.objects.filter(state__in=sorted(REFUND_UNDER_WAY), state_changed_at__lt=now - after)
    return list(rows.select_related("business", "payment").order_by("state_changed_at")[:MOST_SHOWN])


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Money of one currency that waits for a person: how many rows, how much, since when."""

    number: int
    amount: Money
    oldest_at: datetime.datetime


def held() -> list[AtRisk]:
    """Return the money that came in and fits no order, per currency as it came in. One query."""
    rows = (
        Payment.objects.filter(state="held", is_released=False)
        .values_list("currency", "received_currency")
        .annotate(number=Count("id"), minor=Sum("amount_received_minor"), oldest=Min("state_changed_at"))
        .order_by("currency", "received_currency")
    )
    sums: dict[str, AtRisk] = {}
    for asked, received, number, minor, oldest in rows:
        currency = received or asked
        so_far = sums.get(currency)
        sums[currency] = AtRisk(
            number + (so_far.number if so_far else 0),
            Money(minor + (so_far.amount.amount if so_far else 0), currency),
            min(oldest, so_far.oldest_at) if so_far else oldest,
        )
    return list(sums.values())


def held_payments() -> list[Payment]:
    """Return the money that has been held the longest."""
    rows = Payment.objects.filter(state="held", is_released=False)
    return list(rows.select_related("business").order_by("state_changed_at")[:MOST_SHOWN])


def drift() -> list[AtRisk]:
    """Return what hangs on differences between Stripe's books and ours that nobody has accepted, per currency."""
    rows = (
        Drift.objects.filter(resolved_at=None, accepted_at=None)
        .values_list("currency")
        .annotate(number=Count("id"), minor=Sum("at_risk_minor"), oldest=Min("found_at"))
        .order_by("currency")
    )
    return [AtRisk(number, Money(minor, currency), oldest) for currency, number, minor, oldest in rows]


def paid_twice() -> int:
    """Count sales with a second success that is still held: nobody may be left paying twice. One query."""
    return Payment.objects.filter(
        state="held", is_released=False, held_reason=HeldReason.SECOND_SUCCESS
    ).count()


def stuck_readers(*, now: datetime.datetime) -> int:
    """Count places at readers that nobody looks at although it is time, or that outlive their deadline. One query."""
    late = now - READER_STUCK_AFTER
    rows = ReaderAction.objects.filter(next_poll_at__isnull=False)
    return rows.filter(Q(next_poll_at__lt=late) | Q(deadline_at__lt=late)).count()
