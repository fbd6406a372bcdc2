"""Every SELECT … FOR UPDATE of the ledger, so that the order of locks can be read in one place.

The order: cart, order, payment, refund, attempt, job; ascending ids within each. A payment belongs to one
cart reference, so a *sale* (a cart reference with all that hangs on it) is locked as a tree; whoever needs
several sales takes them in ascending order of their references. NO KEY: inserting a row that points at a
locked one does not have to wait.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from web.payments.models import Attempt, Cart, Job, Operation, Order, Payment
from web.payments.states import LIVE, OPEN_ATTEMPT, PaymentState


@dataclass(slots=True)
class Sale:
    """All rows of one cart reference, locked. Either the cart or the order is there, or neither."""

    reference: uuid.UUID
    cart: Cart | None
    order: Order | None
    payments: list[Payment] = field(default_factory=list)

    @property
    def live(self) -> list[Payment]:
        return [payment for payment in self.payments if payment.state in LIVE]

    @property
    def succeeded(self) -> list[Payment]:
        return [payment for payment in self.payments if payment.state == PaymentState.SUCCEEDED]

    @property
    def held(self) -> list[Payment]:
        return [payment for payment in self.payments if payment.state == PaymentState.HELD]

    def payment(self, payment_id: int) -> Payment:
        return next(payment for payment in self.payments if payment.id == payment_id)


def cart(*, business_id: int, token: str) -> Cart | None:
    """Lock a business's cart by its secret address."""
    return Cart.objects.select_for_update(no_key=True).filter(business_id=business_id, token=token).first()


def sale(reference: uuid.UUID) -> Sale:
    """Lock a sale. A cart that became an order while we waited shows as the order."""
    locked_cart = Cart.objects.select_for_update(no_key=True).filter(reference=reference).first()
    order = None if locked_cart else Order.objects.filter(cart_reference=reference).first()
    payments = Payment.objects.select_for_update(no_key=True).filter(cart_reference=reference).order_by("id")
    return Sale(reference, locked_cart, order, list(payments))


def sale_of_payment(payment_id: int) -> tuple[Sale, Payment]:
    """Lock the sale that a payment belongs to, and return both."""
    reference = Payment.objects.values_list("cart_reference", flat=True).get(id=payment_id)
    locked = sale(reference)
    return locked, locked.payment(payment_id)


def open_attempt(*, operation: Operation, payment_id: int) -> Attempt | None:
    """Lock the one attempt that has no certain answer yet, if there is one."""
    return (
        Attempt.objects.select_for_update(no_key=True)
        .filter(operation=operation, payment_id=payment_id, refund=None, state__in=OPEN_ATTEMPT)
        .first()
    )


def attempt(attempt_id: int) -> Attempt:
    """Lock an attempt."""
    return Attempt.objects.select_for_update(no_key=True).get(id=attempt_id)


def running_job(*, job_id: int, fence: int) -> Job | None:
    """Lock a job, if this claim of it still holds."""
    return (
        Job.objects.select_for_update(no_key=True)
        .filter(id=job_id, fence=fence, state=Job.State.RUNNING)
        .first()
    )
