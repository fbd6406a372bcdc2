"""Differences between Stripe's books and ours, by the money at risk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from web.core.models import Business
from web.payments.models import Drift
from web.payments.money import Money

MOST_SHOWN = 500
MOST_RESOLVED = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """A difference, and the amount that hangs on it."""

    drift: Drift
    at_risk: Money


def open_differences(business: Business | None = None) -> list[Shown]:
    """Return what differs now, of one business or of all, the largest amounts first."""
    rows = Drift.objects.filter(resolved_at=None).select_related("business", "account", "payment__order")
    if business is not None:
        rows = rows.filter(business=business)
    shown = [
        Shown(row, Money(row.at_risk_minor, row.currency))
        for row in rows.order_by("-at_risk_minor")[:MOST_SHOWN]
    ]
    return sorted(shown, key=lambda one: (-one.at_risk.major(), one.drift.id))


def at_risk(shown: Iterable[Shown]) -> dict[str, Money]:
    """Return the sums, per currency."""
    sums: dict[str, Money] = {}
    for one in shown:
        currency = one.at_risk.currency
        before = sums.get(currency)
        sums[currency] = (
            one.at_risk if before is None else Money(before.amount + one.at_risk.amount, currency)
        )
    return sums


def lately_resolved(business: Business) -> list[Shown]:
    """Return the differences that vanished last."""
    rows = Drift.objects.filter(business=business, resolved_at__isnull=False).select_related("payment__order")
    return [
        Shown(row, Money(row.at_risk_minor, row.currency))
        for row in rows.order_by("-resolved_at", "-id")[:MOST_RESOLVED]
    ]
