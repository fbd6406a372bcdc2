"""What customers have stored: set aside, spent, given back, bought, adjusted, taken back, expired.

Every change is an entry, written under the lock of its balance in the transaction of what it tells. The database
refuses a balance below zero, an entry that does not continue the one before it, and a second entry for the same
cause; so everything here may run twice and at once.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.models import (
    Cart,
    EntryKind,
    Ledger,
    LedgerBalance,
    LedgerEntry,
    LedgerLot,
    Method,
    Order,
    OrderLine,
    Payment,
    Refund,
)
from web.payments.models.payment import WITHOUT_MONEY
from web.payments.money import Money
from web.payments.states import PaymentState

LEDGER_OF_METHOD = {Method.BALANCE: Ledger.MONEY, Method.CREDITS: Ledger.CREDITS}
LARGEST_UNITS = 100_000  # service credits in one entry; more is a slip of the finger
LARGEST_MINOR = 10**12
LONGEST_REASON = 500
_AMOUNT = F("amount")
_ENDS_SOONEST = F("expires_at").asc(nulls_last=True)


class BalanceInsufficient(Refusal):
    """`details["free"]` says how much there is."""

    code, kind = "balance_insufficient", Kind.CONFLICT
    message = _("There is not enough on the customer's balance.")
    next_step = _("Nothing was taken. Use less of it, or pay in another way.")


class CreditsInsufficient(Refusal):
    code, kind = "credits_insufficient", Kind.CONFLICT
    message = _("The customer does not have enough service credits.")
    next_step = _("Nothing was taken. Use fewer, or pay in another way.")


class NobodysLedger(Refusal):
    code, kind = "customer_needed", Kind.CONFLICT
    message = _("Only a customer with an account has a balance and service credits.")
    next_step = _("No money moved. Choose the customer first.")


class CustomerNotFound(Refusal):
    code, kind = "customer_not_found", Kind.MISSING
    message = _("We cannot find this customer.")
    next_step = _("Nothing was changed. Search again.")


class BadAdjustment(Refusal):
    code = "bad_adjustment"
    message = _("This is not an amount that a balance can be changed by.")
    next_step = _("Nothing was changed. Enter an amount other than zero, with a sign if it is taken away.")


class ReasonNeeded(Refusal):
    code = "reason_needed"
    message = _("A change of what a customer has stored needs a reason.")
    next_step = _("Nothing was changed. Say why, and try again.")


class FormReused(Refusal):
    code, kind = "form_reused", Kind.CONFLICT
    message = _("This form was already used for another customer.")
    next_step = _("Nothing was changed. Reload the page and try again.")


class NothingToClaim(Refusal):
    code, kind = "nothing_to_claim", Kind.CONFLICT
    message = _("This purchase has nothing left to give to a customer.")
    next_step = _("Nothing was changed. Look at the customer's history.")


class StoredIsSetAside(Refusal):
    code, kind = "stored_is_set_aside", Kind.CONFLICT
    message = _("What this purchase gave is set aside for a sale that is being paid.")
    next_step = _("No money moved. Finish or cancel that sale first; then refund this one.")


# --- the book ---------------------------------------------------------------------------------------


class Book:
    """All balances of one customer, locked; the only thing that writes entries."""

    def __init__(
        self,
        *,
        business_id: int,
        customer_id: int | None,
        now: datetime.datetime,
        actor: str,
        currency: str = "",
        ids: Iterable[int] = (),
    ) -> None:
        """Lock what the customer has; `currency` names the money that is about to be touched, if any is."""
        self.business_id, self.now, self.actor = business_id, now, actor
        ids = set(ids)
        owners = set(
            LedgerBalance.objects.filter(id__in=ids, customer_id__isnull=False).values_list(
                "customer_id", flat=True
            )
        )
        if customer_id is not None:
            owners.add(customer_id)
        locks.customers(owners)
        if customer_id is not None:
            wanted = [(Ledger.CREDITS, "")] + ([(Ledger.MONEY, currency)] if currency else [])
            LedgerBalance.objects.bulk_create(
                [
                    LedgerBalance(
                        business_id=business_id, customer_id=customer_id, ledger=ledger, currency=code
                    )
                    for ledger, code in wanted
                ],
                ignore_conflicts=True,
            )
        rows = locks.balances(customer_ids=owners, ids=ids)
        self.by_id = {row.id: row for row in rows}
        self._by_kind = {
            (row.ledger, row.currency): row
            for row in rows
            if customer_id is not None and row.customer_id == customer_id
        }

    def balance(self, ledger: str, currency: str = "") -> LedgerBalance:
        return self._by_kind[ledger, currency if ledger == Ledger.MONEY else ""]

    def bring(
        self,
        balance: LedgerBalance,
        amount: int,
        kind: str,
        *,
        expires_at: datetime.datetime | None,
        **links: Any,
    ) -> LedgerEntry:
        """Add to a balance; what comes is a lot of its own, with its end."""
        entry = self._write(balance, kind, amount=amount, **links)
        LedgerLot.objects.create(balance=balance, entry=entry, amount=amount, expires_at=expires_at)
        return entry

    def take(self, balance: LedgerBalance, amount: int, kind: str, **links: Any) -> LedgerEntry:
        """Take from a balance for good, out of the lots that end soonest."""
        drawn = self._draw(balance, amount)
        return self._write(balance, kind, amount=-amount, lots=drawn, **links)

    def take_from_lot(self, lot: LedgerLot, amount: int, kind: str, **links: Any) -> LedgerEntry:
        """Take from a balance for good, out of one lot."""
        lot.taken += amount
        lot.save(update_fields=["taken"])
        balance = self.by_id[lot.balance_id]
        return self._write(balance, kind, amount=-amount, lots={str(lot.id): amount}, **links)

    def reserve(self, balance: LedgerBalance, amount: int, payment: Payment) -> LedgerEntry:
        """Set aside for a payment, out of the lots that end soonest."""
        drawn = self._draw(balance, amount)
        return self._write(balance, EntryKind.RESERVED, reserved=amount, lots=drawn, payment=payment)

    def spend(self, reserved: LedgerEntry) -> LedgerEntry:
        """Spend what an entry had set aside."""
        balance = self.by_id[reserved.balance_id]
        amount = -reserved.reserved
        return self._write(
            balance,
            EntryKind.SPENT,
            amount=amount,
            reserved=amount,
            lots=reserved.lots,
            payment=reserved.payment,
        )

    def release(self, reserved: LedgerEntry) -> LedgerEntry:
        """Give back what an entry had set aside, into the lots that it came from."""
        balance = self.by_id[reserved.balance_id]
        lots = LedgerLot.objects.filter(id__in=[int(lot) for lot in reserved.lots])
        for lot in lots:
            lot.taken -= reserved.lots[str(lot.id)]
            lot.save(update_fields=["taken"])
        return self._write(
            balance,
            EntryKind.RELEASED,
            reserved=-reserved.reserved,
            lots=reserved.lots,
            payment=reserved.payment,
        )

    def put_back(self, taken: LedgerEntry, reason: str) -> LedgerEntry:
        """Undo what an entry took back, into the lots that it came from."""
        for lot in LedgerLot.objects.filter(id__in=[int(lot) for lot in taken.lots]):
            lot.taken -= taken.lots[str(lot.id)]
            lot.save(update_fields=["taken"])
        return self._write(
            self.by_id[taken.balance_id],
            EntryKind.ADJUSTED,
            amount=-taken.amount,
            lots=taken.lots,
            refund=taken.refund,
            order_line=taken.order_line,
            reason=reason,
        )

    def expire(self, balance: LedgerBalance) -> int:
        """Write off the lots of a balance that have ended; return how much went."""
        gone = 0
        ended = balance.lots.filter(expires_at__lte=self.now, taken__lt=_AMOUNT).order_by("expires_at", "id")
        for lot in ended:
            gone += lot.left
            self.take_from_lot(lot, lot.left, EntryKind.EXPIRED)
        return gone

    def _draw(self, balance: LedgerBalance, amount: int) -> dict[str, int]:
        """Take an amount out of lots: those that end first, then the oldest. Too little is a refusal."""
        self.expire(balance)
        if amount > balance.free:
            refusal = BalanceInsufficient if balance.ledger == Ledger.MONEY else CreditsInsufficient
            raise refusal(free=balance.free)
        drawn: dict[str, int] = {}
        rest = amount
        lots = balance.lots.filter(taken__lt=_AMOUNT).order_by(_ENDS_SOONEST, "id")
        for lot in lots:
            part = min(lot.left, rest)
            lot.taken += part
            lot.save(update_fields=["taken"])
            drawn[str(lot.id)] = part
            rest -= part
            if not rest:
                break
        return drawn

    def _write(
        self, balance: LedgerBalance, kind: str, *, amount: int = 0, reserved: int = 0, **rest: Any
    ) -> LedgerEntry:
        balance.amount += amount
        balance.reserved += reserved
        balance.entries += 1
        return LedgerEntry.objects.create(
            balance=balance,
            business_id=self.business_id,
            number=balance.entries,
            kind=kind,
            amount=amount,
            reserved=reserved,
            amount_after=balance.amount,
            reserved_after=balance.reserved,
            actor=self.actor,
            at=self.now,
            **rest,
        )


# --- a sale: set aside, spent, given back -----------------------------------------------------------


def hold(cart: Cart, *, now: datetime.datetime, actor: str) -> None:
    """Lock what the cart's customer has stored until the transaction ends."""
    Book(
        business_id=cart.business_id,
        customer_id=cart.customer_id,
        currency=cart.currency,
        now=now,
        actor=actor,
    )


