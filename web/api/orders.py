"""Orders: what was bought and paid. They never change but for what goes back."""

from __future__ import annotations

from django.urls import reverse
from pydantic import BaseModel

from web.api import listing, shapes
from web.api.problems import NothingHere
from web.api.routes import Call, Route, Scope
from web.payments import models
from web.payments.described import order_facts
from web.payments.queries import purchases


def _described(call: Call, order: models.Order) -> shapes.Order:
    return shapes.Order(
        **order_facts(order).model_dump(),
        buyer_name=order.customer_name,
        buyer_email=order.customer_email,
        receipt_url=call.request.build_absolute_uri(reverse("payment:receipt", args=[order.token])),
    )


def of_number(call: Call, number: str) -> models.Order:
    """Return an order of the business by its number; NothingHere for any other."""
    order = purchases.order(call.business, number)
    if order is None:
        raise NothingHere
    return order


def _show(call: Call, _subject: str) -> BaseModel:
    return _described(call, of_number(call, call.path["order"]))


def _list(call: Call, _subject: str) -> BaseModel:
    rows = models.Order.objects.filter(business=call.business).prefetch_related("lines", "payments")
    if "reference" in call.query:
        rows = rows.filter(cart_reference=_reference(call.query["reference"]))
    orders, cursor = listing.page(rows, listing.wanted(call.query))
    return shapes.Orders(data=[_described(call, order) for order in orders], next_cursor=cursor)


def _reference(text: str) -> str:
    return str(listing.uuid_of("reference", text))


LIST = Route(
    scope=Scope.READ,
    show=_list,
    answer=shapes.Orders,
    query=("limit", "cursor", "reference"),
    says="List the orders, the newest first; the one of a cart by its reference.",
)
READ = Route(scope=Scope.READ, show=_show, answer=shapes.Order, says="Read an order.")
