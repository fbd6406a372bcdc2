"""What a shift has taken since it was last closed out: cash by drawer, cards beside what Stripe booked."""

from __future__ import annotations

import datetime
import uuid
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from web.core.models import Business, Location, Profile
from web.payments.models import CloseOut, Method
from web.payments.money import Money

LOOK_BACK = datetime.timedelta(days=31)  # a drawer that nobody closed for a month starts anew
MOST_SHOWN = 50
CASH = (Method.CASH.value,)


@dataclass(frozen=True, slots=True)
class Share:
    """What one method brought in, by one member of staff, on one reader."""

    method: str
    staff_id: int | None
    reader_id: int | None
    count: int
    sales: Money
    refunds: Money

    @property
    def net(self) -> Money:
        return self.sales - self.refunds


@dataclass(frozen=True, slots=True)
class Takings:
    """All that has not been closed out yet, in one location's currency."""

    currency: str
    since: datetime.datetime
    shares: Sequence[Share]
    payment_ids: Sequence[int]
    refund_ids: Sequence[int]
    card_count: int
    card_booked_count: int  # of them, those that Stripe has a balance transaction for
    card_booked: Money
    card_booked_ours: Money  # what those same payments are with us
    names: dict[int, str] = field(default_factory=dict)

    def _sum(self, part: str, methods: Sequence[str] | None) -> Money:
        chosen = [one for one in self.shares if methods is None or one.method in methods]
        return Money(sum(getattr(one, part).amount for one in chosen), self.currency)

    @property
    def cash_sales(self) -> Money:
        return self._sum("sales", CASH)

    @property
    def cash_refunds(self) -> Money:
        return self._sum("refunds", CASH)

    @property
    def cash(self) -> Money:
        """What the drawer has gained."""
        return self.cash_sales - self.cash_refunds

    @property
    def card_sales(self) -> Money:
        return self._sum("sales", CARDS)

    @property
    def card_refunds(self) -> Money:
        return self._sum("refunds", CARDS)

    @property
    def card_difference(self) -> Money:
        """What Stripe booked more (or less) than we took, of the payments that it has booked."""
        return self.card_booked - self.card_booked_ours


CARDS = tuple(method for method in ("online", "terminal", "saved_card") if method in Method.values)

# A payment belongs to the place of its order, or of the cart that it has partly paid.
_PAYMENTS = """
SELECT p.id, p.method, p.created_by_id, p.reader_id, p.amount_received_minor, p.account_id IS NOT NULL,
       (SELECT sum(b.amount_minor) FROM payments_balanceentry b
        WHERE b.payment_id = p.id AND b.kind IN ('charge', 'payment') AND b.currency = p.currency)
FROM payments_payment p
LEFT JOIN payments_order o ON o.cart_reference = p.cart_reference
LEFT JOIN payments_cart c ON c.reference = p.cart_reference
WHERE p.business_id = %(business)s AND p.state = 'succeeded' AND p.state_changed_at >= %(since)s
  AND p.currency = %(currency)s AND coalesce(o.location_id, c.location_id) = %(location)s
  AND (%(staff)s::bigint IS NULL OR p.created_by_id = %(staff)s)
  AND (%(reader)s::bigint IS NULL OR p.reader_id = %(reader)s)
  AND NOT EXISTS (SELECT 1 FROM payments_closeoutline l WHERE l.payment_id = p.id)
ORDER BY p.id
"""
_REFUNDS = """
SELECT r.id, p.method, r.created_by_id, p.reader_id, r.amount_minor
FROM payments_refund r
JOIN payments_payment p ON p.id = r.payment_id
LEFT JOIN payments_order o ON o.cart_reference = p.cart_reference
LEFT JOIN payments_cart c ON c.reference = p.cart_reference
WHERE r.business_id = %(business)s AND r.state = 'succeeded' AND r.destination = 'method'
  AND r.state_changed_at >= %(since)s AND r.currency = %(currency)s
  AND coalesce(o.location_id, c.location_id) = %(location)s
  AND (%(staff)s::bigint IS NULL OR r.created_by_id = %(staff)s)
  AND (%(reader)s::bigint IS NULL OR p.reader_id = %(reader)s)
  AND NOT EXISTS (SELECT 1 FROM payments_closeoutline l WHERE l.refund_id = r.id)
ORDER BY r.id
"""