def reserve(payment: Payment, *, now: datetime.datetime, actor: str) -> None:
    """Set aside what a payment of a sale is to be made with; refused where there is not enough."""
    if payment.customer_id is None:
        raise NobodysLedger
    book = Book(
        business_id=payment.business_id,
        customer_id=payment.customer_id,
        currency=payment.currency,
        now=now,
        actor=actor,
    )
    ledger = LEDGER_OF_METHOD[Method(payment.method)]
    amount = payment.credits if ledger == Ledger.CREDITS else payment.amount_minor
    book.reserve(book.balance(ledger, payment.currency), amount, payment)


def spend(payments: Sequence[Payment], *, now: datetime.datetime, actor: str) -> None:
    """Spend what payments of one sale had set aside."""
    for book, entry in _set_aside(payments, now=now, actor=actor):
        book.spend(entry)


def release(payments: Sequence[Payment], *, now: datetime.datetime, actor: str) -> None:
    """Give back what payments of one sale had set aside."""
    for book, entry in _set_aside(payments, now=now, actor=actor):
        book.release(entry)


def _set_aside(
    payments: Sequence[Payment], *, now: datetime.datetime, actor: str
) -> list[tuple[Book, LedgerEntry]]:
    entries = list(
        LedgerEntry.objects.filter(payment__in=payments, kind=EntryKind.RESERVED).select_related("payment")
    )
    if not entries:
        return []
    book = Book(
        business_id=payments[0].business_id,
        customer_id=None,  # by their rows: the customer may have been erased meanwhile
        ids=[entry.balance_id for entry in entries],
        now=now,
        actor=actor,
    )
    return [(book, entry) for entry in entries]


