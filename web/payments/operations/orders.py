"""Turning a paid cart into an order: one transaction, once only, whoever comes first.

The cart's row lock lets one caller through at a time; the unique cart reference on orders refuses a second
order even if a lock were forgotten; the cart is deleted in the same transaction.
"""

from __future__ import annotations

import datetime

from web.core import faultpoints
from web.payments import history
from web.payments.described import order_facts
from web.payments.jobs import SEND_RECEIPT
from web.payments.locks import Sale
from web.payments.models import Order, OrderLine, OutgoingEvent, Refund
from web.payments.operations import ledger_refunds, ledgers, outgoing
from web.payments.pricing import Quote
from web.payments.states import REFUND_WITHOUT_MONEY


def make(sale: Sale, *, now: datetime.datetime, actor: str) -> Order:
    """Make the order of a locked sale whose payments cover its frozen total; queue the receipt."""
    cart = sale.cart
    assert cart is not None
    assert cart.frozen_quote is not None
    quote = Quote.from_json(cart.frozen_quote)
    totals = quote.totals
    reader_tip = sum(payment.reader_tip_minor for payment in sale.succeeded)  # on top of what was frozen
    order = Order(
        business_id=cart.business_id,
        location_id=cart.location_id,
        cart_reference=cart.reference,
        token=cart.token,
        customer=cart.customer,
        customer_name=cart.customer.name if cart.customer else cart.guest_name,
        customer_email=cart.customer.email if cart.customer else cart.guest_email,
        language=cart.customer.language if cart.customer else cart.language,
        created_by_id=cart.created_by_id,
        currency=cart.currency,
        subtotal_minor=totals.subtotal.amount,
        discount_minor=totals.discount.amount,
        discount_reason=cart.discount_reason if totals.discount else "",
        sales_tax_name=quote.sales_tax.name if quote.sales_tax else "",
        sales_tax_rate=quote.sales_tax.rate if quote.sales_tax else 0,
        sales_tax_minor=totals.sales_tax.amount,
        additional_tax_name=quote.additional_tax.name if quote.additional_tax else "",
        additional_tax_rate=quote.additional_tax.rate if quote.additional_tax else 0,
        additional_tax_minor=totals.additional_tax.amount,
        tip_minor=totals.tip.amount + reader_tip,
        total_minor=totals.total.amount + reader_tip,
        created_at=now,
    )
    lines = [
        OrderLine(
            item_id=line.item_id,
            item_type=line.item_type,
            description=line.description,
            unit_price_minor=line.unit_price_minor,
            quantity=line.quantity,
            amount_minor=part.amount.amount,
            discount_minor=part.discount.amount,
            sales_tax_minor=part.sales_tax.amount,
            additional_tax_minor=part.additional_tax.amount,
            gives_minor=line.gives_minor,
            gives_credits=line.gives_credits,
            gives_days=line.gives_days,
        )
        for line, part in zip(cart.lines.all(), totals.lines, strict=True)
    ]
    sale.writes.order(order, lines, cart=cart, paid_by=sale.succeeded)
    sale.cart, sale.order = None, order
    sale.writes.history(
        history.line(
            history.ORDER_MADE,
            business_id=order.business_id,
            cart_reference=order.cart_reference,
            payment=None,
            actor=actor,
            now=now,
            data={"order": order.number, "total": order.total_minor, "currency": order.currency},
        )
    )
    ledgers.fulfil(order, lines, now=now, actor=actor)
    if sale.is_all_given_back:  # in Stripe's dashboard, and that was heard of before the payment itself
        _take_back(sale, order, now=now, actor=actor)
    sale.writes.job_of_order(SEND_RECEIPT, order, now=now)
    paid = OutgoingEvent.Kind.ORDER_PAID
    outgoing.announce(
        paid,
        business_id=order.business_id,
        subject=order.number,
        facts=lambda: {"order": order_facts(order)},
        endpoints=sale.writes.known(
            ("endpoints", paid, order.business_id), lambda: outgoing.endpoints_of(paid, order.business_id)
        ),
        now=now,
    )
    faultpoints.reach(faultpoints.ORDER_MADE)
    return order


def _take_back(sale: Sale, order: Order, *, now: datetime.datetime, actor: str) -> None:
    """Take back what the order has just given, as the news in its usual order would: the end is the same."""
    ids = [payment.id for payment in sale.succeeded]
    refunds = Refund.objects.filter(payment_id__in=ids).exclude(state__in=REFUND_WITHOUT_MONEY)
    ledger_refunds.take_back(order=order, refund=refunds.latest("id"), now=now, actor=actor, is_told=True)
