"""Carts: opened, filled, given a buyer and a tip. Paying freezes them; paid, they are orders."""

from __future__ import annotations

from django.urls import reverse
from pydantic import BaseModel

from web.api import shapes
from web.api.problems import NothingHere
from web.api.routes import Call, Route, Scope
from web.payments.money import Money
from web.payments.operations import carts
from web.payments.operations.intents import no_cart
from web.payments.queries import sales
from web.payments.queries.moment import one_moment


@one_moment()
def _show(call: Call, subject: str) -> BaseModel:
    token = subject or str(call.path["cart"])
    try:
        sale = sales.sale(call.business, token)
    except carts.CartNotFound as gone:
        raise no_cart(call.business, token) from gone
    cart, totals = sale.cart, sale.quote.totals
    live = sale.live
    return shapes.Cart(
        cart=cart.token,
        reference=cart.reference,
        state=cart.state,
        location=cart.location_id,
        currency=cart.currency,
        buyer_name=cart.customer.name if cart.customer else cart.guest_name,
        buyer_email=cart.customer.email if cart.customer else cart.guest_email,
        lines=[
            shapes.CartLine(
                item=line.item_id,
                description=line.description,
                quantity=line.quantity,
                unit_price=line.unit_price_minor,
                amount=part.amount.amount,
                discount=part.discount.amount,
                sales_tax=part.sales_tax.amount,
                additional_tax=part.additional_tax.amount,
            )
            for line, part in sale.lines
        ],
        subtotal=totals.subtotal.amount,
        discount=totals.discount.amount,
        sales_tax=totals.sales_tax.amount,
        additional_tax=totals.additional_tax.amount,
        tip=totals.tip.amount,
        total=totals.total.amount,
        paid=sale.paid.amount,
        due=sale.due.amount,
        live_payment=live.public_id if live is not None else None,
        checkout_url=call.request.build_absolute_uri(f"{reverse('payment:checkout')}?cart={cart.token}"),
    )


def _open(call: Call) -> str:
    wanted: shapes.CartWanted = call.body
    place = next((one for one in sales.locations(call.business) if one.id == wanted.location), None)
    if place is None:
        raise NothingHere(location=wanted.location)
    cart = carts.open_cart(
        business=call.business,
        location=place,
        now=call.now,
        created_by=call.caller.token.created_by,
        language=wanted.language,
    )
    for line in wanted.lines:
        carts.set_quantity(
            business=call.business,
            token=cart.token,
            item_id=line.item,
            quantity=line.quantity,
            over_the_counter=True,
        )
    if wanted.buyer is not None:
        carts.set_buyer(
            business=call.business, token=cart.token, name=wanted.buyer.name, email=wanted.buyer.email
        )
    return cart.token


def _set_line(call: Call) -> str:
    return carts.set_quantity(
        business=call.business,
        token=call.path["cart"],
        item_id=call.path["item"],
        quantity=call.body.quantity,
        over_the_counter=True,
    ).token


def _set_buyer(call: Call) -> str:
    buyer: shapes.BuyerWanted = call.body
    return carts.set_buyer(
        business=call.business, token=call.path["cart"], name=buyer.name, email=buyer.email
    ).token


def _set_tip(call: Call) -> str:
    wanted: shapes.TipWanted = call.body
    token = call.path["cart"]
    if wanted.amount is None:
        return carts.set_tip(business=call.business, token=token, percent=wanted.percent).token
    currency = sales.sale(call.business, token).cart.currency
    amount = str(Money(wanted.amount, currency).major())
    return carts.set_tip(business=call.business, token=token, amount=amount).token


OPEN = Route(
    scope=Scope.SELL,
    act=_open,
    show=_show,
    body=shapes.CartWanted,
    answer=shapes.Cart,
    status=201,
    says="Open a cart, with its lines and its buyer where they are known.",
)
READ = Route(
    scope=Scope.READ, show=_show, answer=shapes.Cart, says="Read a cart. Paid, it is 409 with its order."
)
SET_LINE = Route(
    scope=Scope.SELL,
    act=_set_line,
    show=_show,
    body=shapes.QuantityWanted,
    answer=shapes.Cart,
    says="Say how many of an item are in the cart; 0 takes it out.",
)
SET_BUYER = Route(
    scope=Scope.SELL,
    act=_set_buyer,
    show=_show,
    body=shapes.BuyerWanted,
    answer=shapes.Cart,
    says="Say who buys: where the receipt goes.",
)
SET_TIP = Route(
    scope=Scope.SELL, act=_set_tip, show=_show, body=shapes.TipWanted, answer=shapes.Cart, says="Set the tip."
)
