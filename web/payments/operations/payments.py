"""Moving a payment: the one place where its state, its cart's committed sum and its history change together.

Everything here runs inside the caller's transaction, on a sale that the caller has locked.
"""

from __future__ import annotations

import datetime

from django.db import IntegrityError
from django.utils.translation import gettext_lazy as _

from web.core.accounts import constraint_of
from web.payments import history
from web.payments.errors import Kind, Refusal
from web.payments.locks import Sale
from web.payments.models import Cart, Method, Payment
from web.payments.operations import lane, ledgers, orders
from web.payments.pricing import Quote
from web.payments.states import COMMITTED, FINAL, CartState, PaymentState, transition


class FormReused(Refusal):
    code, kind = "form_reused", Kind.CONFLICT
    message = _("This form was already used for another cart.")
    next_step = _("No money moved. Reload the page and try again.")


def freeze(cart: Cart, quote: Quote, *, now: datetime.datetime) -> None:
    """Freeze the cart with what it costs: from here on payments must add up to exactly this."""
    transition(cart, CartState.FROZEN, now=now)
    cart.frozen_total_minor = quote.totals.total.amount
    cart.frozen_quote = quote.as_json()
    cart.save(
        update_fields=["state", "state_changed_at", "frozen_total_minor", "frozen_quote", "committed_minor"]
    )


def commit(cart: Cart, payment: Payment, *, now: datetime.datetime, actor: str) -> None:
    """Write a new payment and count it against its cart's total; the database refuses more than the total.

    FormReused where the same form is paying another cart at this moment: their locks are two carts', so that only
    the constraint sees both. The caller's transaction ends with it.
    """
    try:
        payment.save(force_insert=True)
    except IntegrityError as error:
        if constraint_of(error) == "a_form_makes_one_payment":
            raise FormReused from error
        raise
    cart.committed_minor += payment.amount_minor
    cart.save(update_fields=["committed_minor"])
    history.record(
        history.REQUESTED,
        business_id=payment.business_id,
        cart_reference=payment.cart_reference,
        payment=payment,
        to_state=payment.state,
        actor=actor,
        now=now,
        data={"method": payment.method, "amount": payment.amount_minor, "currency": payment.currency},
    )


def move(
    sale: Sale,
    payment: Payment,
    to: str,
    *,
    now: datetime.datetime,
    actor: str,
    data: dict[str, object] | None = None,
) -> None:
    """Move the payment to a state, with its history line and its cart's committed sum."""
    before = payment.state
    cause = transition(payment, to, now=now)
    if to in FINAL:
        payment.client_secret_sealed = ""
        payment.next_check_at = None
    elif payment.next_check_at is not None or to != PaymentState.UNKNOWN:
        # Of a reader's payment from its first news on; before, its intent is made when its turn comes.
        payment.checks = 0
        payment.next_check_at = next_check(payment, now=now)
    counted, counts = before in COMMITTED, to in COMMITTED
    if sale.cart is not None and counted != counts:
        sale.cart.committed_minor += payment.amount_minor if counts else -payment.amount_minor
        sale.cart.save(update_fields=["committed_minor"])
    sale.writes.payment(payment)
    sale.writes.history(
        history.line(
            history.MOVED,
            business_id=payment.business_id,
            cart_reference=payment.cart_reference,
            payment=payment,
            from_state=before,
            to_state=to,
            cause=cause,
            actor=actor,
            now=now,
            data=data,
        )
    )
    if payment.method == Method.TERMINAL:
        lane.follow(payment, now=now, actor=actor)


def finish(sale: Sale, *, now: datetime.datetime, actor: str) -> None:
    """Draw the consequence for the cart: paid in full makes the order, nothing left makes it open again.

    With money on it, taken or held, and nothing live the cart stays frozen: it is to be completed or
    refunded by a person, never released. What is set aside in the customer's ledgers is no reason to stay so:
    it is given back.
    """
    if sale.cart is None or sale.cart.state != CartState.FROZEN or sale.live:
        return
    if not complete(sale, now=now, actor=actor) and not sale.succeeded and not sale.held:
        reopen(sale, now=now, actor=actor)


