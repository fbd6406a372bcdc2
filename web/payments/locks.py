"""Every SELECT … FOR UPDATE of the ledger, so that the order of locks can be read in one place.

The order: payment settings, location (closing a shift), cart, payment, what hangs on a payment, customer, ledger
balance, job; ascending ids within each. A payment belongs to one cart reference, so a *sale* (a cart reference with
all that hangs on it) is locked as a tree; whoever needs several sales takes them in ascending order of their
references. What hangs on a payment (refund, order line, attempt) is locked by nobody who has not locked that first, and
so in any order among itself. A reader is locked by whoever has no sale locked, before the places in its queue.
NO KEY: inserting a row that points at a locked one does not have to wait.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import Q, QuerySet

from web.core.compiled import compiled
from web.core.models import Location, Profile
from web.payments.models import (
    Attempt,
    Card,
    CardSetup,
    Cart,
    ConnectionToken,
    Drift,
    Job,
    LedgerBalance,
    Operation,
    Order,
    OrderLine,
    Payment,
    PaymentSettings,
    Reader,
    ReaderAction,
    Refund,
)
from web.payments.models.payment import WITHOUT_MONEY
from web.payments.states import FINAL_ACTION, LIVE, OPEN_ATTEMPT, PaymentState

if TYPE_CHECKING:
    from web.payments.writes import Writes


def _at_once() -> Writes:
    from web.payments.writes import AtOnce  # which writes jobs, and those are locked here

    return AtOnce()


@dataclass(slots=True)
class Sale:
    """All rows of one cart reference, locked. Either the cart or the order is there, or neither."""

    reference: uuid.UUID
    cart: Cart | None
    order: Order | None
    payments: list[Payment] = field(default_factory=list)
    writes: Writes = field(default_factory=_at_once)  # where its changes are stored, or gathered

    @property
    def live(self) -> list[Payment]:
        return [payment for payment in self.payments if payment.state in LIVE]

    @property
    def succeeded(self) -> list[Payment]:
        """Payments whose money is there for this sale: what was given back before there was an order is not."""
        return [
            payment
            for payment in self.payments
            if payment.state == PaymentState.SUCCEEDED and not payment.is_released
        ]

    @property
    def reserved(self) -> list[Payment]:
        """What is set aside of the customer's stored money and credits; it is spent with the order."""
        return [payment for payment in self.payments if payment.state == PaymentState.RESERVED]

    @property
    def held(self) -> list[Payment]:
        return [
            payment
            for payment in self.payments
            if payment.state == PaymentState.HELD and not payment.is_released
        ]

    @property
    def being_refunded(self) -> bool:
        """Whether money of this sale is, or is being, given back."""
        return any(payment.refunded_minor for payment in self.succeeded)

    @property
    def is_all_given_back(self) -> bool:
        """Whether money paid for this sale and nothing of it is left: then what it gave is taken back, too."""
        mine = [
            payment
            for payment in self.succeeded
            if payment.method not in WITHOUT_MONEY and payment.amount_received_minor
        ]
        return bool(mine) and not any(payment.refundable for payment in mine)

    def payment(self, payment_id: int) -> Payment:
        return next(payment for payment in self.payments if payment.id == payment_id)


def location(location_id: int) -> None:
    """Lock a location: its shifts are closed one after the other. Nothing else of the ledger takes this lock."""
    Location.objects.select_for_update(no_key=True).get(id=location_id)


def settings(business_id: int) -> PaymentSettings:
    """Lock a business's payment settings: two people who change them, or decide for the whole business, take turns."""
    return PaymentSettings.objects.select_for_update(no_key=True).get(business_id=business_id)


def erasure(business_id: int) -> bool:
    """Try to be the only one who erases a person of this business until the transaction ends.

    Not by a row's lock: an erasure may take minutes, and nobody else shall wait for it.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtext('erasure'), %s)", [business_id])
        (is_mine,) = cursor.fetchone()
    return bool(is_mine)


def cart(*, business_id: int, token: str) -> Cart | None:
    """Lock a business's cart by its secret address."""
    return _cart_at.first(business_id=business_id, token=token)


@compiled
def _cart_at(business_id: int, token: str) -> QuerySet[Cart]:
    return _carts().filter(business_id=business_id, token=token)


@compiled
def _cart_of(reference: uuid.UUID) -> QuerySet[Cart]:
    return _carts().filter(reference=reference)


