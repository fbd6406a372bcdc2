"""How templates write amounts: `{{ totals.total|money }}`, `{% minor order.total_minor order.currency %}`."""

from __future__ import annotations

from decimal import Decimal

from django import template

from web.payments.money import Money, exponent

register = template.Library()

# Signs that people of the country read at once; any other currency is written with its code.
SIGNS = {"usd": "$", "krw": "₩", "eur": "€", "gbp": "£", "jpy": "¥"}


@register.filter
def money(value: Money) -> str:
    """Write an amount as people of its currency do: $1,234.50, ₩12,000, 12.50 CHF."""
    number = f"{abs(value.major()):,.{exponent(value.currency)}f}"
    minus = "\N{MINUS SIGN}" if value.amount < 0 else ""
    sign = SIGNS.get(value.currency)
    return f"{minus}{sign}{number}" if sign else f"{minus}{number}\N{NO-BREAK SPACE}{value.currency.upper()}"


@register.filter
def grouped(number: int) -> str:
    """Write a count as amounts are written: 50,004."""
    return f"{number:,}"


@register.filter
def typed(value: Money) -> str:
    """Write an amount as a person types it into a field: 12.50."""
    return f"{value.major():.{exponent(value.currency)}f}"


@register.simple_tag
def minor(amount: int, currency: str) -> str:
    """Write minor units of a currency."""
    return money(Money(amount, currency))


@register.filter
def rate(value: Decimal) -> str:
    """Write a tax rate without the zeros at its end: 8.875."""
    return f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
