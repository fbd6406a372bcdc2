"""The addresses of the API. What is below /api/v1/ changes only by what no program can trip over (docs/api.md)."""

from django.urls import URLPattern, URLResolver, path, register_converter
from django.urls.converters import IntConverter, StringConverter

from web.api import carts, catalogue, orders, page, payments, refunds, terminal
from web.api.routes import nothing_here, view


class TokenConverter(StringConverter):
    """A cart's token."""

    regex = "[A-Za-z0-9_-]{1,40}"


class NumberConverter(StringConverter):
    """An order's number."""

    regex = "[A-Z0-9-]{1,9}"


class IdConverter(IntConverter):
    """An id that a column can hold."""

    regex = "[0-9]{1,18}"


register_converter(TokenConverter, "api_token")
register_converter(NumberConverter, "api_number")
register_converter(IdConverter, "api_id")

app_name = "api"
V1: list[URLPattern] = [
    path("locations", view(get=catalogue.LOCATIONS), name="locations"),
    path("items", view(get=catalogue.ITEMS), name="items"),
    path("carts", view(post=carts.OPEN), name="carts"),
    path("carts/<api_token:cart>", view(get=carts.READ), name="cart"),
    path("carts/<api_token:cart>/lines/<api_id:item>", view(put=carts.SET_LINE), name="cart_line"),
    path("carts/<api_token:cart>/buyer", view(put=carts.SET_BUYER), name="cart_buyer"),
    path("carts/<api_token:cart>/tip", view(put=carts.SET_TIP), name="cart_tip"),
    path("payments", view(post=payments.REQUEST), name="payments"),
    path("payments/<uuid:payment>", view(get=payments.READ), name="payment"),
    path("payments/<uuid:payment>/cancel", view(post=payments.CANCEL), name="payment_cancel"),
    path("payments/<uuid:payment>/check", view(post=payments.CHECK), name="payment_check"),
    path("readers", view(get=terminal.READERS), name="readers"),
    path("terminal-payments", view(post=terminal.START), name="terminal_payments"),
    path("terminal-payments/<uuid:terminal_payment>", view(get=terminal.READ), name="terminal_payment"),
    path(
        "terminal-payments/<uuid:terminal_payment>/cancel",
        view(post=terminal.CANCEL),
        name="terminal_payment_cancel",
    ),
    path("orders", view(get=orders.LIST), name="orders"),
    path("orders/<api_number:order>", view(get=orders.READ), name="order"),
    path("refunds", view(post=refunds.REQUEST, get=refunds.LIST), name="refunds"),
    path("refunds/<uuid:refund>", view(get=refunds.READ), name="refund"),
]
urlpatterns: list[URLPattern | URLResolver] = [
    path("", page.reference, name="reference"),
    path("v1/openapi.json", page.document, name="openapi"),
    *(path(f"v1/{one.pattern}", one.callback, name=one.name) for one in V1),
    path("<path:rest>", nothing_here, name="nothing"),
]
