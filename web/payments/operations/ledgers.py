"""What customers have stored: set aside, spent, given back, bought, adjusted, taken back, expired.

Every change is an entry, written under the lock of its balance in the transaction of what it tells. The database
refuses a balance below zero, an entry that does not continue the one before it, and a second entry for the same
cause; so everything here may run twice and at once.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

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
)
from web.payments.models.payment import WITHOUT_MONEY
from web.payments.money import Money
from web.payments.operations.ledger_book import Book

LEDGER_OF_METHOD = {Method.BALANCE: Ledger.MONEY, Method.CREDITS: Ledger.CREDITS}
LARGEST_UNITS = 100_000  # service credits in one entry; more is a slip of the finger
LARGEST_MINOR = 10**12
LONGEST_REASON = 500


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
                tell(order, now=now, actor=actor, data={"ledger": ledger, "amount": amount, "line": line.id})


def tell(order: Order, *, now: datetime.datetime, actor: str, data: dict[str, object]) -> None:
    """Write down in an order's history what it did to what somebody has stored."""
    history.record(
        history.STORED,
        business_id=order.business_id,
        cart_reference=order.cart_reference,
        payment=None,
        actor=actor,
        now=now,
        data=data,
    )


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
        LedgerLot.objects.filter(expires_at__lte=now, taken__lt=F("amount"))
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
