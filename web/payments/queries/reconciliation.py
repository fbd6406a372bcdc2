"""Payouts line by line beside our payments: what fits, what differs, what is on one side only."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from web.core.models import Business
from web.payments.models import BalanceEntry, Payment, Payout, StripeAccount
from web.payments.money import Money
from web.payments.queries import replica
from web.payments.states import PaymentState

MOST_PAYOUTS = 100
MOST_LINES = 500
MOST_MISSING = 50
EXPORT_BATCH = 500
BOOKED_WITHIN = datetime.timedelta(
    days=2
)  # Stripe books a charge within minutes; an async method takes longer
LOOK_BACK = datetime.timedelta(days=120)
OWN_KINDS = ("payout", "payout_failure", "payout_cancel")  # the payout's own movement
STRIPES_KINDS = ("stripe_fee", "stripe_fx_fee", "tax_fee", "network_cost", "adjustment_fee")


class Verdict:
    """What a line is to us."""

    MATCHED = "matched"
    DIFFERENT = "different"  # it is of a payment of ours, and the amount is not
    UNKNOWN = "unknown"  # money that moved and that we have no payment for
    STRIPES = "stripes"  # a payout's own movement, or a fee: nothing to match


@dataclass(frozen=True, slots=True)
class Line:
    """One balance transaction with what it is to us."""

    entry: BalanceEntry
    verdict: str

    @property
    def ours(self) -> Money | None:
        """What we have for it: of the refund where it is one, else of the payment; None where it is not ours."""
        return _ours(self.entry)


@dataclass(frozen=True, slots=True)
class Summary:
    """A payout with what its lines come to."""

    payout: Payout
    count: int
    gross: Money
    fees: Money
    net: Money
    unmatched: int

    @property
    def is_complete(self) -> bool:
        return self.payout.lines_read_at is not None

    @property
    def difference(self) -> Money:
        """What the lines come to beyond what was paid out; not zero means that a line is missing."""
        return self.net - Money(self.payout.amount_minor, self.payout.currency)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What was booked and has not left in a payout yet, per currency."""

    currency: str
    count: int
    gross: Money
    fees: Money
    net: Money


def payouts(business: Business) -> list[Summary]:
    """Return the newest payouts with their sums."""
    rows = list(
        Payout.objects.filter(account__business=business).order_by("-created_at", "-id")[:MOST_PAYOUTS]
    )
    return _summaries(rows)


def payout(business: Business, payout_id: str) -> Summary | None:
    """Return one payout of the business with its sums."""
    row = Payout.objects.filter(account__business=business, payout_id=payout_id).first()
    return _summaries([row])[0] if row is not None else None


def _summaries(rows: Sequence[Payout]) -> list[Summary]:
    asked = (
        BalanceEntry.objects.filter(payout_id__in=[row.id for row in rows])
        .exclude(kind="payout")
        .values("payout_id")
        .annotate(
            count=Count("id"),
            gross=Sum("amount_minor"),
            fees=Sum("fee_minor"),
            net=Sum("net_minor"),
            unmatched=Count("id", filter=_unmatched()),
        )
        .order_by()
    )
    sums = {row["payout_id"]: row for row in replica.read(lambda alias: list(asked.using(alias)))}
    nothing = {"count": 0, "gross": 0, "fees": 0, "net": 0, "unmatched": 0}
    summaries = []
    for row in rows:
        one = sums.get(row.id, nothing)
        gross, fees, net = (Money(int(one[name]), row.currency) for name in ("gross", "fees", "net"))
        summaries.append(Summary(row, int(one["count"]), gross, fees, net, int(one["unmatched"])))
    return summaries


def _unmatched() -> Q:
    return Q(payment=None, refund=None, dispute=None) & ~Q(kind__in=OWN_KINDS + STRIPES_KINDS)