def _carts() -> QuerySet[Cart]:
    """Lock carts, and read where they are: what one costs depends on its location's taxes."""
    return Cart.objects.select_for_update(no_key=True, of=("self",)).select_related("location")


@compiled
def _reference_at(business_id: int, token: str) -> QuerySet[Cart]:
    return Cart.objects.filter(business_id=business_id, token=token).only("reference")


def reference_of(*, business_id: int, token: str) -> uuid.UUID | None:
    """Return which sale a cart's secret address belongs to, to lock that; nothing is locked here."""
    cart = _reference_at.first(business_id=business_id, token=token)
    return None if cart is None else cart.reference


@compiled
def _payments_of(reference: uuid.UUID) -> QuerySet[Payment]:
    payments = Payment.objects.select_for_update(no_key=True).filter(cart_reference=reference)
    return payments.order_by("id")


def sale(reference: uuid.UUID) -> Sale:
    """Lock a sale. A cart that became an order while we waited shows as the order."""
    locked_cart = _cart_of.first(reference=reference)
    order = None if locked_cart else Order.objects.filter(cart_reference=reference).first()
    return Sale(reference, locked_cart, order, _payments_of.all(reference=reference))


def sales(references: Collection[uuid.UUID]) -> dict[uuid.UUID, Sale]:
    """Lock many sales, and then the customers that they belong to, before anything of them changes."""
    if not references:
        return {}
    locked = Cart.objects.select_for_update(no_key=True).filter(reference__in=references)
    carts = {cart.reference: cart for cart in locked.order_by("reference")}
    payments = list(
        Payment.objects.select_for_update(no_key=True)
        .filter(cart_reference__in=references)
        .order_by("cart_reference", "id")
    )
    rows: list[Cart | Payment] = [*carts.values(), *payments]
    customers({row.customer_id for row in rows if row.customer_id is not None})
    without_cart = set(references) - set(carts)
    orders = {order.cart_reference: order for order in Order.objects.filter(cart_reference__in=without_cart)}
    found = {each: Sale(each, carts.get(each), orders.get(each)) for each in references}
    for payment in payments:
        found[payment.cart_reference].payments.append(payment)
    return found


@compiled
def _reference_of_payment(payment: int) -> QuerySet[Payment]:
    return Payment.objects.filter(id=payment).only("cart_reference")


def sale_of_payment(payment_id: int) -> tuple[Sale, Payment]:
    """Lock the sale that a payment belongs to, and return both."""
    locked = sale(_reference_of_payment.get(payment=payment_id).cart_reference)
    return locked, locked.payment(payment_id)


def sale_of_refund(refund_id: int) -> tuple[Sale, Payment, Refund]:
    """Lock the sale that a refund belongs to, its payment and the refund, and return the three."""
    locked, payment = sale_of_payment(Refund.objects.values_list("payment_id", flat=True).get(id=refund_id))
    return locked, payment, refund(refund_id)


def refund(refund_id: int) -> Refund:
    """Lock a refund whose sale the caller has locked."""
    return Refund.objects.select_for_update(no_key=True).get(id=refund_id)


def refunds(payment_id: int) -> list[Refund]:
    """Lock every refund of a payment whose sale the caller has locked."""
    return list(Refund.objects.select_for_update(no_key=True).filter(payment_id=payment_id).order_by("id"))


def order_lines(order_id: int) -> list[OrderLine]:
    """Lock the lines of an order whose sale the caller has locked."""
    return list(OrderLine.objects.select_for_update(no_key=True).filter(order_id=order_id).order_by("id"))


def open_attempt(*, operation: Operation, payment_id: int, refund_id: int | None = None) -> Attempt | None:
    """Lock the one attempt that has no certain answer yet, if there is one."""
    if refund_id is None:
        return _open_attempt_of.first(operation=operation, payment=payment_id)
    return _open_attempts(operation, payment_id).filter(refund_id=refund_id).first()


def _open_attempts(operation: str, payment: int) -> QuerySet[Attempt]:
    attempts = Attempt.objects.select_for_update(no_key=True)
    return attempts.filter(operation=operation, payment=payment, state__in=OPEN_ATTEMPT)


@compiled
def _open_attempt_of(operation: str, payment: int) -> QuerySet[Attempt]:
    return _open_attempts(operation, payment).filter(refund=None)