def since(location: Location, *, now: datetime.datetime) -> datetime.datetime:
    """Return from when on a location's payments are closed out: the day of its first close-out, or today."""
    first = (
        CloseOut.objects.filter(location=location)
        .order_by("closed_at")
        .values_list("since", flat=True)
        .first()
    )
    zone = zoneinfo.ZoneInfo(location.time_zone)
    today = datetime.datetime.combine(now.astimezone(zone).date(), datetime.time.min, tzinfo=zone)
    return max(first or today.astimezone(datetime.UTC), now - LOOK_BACK)


def takings(
    location: Location, *, staff_id: int | None, reader_id: int | None, now: datetime.datetime
) -> Takings:
    """Add up what was taken and given back at a location and is in no close-out yet."""
    begin = since(location, now=now)
    given: dict[str, Any] = {
        "business": location.business_id,
        "since": begin,
        "currency": location.currency,
        "location": location.id,
        "staff": staff_id,
        "reader": reader_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PAYMENTS, given)
        payments: list[Any] = cursor.fetchall()
        cursor.execute(_REFUNDS, given)
        refunds: list[Any] = cursor.fetchall()
    sums: dict[tuple[str, int | None, int | None], list[int]] = {}
    for _id, method, staff, reader, amount, *_ in payments:
        share = sums.setdefault((method, staff, reader), [0, 0, 0])
        share[0], share[1] = share[0] + 1, share[1] + amount
    for _id, method, staff, reader, amount in refunds:
        share = sums.setdefault((method, staff, reader), [0, 0, 0])
        share[2] += amount
    currency = location.currency
    cards = [row for row in payments if row[5]]
    booked = [row for row in cards if row[6] is not None]
    people = {staff for _method, staff, _reader in sums if staff is not None}
    return Takings(
        currency=currency,
        since=begin,
        shares=[
            Share(
                *key, count=count, sales=Money(int(sales), currency), refunds=Money(int(given_back), currency)
            )
            for key, (count, sales, given_back) in sorted(sums.items(), key=lambda one: str(one[0]))
        ],
        payment_ids=[row[0] for row in payments],
        refund_ids=[row[0] for row in refunds],
        card_count=len(cards),
        card_booked_count=len(booked),
        card_booked=Money(sum(int(row[6]) for row in booked), currency),
        card_booked_ours=Money(sum(int(row[4]) for row in booked), currency),
        names=names(people),
    )


def names(staff_ids: set[int]) -> dict[int, str]:
    """Return what members of staff are called now: a close-out keeps only who they are."""
    return dict(Profile.objects.filter(id__in=staff_ids).values_list("id", "name"))


def newest(business: Business, location: Location | None = None) -> list[CloseOut]:
    """Return the newest close-outs of a business, or of one place."""
    rows = CloseOut.objects.filter(business=business).select_related(
        "location", "staff", "closed_by", "reader"
    )
    if location is not None:
        rows = rows.filter(location=location)
    return list(rows.order_by("-closed_at", "-id")[:MOST_SHOWN])


def one(business: Business, public_id: uuid.UUID) -> CloseOut | None:
    """Return a close-out of the business."""
    rows = CloseOut.objects.filter(business=business, public_id=public_id)
    return rows.select_related("location", "staff", "closed_by", "reader").first()


def usual_float(location: Location) -> Money:
    """Return what was in the drawer at the start of the last shift: people leave the same each day."""
    last = CloseOut.objects.filter(location=location).order_by("-closed_at").first()
    return Money(last.float_minor if last else 0, location.currency)
