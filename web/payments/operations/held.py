"""Held money: it came in and fits no order. A person gives it back (refunds.py) or puts it onto its cart."""

from __future__ import annotations

import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.core.models import Business
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.models import HeldReason, Order, Payment
from web.payments.operations.intents import PaymentNotFound
from web.payments.operations.payments import finish, move
from web.payments.operations.refunds import PaymentDisputed, StillBeingPaid, blocking_dispute
from web.payments.operations.settling import fit_again
from web.payments.states import PaymentState


class NotHeld(Refusal):
    code, kind, money_moved = "payment_not_held", Kind.CONFLICT, True
    message = _("This payment does not wait for a decision any more.")
    next_step = _("Nothing was changed. Reload the page.")


class DoesNotFit(Refusal):
    """`reason` is the HeldReason that stands in the way."""

    code, kind, money_moved = "payment_does_not_fit", Kind.CONFLICT, True
    message = _("This money does not fit its cart.")
    next_step = _("Give it back, and let the customer pay again.")

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


@transaction.atomic
def attach(*, business: Business, payment_id: int, now: datetime.datetime, actor: str) -> Order | None:
    """Put held money onto its cart, where amount and cart fit; return the order if that completes it.

    The database refuses the rest: `payments_never_exceed_the_frozen_total`,
    `a_payment_succeeds_with_exactly_its_amount`.
    """
    if not Payment.objects.filter(id=payment_id, business=business).exists():
        raise PaymentNotFound
    sale, payment = locks.sale_of_payment(payment_id)
    if payment.state == PaymentState.SUCCEEDED:  # the same click twice
        return sale.order
    if payment.state != PaymentState.HELD or payment.is_released or payment.refunded_minor:
        raise NotHeld
    dispute = blocking_dispute(payment)
    if dispute is not None:
        raise PaymentDisputed(dispute)
    if (
        payment.received.amount != payment.amount_minor + payment.reader_tip_minor
        or payment.received_currency
    ):
        raise DoesNotFit(payment.held_reason)
    if sale.cart is None:
        raise DoesNotFit(HeldReason.SECOND_SUCCESS if sale.order else HeldReason.CART_GONE)
    if sale.live:
        raise StillBeingPaid
    reason = fit_again(sale, payment, now=now)
    if reason:
        raise DoesNotFit(reason)
    was_held_for, payment.held_reason = payment.held_reason, ""
    history.record(
        history.PAYMENT_ATTACHED,
        business_id=payment.business_id,
        cart_reference=payment.cart_reference,
        payment=payment,
        actor=actor,
        now=now,
        data={"was_held_for": was_held_for},
    )
    move(sale, payment, PaymentState.SUCCEEDED, now=now, actor=actor)
    finish(sale, now=now, actor=actor)
    return sale.order