def drift(drift_id: int) -> Drift:
    """Lock a difference between Stripe's books and ours. Nothing that money hangs on is locked with it."""
    return Drift.objects.select_for_update(no_key=True).get(id=drift_id)


def reader(reader_id: int) -> Reader:
    """Lock a reader: whose turn is next is decided by one at a time. Never while a sale is locked."""
    return Reader.objects.select_for_update(no_key=True).get(id=reader_id)


def connection_token(*, business_id: int, public_id: uuid.UUID) -> ConnectionToken | None:
    """Lock a connection token: its secret is given out once."""
    tokens = ConnectionToken.objects.select_for_update(no_key=True)
    return tokens.filter(business_id=business_id, public_id=public_id).first()


def unfinished_action(payment_id: int) -> ReaderAction | None:
    """Lock the place where a payment is taken, if it has one at a reader. Its sale is locked by the caller."""
    return (
        ReaderAction.objects.select_for_update(no_key=True)
        .filter(payment_id=payment_id, refund=None)
        .exclude(state__in=FINAL_ACTION)
        .first()
    )


def unfinished_action_of(refund_id: int) -> ReaderAction | None:
    """Lock the place that a refund has in a reader's queue, if it has one. Its sale is locked by the caller."""
    return (
        ReaderAction.objects.select_for_update(no_key=True)
        .filter(refund_id=refund_id)
        .exclude(state__in=FINAL_ACTION)
        .first()
    )


def action(action_id: int) -> ReaderAction:
    """Lock a place in a reader's queue."""
    return ReaderAction.objects.select_for_update(no_key=True).get(id=action_id)


def due_actions(*, account_id: int, limit: int, now: datetime.datetime) -> list[ReaderAction]:
    """Lock the places of an account that are to be looked at now and that nobody else holds: what a claim changes."""
    due = ReaderAction.objects.select_for_update(skip_locked=True, no_key=True).filter(
        reader__account_id=account_id, next_poll_at__lte=now
    )
    return list(due.only("polls", "fence", "next_poll_at").order_by("next_poll_at", "id")[:limit])


def attempt(attempt_id: int) -> Attempt:
    """Lock an attempt."""
    return _attempt_of.get(attempt=attempt_id)


@compiled
def _attempt_of(attempt: int) -> QuerySet[Attempt]:
    return Attempt.objects.select_for_update(no_key=True).filter(id=attempt)


def customers(ids: Iterable[int]) -> None:
    """Lock people, before anything that they have stored: whoever changes that takes turns here."""
    ids = set(ids)
    if not ids:
        return
    list(Profile.objects.select_for_update(no_key=True).filter(id__in=ids).order_by("id").values_list("id"))


def balances(*, customer_ids: Iterable[int], ids: Iterable[int]) -> list[LedgerBalance]:
    """Lock all that people have stored, and balances that belong to nobody any more."""
    wanted = Q(id__in=list(ids)) | Q(customer_id__in=list(customer_ids))
    return list(LedgerBalance.objects.select_for_update(no_key=True).filter(wanted).order_by("id"))


def dead_jobs(ids: Collection[int]) -> list[Job]:
    """Lock those of the jobs that are dead still, ascending: an operator decides about them."""
    rows = Job.objects.select_for_update(no_key=True).filter(id__in=ids, state=Job.State.DEAD)
    return list(rows.order_by("id"))


def running_job(*, job_id: int, fence: int) -> bool:
    """Lock a job, if this claim of it still holds, and say whether it does."""
    with connection.cursor() as cursor:  # written out: every job of money begins with it
        cursor.execute(
            'SELECT id FROM "payments_job" WHERE id = %s AND fence = %s AND state = %s FOR NO KEY UPDATE',
            [job_id, fence, Job.State.RUNNING.value],
        )
        return cursor.fetchone() is not None


def card_setup(setup_id: int) -> CardSetup:
    """Lock a wish to save a card. Nothing that money hangs on is locked with it."""
    return CardSetup.objects.select_for_update(no_key=True).get(id=setup_id)


def cards_of(profile_id: int) -> list[Card]:
    """Lock a person's saved cards, through the person: two changes of the list at once take turns."""
    Profile.objects.select_for_update(no_key=True).get(id=profile_id)
    return list(Card.objects.filter(profile_id=profile_id, removed_at=None).order_by("id"))
