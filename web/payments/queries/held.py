"""What can be done with held money: what the page proposes. Reads only; attaching decides again, under locks."""

from __future__ import annotations

from web.core.models import Business
from web.payments.models import Cart, Order, Payment
from web.payments.queries.quotes import quote
from web.payments.states import LIVE, CartState, PaymentState


def may_attach(payment: Payment) -> bool:
    """Return whether the payment's amount fits its cart as it is now."""
    if (
        payment.amount_received_minor != payment.amount_minor + payment.reader_tip_minor
        or payment.received_currency
    ):
        return False
    cart = Cart.objects.filter(business_id=payment.business_id, reference=payment.cart_reference).first()
    if cart is None or payment.refunded_minor:
        return False
    if Payment.objects.filter(cart_reference=cart.reference, state__in=LIVE).exists():
        return False
    if cart.state == CartState.OPEN:
        priced = quote(cart).totals
        return bool(priced.lines) and priced.total.amount == payment.amount_minor
    return cart.committed_minor + payment.amount_minor <= (cart.frozen_total_minor or 0)


def without_order(business: Business, public_id: str) -> Payment | None:
    """Return a payment whose money belongs to no order: held, or on a cart that is paid in part."""
    return (
        Payment.objects.filter(
            business=business,
            public_id=public_id,
            order=None,
            state__in=[PaymentState.HELD, PaymentState.SUCCEEDED],
        )
        .select_related("customer")
        .first()
    )


def order_of(payment: Payment) -> Order | None:
    """Return the order of the payment's sale, if there is one: a second success belongs beside it."""
    return Order.objects.filter(
        business_id=payment.business_id, cart_reference=payment.cart_reference
    ).first()
