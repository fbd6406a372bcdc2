"""Sales that need no Stripe: cash, complimentary, and carts that cost nothing. Paid and ordered in one transaction."""

from __future__ import annotations

import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments import history, locks
from web.payments.errors import Refusal
from web.payments.models import Cart, Method, Order, Payment
from web.payments.operations.carts import CartNotFound, confirm_buyer
from web.payments.operations.intents import (
    AlreadyPaid,
    BeingRefunded,
    EmptyCart,
    FormReused,
    MoneyHeld,
    PaymentUnderWay,
    TotalChanged,
)
from web.payments.operations.payments import commit, finish, freeze
from web.payments.queries.quotes import quote
from web.payments.states import CartState, PaymentState


class ReasonMissing(Refusal):
    code = "reason_missing"
    message = _("A complimentary sale needs a reason.")
    next_step = _("No money moved. Say why it is complimentary and try again.")


@transaction.atomic
def sell(
    *,
    business: Business,
    token: str,
    method: Method,
    form_token: str,
    expected_total_minor: int,
    now: datetime.datetime,
    staff: Profile | None,
    note: str = "",
) -> Order:
    """Take all that is left to pay by `method` and make the order. The same form again returns the same order."""
    if method is Method.COMPLIMENTARY and not note.strip():
        raise ReasonMissing
    repeated = (
        Payment.objects.filter(business=business, form_token=form_token).select_related("order").first()
    )
    if repeated is not None and repeated.order is not None and repeated.order.token == token:
        return repeated.order
    reference = (
        Cart.objects.filter(business=business, token=token).values_list("reference", flat=True).first()
    )
    sale = None if reference is None else locks.sale(reference)
    cart = None if sale is None else sale.cart
    if sale is None or cart is None:
        return _already_ordered(business, token, form_token)
    if repeated is not None:
        raise FormReused
    if sale.live:
        raise PaymentUnderWay
    if sale.held:
        raise MoneyHeld
    if sale.being_refunded:
        raise BeingRefunded
    priced = quote(cart)
    total = priced.totals.total
    if not priced.totals.lines:
        raise EmptyCart
    if expected_total_minor != total.amount:
        raise TotalChanged(total=total)
    if cart.state == CartState.OPEN:
        freeze(cart, priced, now=now)
    due = total.amount - cart.committed_minor
    actor = history.CUSTOMER if staff is None else history.staff(staff.id)
    payment = Payment(
        business=business,
        cart_reference=cart.reference,
        customer_id=cart.customer_id,
        created_by=staff,
        method=method,
        state=PaymentState.SUCCEEDED,
        state_changed_at=now,
        amount_minor=due,
        amount_received_minor=due,
        currency=cart.currency,
        form_token=form_token,
        note=note.strip()[:200],
        created_at=now,
    )
    commit(cart, payment, now=now, actor=actor)
    sale.payments.append(payment)
    finish(sale, now=now, actor=actor)
    assert sale.order is not None
    return sale.order


@transaction.atomic
def complete_free(
    *,
    business: Business,
    token: str,
    form_token: str,
    now: datetime.datetime,
    signed_in: Profile | None,
    name: str,
    email: str,
    accepts_policy: bool,
) -> Order:
    """Let a customer complete a cart that costs nothing; TotalChanged where it costs something after all."""
    if Cart.objects.filter(business=business, token=token, state=CartState.OPEN).exists():
        confirm_buyer(
            business=business,
            token=token,
            signed_in=signed_in,
            name=name,
            email=email,
            accepts_policy=accepts_policy,
            now=now,
        )
    return sell(
        business=business,
        token=token,
        method=Method.NO_CHARGE,
        form_token=form_token,
        expected_total_minor=0,
        now=now,
        staff=None,
    )


def _already_ordered(business: Business, token: str, form_token: str) -> Order:
    order = Order.objects.filter(business=business, token=token).first()
    if order is None:
        raise CartNotFound
    if order.payments.filter(form_token=form_token).exists():
        return order  # the same form, twice at once: the other one was first
    raise AlreadyPaid(order=order)