# --- what a sale gives: gift cards, passes ----------------------------------------------------------


def fulfil(order: Order, lines: Sequence[OrderLine], *, now: datetime.datetime, actor: str) -> None:
    """Credit the buyer with what the order's lines give, in the order's transaction.

    A guest has no ledger: what the line gives waits until staff give it to a customer (`claim`).
    """
    giving = [line for line in lines if line.gives_minor or line.gives_credits]
    if giving and order.customer_id is not None:
        _give(order, giving, customer_id=order.customer_id, now=now, actor=actor)


@transaction.atomic
def claim(
    *, business: Business, line_id: int, customer_id: int, now: datetime.datetime, staff: Profile
) -> None:
    """Give what a guest's line gives to a customer; once, whoever presses how often."""
    customer = _customer(business, customer_id)
    line = OrderLine.objects.select_related("order").filter(id=line_id, order__business=business).first()
    if line is None or not (line.gives_minor or line.gives_credits):
        raise NothingToClaim
    reference = line.order.cart_reference
    locks.sale(reference)  # two who give it away take turns
    line.refresh_from_db()  # and a refund that was asked for meanwhile is seen
    paid = [
        payment
        for payment in Payment.objects.filter(order=line.order)
        if payment.method not in WITHOUT_MONEY and payment.amount_received_minor
    ]
    is_given_back = bool(paid) and all(
        payment.refunded_minor >= payment.amount_received_minor for payment in paid
    )
    if line.ledger_entries.exists() or is_given_back or line.refunded_quantity >= line.quantity:
        raise NothingToClaim
    _give(line.order, [line], customer_id=customer.id, now=now, actor=history.staff(staff.id))


