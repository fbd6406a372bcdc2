"""What customers have stored, and what of a cart it can pay for."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Exists, F, OuterRef, Q, Sum

from web.core.models import CREDIT_TYPES, Business, ItemType, Profile
from web.payments.models import (
    Cart,
    CartLine,
    Ledger,
    LedgerBalance,
    LedgerEntry,
    LedgerLot,
    Method,
    OrderLine,
    Payment,
)
from web.payments.models.payment import WITHOUT_MONEY
from web.payments.money import Money
from web.payments.pricing import Quote
from web.payments.queries.quotes import lines_of
from web.payments.states import COMMITTED

MOST_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class Stored:
    """What a customer can spend now: money of one currency, and service credits with their nearest end."""

    money: Money
    credits: int
    credits_end_at: datetime.datetime | None = None
    ending_credits: int = 0  # so many of them end then

    def __bool__(self) -> bool:
        return bool(self.money or self.credits)


def stored(customer_id: int | None, currency: str, *, now: datetime.datetime) -> Stored:
    """Return what a customer can spend: not what is set aside for another sale, not what has ended."""
    nothing = Stored(Money.zero(currency), 0)
    if customer_id is None:
        return nothing
    lots = (
        LedgerLot.objects.filter(_lasting(now), balance__customer_id=customer_id, taken__lt=F("amount"))
        .filter(Q(balance__ledger=Ledger.CREDITS) | Q(balance__currency=currency))
        .values_list("balance__ledger", "expires_at")
        .annotate(sum_left=Sum(F("amount") - F("taken")))
    )
    sums: Counter[str] = Counter()
    ends: dict[datetime.datetime, int] = {}
    for ledger, expires_at, left in lots:
        sums[ledger] += left
        if ledger == Ledger.CREDITS and expires_at is not None:
            ends[expires_at] = ends.get(expires_at, 0) + left
    first = min(ends, default=None)
    return Stored(
        Money(sums[Ledger.MONEY], currency), sums[Ledger.CREDITS], first, ends[first] if first else 0
    )


def _lasting(now: datetime.datetime) -> Q:
    return Q(expires_at=None) | Q(expires_at__gt=now)


# --- what of a cart it pays for ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """How a cart is to be paid: by credits, by balance, and what is left for another method."""

    credits: int
    credits_worth: Money
    covers: tuple[tuple[int, int], ...]  # (line, pieces), lines as the quote counts them
    balance: Money
    rest: Money


def plan(
    cart: Cart,
    priced: Quote,
    payments: Sequence[Payment],
    *,
    units: int,
    balance: Money,
    least: Money | None = None,
) -> Plan:
    """Say how far so many credits and so much balance go for a cart, after the payments that it has.

    Credits pay for whole pieces of lines of services, with their taxes; never for goods, passes or tips.
    Balance pays for anything but gift cards, which would be money for money. `least` is what the other method
    takes at least: rather a little less of the balance than a rest that no card can pay.
    """
    zero = Money.zero(cart.currency)
    lines = lines_of(cart)
    counting = [payment for payment in payments if payment.state in COMMITTED and not payment.is_released]
    due = priced.totals.total - _sum(counting, cart.currency)
    pieces, used, worth = _covered_by_credits(lines, priced, counting, units=units, due=due)
    due -= worth
    most = due
    gift_cards = sum(
        (
            part.amount - part.discount + part.sales_tax + part.additional_tax
            for line, part in zip(lines, priced.totals.lines, strict=True)
            if line.item_type == ItemType.GIFT_CARD
        ),
        zero,
    )
    if gift_cards:  # they have to be paid by other means: leave at least so much for these
        others = [payment for payment in counting if payment.method not in (Method.BALANCE, Method.CREDITS)]
        most = max(due - max(gift_cards - _sum(others, cart.currency), zero), zero)
    spent = min(balance, most)
    rest = due - spent
    if least is not None and zero < rest < least:
        spent = max(spent - (least - rest), zero)
        rest = due - spent
    return Plan(used, worth, tuple(pieces), spent, rest)


def _sum(payments: Iterable[Payment], currency: str) -> Money:
    return Money(sum(payment.amount_minor for payment in payments), currency)


def _covered_by_credits(
    lines: Sequence[CartLine], priced: Quote, counting: Sequence[Payment], *, units: int, due: Money
) -> tuple[list[tuple[int, int]], int, Money]:
    """Say which pieces so many credits pay for, how many are used, and what these pieces come to."""
    done: Counter[int] = Counter()
    for payment in counting:
        for index, count in payment.covers:
            done[index] += count
    pieces: list[tuple[int, int]] = []
    used, worth = 0, Money.zero(due.currency)
    for index, (line, part) in enumerate(zip(lines, priced.totals.lines, strict=True)):
        if line.item_type not in CREDIT_TYPES or not line.credit_price:
            continue
        whole = part.amount - part.discount + part.sales_tax + part.additional_tax
        count = 0
        for each in whole.split([1] * line.quantity)[done[index] :]:
            if not each or used + line.credit_price > units or worth + each > due:
                break
            used, worth, count = used + line.credit_price, worth + each, count + 1
        if count:
            pieces.append((index, count))
    return pieces, used, worth


# --- the pages --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Account:
    """One customer in one ledger: every balance with its newest lines, and what ends when."""

    customer: Profile
    balances: Sequence[LedgerBalance]
    entries: Sequence[LedgerEntry]
    lots: Sequence[LedgerLot]


def customer(business: Business, profile_id: int) -> Profile | None:
    """Return a customer of the business."""
    return Profile.objects.filter(business=business, role=Profile.Role.CUSTOMER, id=profile_id).first()


def account(business: Business, customer: Profile, ledger: Ledger, *, now: datetime.datetime) -> Account:
    """Return what a customer has in a ledger, newest lines first."""
    balances = list(
        LedgerBalance.objects.filter(business=business, customer=customer, ledger=ledger).order_by("currency")
    )
    entries = LedgerEntry.objects.filter(balance__in=balances).order_by("-at", "-id")
    lots = LedgerLot.objects.filter(_lasting(now), balance__in=balances, taken__lt=F("amount"))
    newest = list(
        entries.select_related("balance", "payment__order", "order_line__order", "refund")[:MOST_ENTRIES]
    )
    _name_staff(business, newest)
    return Account(
        customer,
        balances,
        newest,
        list(lots.order_by(F("expires_at").asc(nulls_last=True), "id")[:MOST_ENTRIES]),
    )


def _name_staff(business: Business, entries: list[LedgerEntry]) -> None:
    """Write names where the lines, as they were read, say "staff 12": who looks at them knows people by name."""
    ids = {int(entry.actor[6:]) for entry in entries if entry.actor.startswith("staff ")}
    people = Profile.objects.filter(business=business, id__in=ids).values_list("id", "name")
    names = {f"staff {profile_id}": name for profile_id, name in people}
    for entry in entries:
        entry.actor = names.get(entry.actor, entry.actor)


def largest(business: Business, ledger: Ledger, *, limit: int = 20) -> list[LedgerBalance]:
    """Return who has the most stored, for a page that nobody was searched on."""
    rows = LedgerBalance.objects.filter(
        business=business, ledger=ledger, amount__gt=0, customer__isnull=False
    )
    return list(rows.select_related("customer").order_by("-amount", "id")[:limit])


def unclaimed(business: Business, ledger: Ledger, *, limit: int = 20) -> list[OrderLine]:
    """Return lines that guests bought, did not give back, and that gave nobody anything yet, newest first."""
    giving = Q(gives_minor__gt=0) if ledger == Ledger.MONEY else Q(gives_credits__gt=0)
    paid = Payment.objects.filter(order=OuterRef("order"), amount_received_minor__gt=0).exclude(
        method__in=WITHOUT_MONEY
    )
    lines = OrderLine.objects.filter(
        ~Exists(paid) | Exists(paid.filter(refunded_minor__lt=F("amount_received_minor"))),
        giving,
        order__business=business,
        order__customer=None,
        ledger_entries=None,
        refunded_quantity__lt=F("quantity"),
    )
    return list(lines.select_related("order").order_by("-order__created_at", "-id")[:limit])
