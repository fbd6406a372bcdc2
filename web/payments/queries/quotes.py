"""What a cart costs at this moment: frozen if it is being paid, computed from its lines if not."""

from __future__ import annotations

from decimal import Decimal

from web.core.models import Location
from web.payments.models import Cart
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


def quote(cart: Cart) -> Quote:
    """Return what the cart costs. A tip chosen as a percentage is of the lines less the discount."""
    if cart.frozen_quote is not None:
        return Quote.from_json(cart.frozen_quote)
    currency = cart.currency
    lines = [PricedLine(line.item_type, Money(line.amount_minor, currency)) for line in cart.lines.all()]
    subtotal = sum((line.amount for line in lines), Money.zero(currency))
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
        lines=lines,
        discount=discount,
        sales_tax=sales_tax,
        additional_tax=additional_tax,
        tip=tip,
    )
    return Quote(totals, sales_tax, additional_tax)