def _give(
    order: Order, lines: Sequence[OrderLine], *, customer_id: int, now: datetime.datetime, actor: str
) -> None:
    book = Book(
        business_id=order.business_id, customer_id=customer_id, currency=order.currency, now=now, actor=actor
    )
    for line in lines:
        ends = None if line.gives_days is None else now + datetime.timedelta(days=line.gives_days)
        for ledger, each in ((Ledger.MONEY, line.gives_minor), (Ledger.CREDITS, line.gives_credits)):
            if each:
                balance = book.balance(ledger, order.currency)
                amount = each * (line.quantity - line.refunded_quantity)
                book.bring(balance, amount, EntryKind.SOLD, expires_at=ends, order_line=line)
                _tell(order, now=now, actor=actor, data={"ledger": ledger, "amount": amount, "line": line.id})


def _tell(order: Order, *, now: datetime.datetime, actor: str, data: dict[str, object]) -> None:
    history.record(
        history.STORED,
        business_id=order.business_id,
        cart_reference=order.cart_reference,
        payment=None,
        actor=actor,
        now=now,
        data=data,
    )


# --- refunds ----------------------------------------------------------------------------------------


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
            _tell(
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


# --- by hand, and by time ---------------------------------------------------------------------------


@transaction.atomic
def adjust(
    *,
    business: Business,
    customer_id: int,
    change: Money | int,
    reason: str,
    form_token: str,
    now: datetime.datetime,
    staff: Profile,
    expires_at: datetime.datetime | None = None,
) -> LedgerEntry:
    """Change what a customer has by hand: money where `change` is Money, else so many service credits.

    The same form again returns the entry that it made.
    """
    reason = " ".join(reason.split())[:LONGEST_REASON]
    ledger, amount = (Ledger.MONEY, change.amount) if isinstance(change, Money) else (Ledger.CREDITS, change)
    currency = change.currency if isinstance(change, Money) else ""
    if not 0 < abs(amount) <= (LARGEST_MINOR if currency else LARGEST_UNITS):
        raise BadAdjustment
    if not reason:
        raise ReasonNeeded
    customer = _customer(business, customer_id)
    book = Book(
        business_id=business.id,
        customer_id=customer.id,
        currency=currency,
        now=now,
        actor=history.staff(staff.id),
    )
    known = LedgerEntry.objects.filter(business=business, form_token=form_token).first()
    if known is not None:  # looked for under the lock: the same form, twice at once
        if known.balance_id != book.balance(ledger, currency).id:
            raise FormReused
        return known
    balance = book.balance(ledger, currency)
    if amount > 0:
        return book.bring(
            balance, amount, EntryKind.ADJUSTED, expires_at=expires_at, reason=reason, form_token=form_token
        )
    return book.take(balance, -amount, EntryKind.ADJUSTED, reason=reason, form_token=form_token)


def _customer(business: Business, customer_id: int) -> Profile:
    found = Profile.objects.filter(business=business, role=Profile.Role.CUSTOMER, id=customer_id).first()
    if found is None:
        raise CustomerNotFound
    return found


def expire_due(*, limit: int, now: datetime.datetime) -> int:
    """Write off what has ended, a balance at a time; return how many balances were looked at."""
    due = (
        LedgerLot.objects.filter(expires_at__lte=now, taken__lt=_AMOUNT)
        .values_list("balance_id", flat=True)
        .distinct()[:limit]
    )
    rows = list(due)
    for balance_id in rows:
        with transaction.atomic():
            business_id = LedgerBalance.objects.values_list("business_id", flat=True).get(id=balance_id)
            book = Book(
                business_id=business_id, customer_id=None, ids=[balance_id], now=now, actor=history.WORKER
            )
            book.expire(book.by_id[balance_id])
    return len(rows)
