"""What a refund does to what is stored: given there, what a sale gave taken back, put back where a refund fails."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.payments.errors import Kind, Refusal
from web.payments.models import (
    EntryKind,
    Ledger,
    LedgerEntry,
    LedgerLot,
    Method,
    Order,
    OrderLine,
    Payment,
    Refund,
)
from web.payments.operations.ledger_book import Book
from web.payments.operations.ledgers import (
    LARGEST_MINOR,
    LARGEST_UNITS,
    LEDGER_OF_METHOD,
    LONGEST_REASON,
    BadAdjustment,
    NobodysLedger,
    tell,
)
from web.payments.states import PaymentState


class StoredIsSetAside(Refusal):
    code, kind = "stored_is_set_aside", Kind.CONFLICT
    message = _("What this purchase gave is set aside for a sale that is being paid.")
    next_step = _("No money moved. Finish or cancel that sale first; then refund this one.")


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What a refund took back of a line that had given something: all of it, or what was not spent."""

    line: OrderLine
    ledger: str
    amount: int  # minor units or credits
    given: int

    @property
    def spent(self) -> int:
        """What could not be taken back."""
        return self.given - self.amount


@transaction.atomic
def credit(
    *,
    refund: Refund,
    now: datetime.datetime,
    actor: str,
    units: int | None = None,
    expires_at: datetime.datetime | None = None,
) -> LedgerEntry | None:
    """Give a refund to the customer's ledger, in the refund's transaction; again finds the entry that is there.

    To the balance: the refund's amount. As service credits: `units` of them. "To the original method" of a
    payment by balance or credits: where it came from, credits in proportion, for as long as the newest lasted.
    """
    payment = refund.payment
    known = LedgerEntry.objects.filter(refund=refund, kind=EntryKind.CREDITED).first()
    if known is not None:
        return known
    customer_id = payment.customer_id if payment.order is None else payment.order.customer_id
    if customer_id is None:
        raise NobodysLedger
    ledger: str = {
        Refund.Destination.BALANCE: Ledger.MONEY,
        Refund.Destination.CREDITS: Ledger.CREDITS,
    }.get(Refund.Destination(refund.destination)) or LEDGER_OF_METHOD[Method(payment.method)]
    if ledger == Ledger.MONEY:
        amount = refund.amount_minor
    elif units is not None:
        amount = units
    else:
        amount = credits_of(payment, refund.amount_minor)
        if not amount:  # so small a part of the payment is not yet a credit; the parts add up
            return None
    if not 0 < amount <= (LARGEST_MINOR if ledger == Ledger.MONEY else LARGEST_UNITS):
        raise BadAdjustment
    book = Book(
        business_id=refund.business_id,
        customer_id=customer_id,
        currency=refund.currency,
        now=now,
        actor=actor,
    )
    if expires_at is None and refund.destination == Refund.Destination.METHOD:
        expires_at = _end_of_spent(payment, now=now)
    balance = book.balance(ledger, refund.currency)
    return book.bring(
        balance,
        amount,
        EntryKind.CREDITED,
        expires_at=expires_at,
        refund=refund,
        reason=refund.reason[:LONGEST_REASON],
    )


def credits_of(payment: Payment, amount_minor: int) -> int:
    """Return how many service credits the newest refund of a payment, which it counts already, gives back.

    In proportion to all that was given back so far, rounded: whatever the parts, no more comes back than was spent.
    """
    if not payment.amount_minor:
        return payment.credits

    def so_far(minor: int) -> int:
        return (2 * payment.credits * minor + payment.amount_minor) // (2 * payment.amount_minor)

    return so_far(payment.refunded_minor) - so_far(payment.refunded_minor - amount_minor)


GRACE = datetime.timedelta(days=14)  # what is given back must be of use, even if the pass has ended since


def _end_of_spent(payment: Payment, *, now: datetime.datetime) -> datetime.datetime | None:
    """Say when what a payment had spent would have ended: the latest of its lots, and not before a while."""
    spent = LedgerEntry.objects.filter(payment=payment, kind=EntryKind.RESERVED).first()
    if spent is None:
        return None
    ends = list(
        LedgerLot.objects.filter(id__in=[int(lot) for lot in spent.lots]).values_list("expires_at", flat=True)
    )
    known = [end for end in ends if end is not None]
    if len(known) < len(ends) or not known:
        return None
    return max(*known, now + GRACE)


