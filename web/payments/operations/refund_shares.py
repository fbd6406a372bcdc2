"""How much is to be given back, and of which payment: pure arithmetic, so that no cent is lost or given twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from web.payments.models import OrderLine, Payment
from web.payments.money import Money

# The said order in which an order's payments are given back: what a card paid goes back to the card first, cash
# after it, and what the customer had stored here last. Within a kind, the older payment first.
_LAST = ("cash", "balance", "credits")


@dataclass(frozen=True, slots=True)
class Whole:
    """All that is left."""


@dataclass(frozen=True, slots=True)
class Part:
    """An amount."""

    amount: Money


@dataclass(frozen=True, slots=True)
class Percent:
    """So many percent of what was paid, rounded half up."""

    rate: Decimal


@dataclass(frozen=True, slots=True)
class Items:
    """So many of each order line (by its id), with their share of discount and taxes; never of the tip."""

    quantities: Mapping[int, int]


Share = Whole | Part | Percent | Items


@dataclass(slots=True)
class LineShare:
    """What is given back for one order line."""

    line: OrderLine
    quantity: int
    amount_minor: int


@dataclass(slots=True)
class Portion:
    """What one payment gives back, and for which lines."""

    payment: Payment
    amount: Money
    lines: list[LineShare] = field(default_factory=list)


def in_order(payments: Sequence[Payment]) -> list[Payment]:
    """Return the payments in the order in which they are given back."""
    return sorted(
        payments, key=lambda one: (_LAST.index(one.method) + 1 if one.method in _LAST else 0, one.id)
    )


def line_share(line: OrderLine, quantity: int) -> LineShare:
    """Return what the next `quantity` of a line cost. All of them together cost exactly the line's total.

    The last ones take what is left, so that a cent of rounding is neither lost nor given twice.
    """
    left = line.total_minor - line.refunded_minor
    if line.refunded_quantity + quantity == line.quantity:
        return LineShare(line, quantity, left)
    whole = Money(line.total_minor, line.order.currency)
    one_by_one = whole.split([1] * line.quantity)
    given = slice(line.refunded_quantity, line.refunded_quantity + quantity)
    return LineShare(line, quantity, min(left, sum(part.amount for part in one_by_one[given])))


def distribute(amount: Money, payments: Sequence[Payment], lines: Sequence[LineShare] = ()) -> list[Portion]:
    """Spread an amount over payments in their said order, each up to what is left of it.

    The caller has checked that all of them together have as much. Lines follow the money: one that two payments
    share is named in both, its quantity in the first.
    """
    portions = []
    rest = amount
    for payment in in_order(payments):
        part = min(rest, payment.refundable)
        if part:
            portions.append(Portion(payment, part))
            rest -= part
    waiting = [LineShare(share.line, share.quantity, share.amount_minor) for share in lines]
    for portion in portions:
        room = portion.amount.amount
        while waiting and (room or not waiting[0].amount_minor):
            share = waiting[0]
            taken = min(room, share.amount_minor)
            portion.lines.append(LineShare(share.line, share.quantity, taken))
            share.amount_minor, share.quantity = share.amount_minor - taken, 0
            room -= taken
            if not share.amount_minor:
                waiting.pop(0)
    return portions