def lines(payout: Payout) -> list[Line]:
    """Return a payout's lines, those that need a look first."""
    entries = _with_ours(BalanceEntry.objects.filter(payout=payout)).order_by("created_at", "id")[:MOST_LINES]
    order = {Verdict.DIFFERENT: 0, Verdict.UNKNOWN: 1, Verdict.MATCHED: 2, Verdict.STRIPES: 3}
    return sorted((_line(entry) for entry in entries), key=lambda line: order[line.verdict])


def not_paid_out(business: Business) -> list[Waiting]:
    """Return what Stripe has booked and not yet paid out."""
    rows = (
        BalanceEntry.objects.filter(account__business=business, payout=None)
        .exclude(kind__in=OWN_KINDS)
        .values("currency")
        .annotate(count=Count("id"), gross=Sum("amount_minor"), fees=Sum("fee_minor"), net=Sum("net_minor"))
        .order_by("currency")
    )
    return [
        Waiting(
            row["currency"],
            row["count"],
            *(Money(int(row[name]), row["currency"]) for name in ("gross", "fees", "net")),
        )
        for row in rows
    ]


def not_booked(business: Business, *, now: datetime.datetime) -> list[Payment]:
    """Return card payments of ours that Stripe should have booked long ago and has not."""
    accounts = StripeAccount.objects.filter(business=business, balance_cursor__isnull=False)
    booked = BalanceEntry.objects.filter(payment=OuterRef("id"))
    missing = Payment.objects.filter(
        ~Exists(booked),
        business=business,
        account__in=accounts,
        state=PaymentState.SUCCEEDED,
        state_changed_at__lte=now - BOOKED_WITHIN,
        state_changed_at__gte=now - LOOK_BACK,
    )
    return list(missing.select_related("order").order_by("-state_changed_at")[:MOST_MISSING])


def unknown(business: Business) -> list[BalanceEntry]:
    """Return money that moved at Stripe and that we have no payment for, the newest first."""
    rows = BalanceEntry.objects.filter(_unmatched(), account__business=business)
    return list(rows.select_related("payout").order_by("-created_at", "-id")[:MOST_MISSING])


def every_line(business: Business, payout_id: str = "") -> Iterator[Line]:
    """Yield every balance transaction of the business (or of one payout), newest first, a batch at a time."""
    rows = BalanceEntry.objects.filter(account__business=business)
    if payout_id:
        rows = rows.filter(payout__payout_id=payout_id)
    last: int | None = None
    while True:
        asked = rows if last is None else rows.filter(id__lt=last)
        batch_of = _with_ours(asked).order_by("-id")
        batch = replica.read(lambda alias, rows=batch_of: list(rows.using(alias)[:EXPORT_BATCH]))  # type: ignore[misc]
        yield from (_line(entry) for entry in batch)
        if len(batch) < EXPORT_BATCH:
            return
        last = batch[-1].id


def _with_ours(rows: QuerySet[BalanceEntry]) -> QuerySet[BalanceEntry]:
    return rows.select_related("payment__order", "refund", "dispute", "payout")


def _ours(entry: BalanceEntry) -> Money | None:
    if entry.refund is not None:
        return Money(-entry.refund.amount_minor, entry.refund.currency)
    if entry.dispute is not None:
        return None  # taken and given back in several entries: the dispute's page tells its story
    if entry.payment is not None:
        return Money(entry.payment.amount_received_minor, entry.payment.currency)
    return None


def _line(entry: BalanceEntry) -> Line:
    if entry.kind in OWN_KINDS or entry.kind in STRIPES_KINDS:
        return Line(entry, Verdict.STRIPES)
    if entry.payment_id is None and entry.refund_id is None and entry.dispute_id is None:
        return Line(entry, Verdict.UNKNOWN)
    ours = _ours(entry)
    is_comparable = ours is not None and ours.currency == entry.currency and entry.kind in _COMPARED
    if is_comparable and ours is not None and ours.amount != entry.amount_minor:
        return Line(entry, Verdict.DIFFERENT)
    return Line(entry, Verdict.MATCHED)


# A refund that failed is booked back under another kind: only these have the amount of what they are of.
_COMPARED = frozenset({"charge", "payment", "refund", "payment_refund"})