def complete(sale: Sale, *, now: datetime.datetime, actor: str) -> bool:
    """Make the order if what came in and what is set aside pay the total; say whether they do.

    What is set aside is spent in the same transaction.
    """
    cart, reserved = sale.cart, sale.reserved
    if cart is None or cart.state != CartState.FROZEN or sale.live:
        return False
    covering = sale.succeeded + reserved
    if not covering or sum(payment.amount_minor for payment in covering) != cart.frozen_total_minor:
        return False
    if reserved:
        ledgers.spend(reserved, now=now, actor=actor)
    for payment in reserved:
        payment.amount_received_minor = payment.amount_minor
        move(sale, payment, PaymentState.SUCCEEDED, now=now, actor=actor)
    orders.make(sale, now=now, actor=actor)
    return True


def reopen(sale: Sale, *, now: datetime.datetime, actor: str) -> None:
    """Open a cart again that has no money on it; what was set aside for it is given back."""
    cart, reserved = sale.cart, sale.reserved
    assert cart is not None
    ledgers.release(reserved, now=now, actor=actor)
    for payment in reserved:
        move(sale, payment, PaymentState.CANCELLED, now=now, actor=actor)
    transition(cart, CartState.OPEN, now=now)
    cart.frozen_total_minor, cart.frozen_quote = None, None
    cart.save(update_fields=["state", "state_changed_at", "frozen_total_minor", "frozen_quote"])
    history.record(
        history.CART_REOPENED,
        business_id=cart.business_id,
        cart_reference=cart.reference,
        payment=None,
        actor=actor,
        now=now,
    )


def count_refunds(payment: Payment, *, reserved: int = 0, returned: int = 0) -> None:
    """Change what refunds have of a payment; what goes beyond what came in is kept beside it.

    For what Stripe tells and for reservations that end. Asking for a refund adds to `refunded_minor` itself, so
    that the database refuses too much. The caller saves the payment.
    """
    total = payment.refunded_minor + payment.refunded_beyond_minor + reserved
    payment.refunded_minor = min(total, payment.amount_received_minor)
    payment.refunded_beyond_minor = total - payment.refunded_minor
    payment.returned_minor += returned


def release(sale: Sale, payment: Payment, *, now: datetime.datetime, actor: str) -> None:
    """Take a payment that was given back whole off its cart: the cart may be paid another way, or changed.

    For ever: if the bank sends the refund back later, the cart may long be another one. The payment is then
    listed as money that still has to be given back.
    """
    is_back = payment.amount_received_minor and payment.returned_minor >= payment.amount_received_minor
    is_bound = payment.order_id is None and payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD)
    if payment.is_released or not (is_back and is_bound):
        return
    payment.is_released = True
    payment.save(update_fields=["is_released"])
    if sale.cart is not None and payment.state == PaymentState.SUCCEEDED:
        sale.cart.committed_minor -= payment.amount_minor
        sale.cart.save(update_fields=["committed_minor"])
    history.record(
        history.PAYMENT_RELEASED,
        business_id=payment.business_id,
        cart_reference=payment.cart_reference,
        payment=payment,
        actor=actor,
        now=now,
    )
    finish(sale, now=now, actor=actor)


# How long a sweep waits before it asks Stripe about a payment that nothing is heard of: at first (seconds), how many
# times longer each time, at most. Where money may be moving it is soon. Somebody who types a card number, or has left,
# is no news: a page that comes back asks, missed events are read from Stripe's list, and this is the third way. At a
# minute and its doubles, a customer who leaves would cost thirty calls in a day; so they cost six.
_MOVING = {
    PaymentState.REQUESTED,
    PaymentState.UNKNOWN,
    PaymentState.PROCESSING,
    PaymentState.AUTHORISED,
    PaymentState.CANCELLING,
}
_SOON = (15, 2, 3600)
_RARELY = (300, 3, 12 * 3600)


def next_check(payment: Payment, *, now: datetime.datetime) -> datetime.datetime:
    """Say when a sweep should look at Stripe if nothing is heard."""
    is_with_customer = payment.state not in _MOVING and payment.method != Method.SAVED_CARD
    first, growth, longest = _RARELY if is_with_customer else _SOON
    return now + datetime.timedelta(seconds=min(first * growth ** min(payment.checks, 10), longest))