@transaction.atomic
def take_back(
    *,
    order: Order,
    refund: Refund,
    now: datetime.datetime,
    actor: str,
    shares: Mapping[int, Fraction] | None = None,
    is_told: bool = False,
) -> list[TakenBack]:
    """Take back what an order's gift cards and passes gave, as far as it is not spent; say what was.

    `shares` says which lines, and what part of what each gave (`{line id: Fraction(2, 3)}`, rounded up); without
    it, all of all lines. Call it in the refund's transaction, with the sale locked; the same refund takes back from
    a line once. What is set aside for another sale is not spent: refused until that is over, unless we are told of
    a refund that was made at Stripe (`is_told`); then what is free is taken.
    """
    wanted = OrderLine.objects.filter(order=order)
    if shares is not None:
        wanted = wanted.filter(id__in=list(shares))
    lots = list(
        LedgerLot.objects.filter(entry__order_line__in=wanted, entry__kind=EntryKind.SOLD).values_list(
            "id", "balance_id"
        )
    )
    if not lots:
        return []
    book = Book(
        business_id=order.business_id, customer_id=None, ids={row for _, row in lots}, now=now, actor=actor
    )
    taken = []
    fresh = LedgerLot.objects.filter(id__in=[lot for lot, _ in lots]).select_related("entry__order_line")
    for lot in fresh.order_by("id"):
        line, balance = lot.entry.order_line, book.by_id[lot.balance_id]
        assert line is not None
        before = LedgerEntry.objects.filter(order_line=line, kind=EntryKind.TAKEN_BACK, refund=refund)
        if before.exists():
            continue
        due = lot.amount
        if shares is not None:  # of the pieces that were sold: a guest who claims late gets fewer of them
            each = line.gives_minor if balance.ledger == Ledger.MONEY else line.gives_credits
            due = math.ceil(each * line.quantity * shares[line.id])
        left = min(lot.left, due)
        if left < due and not is_told and _is_set_aside(lot):
            raise StoredIsSetAside
        if left > 0:
            book.take_from_lot(lot, left, EntryKind.TAKEN_BACK, order_line=line, refund=refund)
            tell(
                order, now=now, actor=actor, data={"ledger": balance.ledger, "amount": -left, "line": line.id}
            )
        taken.append(TakenBack(line, balance.ledger, left, due))
    return taken


def _is_set_aside(lot: LedgerLot) -> bool:
    """Return whether a payment that may still come to nothing has something of a lot, whose balance is locked."""
    return LedgerEntry.objects.filter(
        balance_id=lot.balance_id,
        kind=EntryKind.RESERVED,
        payment__state=PaymentState.RESERVED,
        lots__has_key=str(lot.id),
    ).exists()


def unspent(order: Order, lines: Iterable[int] | None = None) -> list[TakenBack]:
    """Say what `take_back` would take now: for the page that asks whether to refund."""
    lots = LedgerLot.objects.filter(entry__order_line__order=order, entry__kind=EntryKind.SOLD)
    if lines is not None:
        lots = lots.filter(entry__order_line__in=list(lines))
    return [
        TakenBack(lot.entry.order_line, lot.balance.ledger, lot.left, lot.amount)
        for lot in lots.select_related("entry__order_line", "balance").order_by("id")
        if lot.entry.order_line is not None
    ]


@transaction.atomic
def put_back(*, refund: Refund, now: datetime.datetime, actor: str) -> int:
    """Undo a `take_back` whose refund failed after all; return how many entries were put back.

    It goes into the lots that it came from: the next refund has to find it there.
    """
    entries = list(
        LedgerEntry.objects.filter(refund=refund, kind=EntryKind.TAKEN_BACK).select_related(
            "order_line", "refund"
        )
    )
    if not entries or LedgerEntry.objects.filter(refund=refund, kind=EntryKind.ADJUSTED).exists():
        return 0
    book = Book(
        business_id=refund.business_id,
        customer_id=None,
        ids={entry.balance_id for entry in entries},
        now=now,
        actor=actor,
    )
    if LedgerEntry.objects.filter(refund=refund, kind=EntryKind.ADJUSTED).exists():
        return 0  # another one did, while we waited for the lock
    for entry in entries:
        book.put_back(entry, "the refund failed")
    return len(entries)
