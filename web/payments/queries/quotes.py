"""What a cart costs at this moment: frozen if it is being paid, computed from its lines if not."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from django.db.models import QuerySet

from web.core.compiled import compiled
from web.core.models import Location
from web.payments.models import Cart, CartLine
from web.payments.money import Money
from web.payments.pricing import PricedLine, Quote, Tax, price


def taxes_of(location: Location) -> tuple[Tax | None, Tax | None]:
    """Return the location's sales tax and additional tax, None where not charged."""
    sales = additional = None
    if location.sales_tax_active and location.sales_tax_rate:
        sales = Tax(
            location.sales_tax_name, Decimal(location.sales_tax_rate), location.sales_tax_applies_to_services
        )
    if location.additional_tax_active and location.additional_tax_rate:
        additional = Tax(
            location.additional_tax_name,
            Decimal(location.additional_tax_rate),
            location.additional_tax_applies_to_services,
        )
    return sales, additional


@compiled
def _lines_of(cart: int) -> QuerySet[CartLine]:
    return CartLine.objects.filter(cart=cart).order_by("id")


def lines_of(cart: Cart) -> list[CartLine]:
    """Return a cart's lines in their order, as they are now, or as they were fetched with the cart."""
    if "lines" in getattr(cart, "_prefetched_objects_cache", {}):
        return list(cart.lines.all())
    return _lines_of.all(cart=cart.id)


def quote(cart: Cart, lines: Sequence[CartLine] | None = None) -> Quote:
    """Return what the cart costs. A tip chosen as a percentage is of the lines less the discount.

    `lines` are the cart's where the caller has read them.
    """
    if cart.frozen_quote is not None:
        return Quote.from_json(cart.frozen_quote)
    currency = cart.currency
    given = lines_of(cart) if lines is None else lines
    priced = [PricedLine(line.item_type, Money(line.amount_minor, currency)) for line in given]
    subtotal = sum((line.amount for line in priced), Money.zero(currency))
    if cart.discount_percent is None:
        discount = min(Money(cart.discount_minor, currency), subtotal)
    else:
        discount = subtotal.percent(Decimal(cart.discount_percent))
    if cart.tip_percent is None:
        tip = Money(cart.tip_minor, currency)
    else:
        tip = (subtotal - discount).percent(Decimal(cart.tip_percent))
    sales_tax, additional_tax = taxes_of(cart.location)
    totals = price(
        currency=currency,
        lines=priced,
        discount=discount,
        sales_tax=sales_tax,
        additional_tax=additional_tax,
        tip=tip,
    )
    return Quote(totals, sales_tax, additional_tax)
