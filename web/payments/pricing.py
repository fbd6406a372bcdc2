"""What a cart costs: subtotal, discount, two taxes and a tip, computed on the server and nowhere else.

Taxes are added to prices (as in the United States). Each tax is computed once, on the sum of what it
applies to, and then spread over the lines, so that the lines' taxes sum to exactly the cart's.
The tip is not taxed and comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from web.core.models import SERVICE_TYPES, UNTAXED_TYPES
from web.payments.money import Money


@dataclass(frozen=True, slots=True)
class Tax:
    """One of a location's two taxes, as charged: name for the receipt, rate in percent."""

    name: str
    rate: Decimal
    applies_to_services: bool

    def covers(self, item_type: str) -> bool:
        if item_type in UNTAXED_TYPES:
            return False
        return self.applies_to_services or item_type not in SERVICE_TYPES


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line to price: what type it is, and unit price x quantity."""

    item_type: str
    amount: Money


@dataclass(frozen=True, slots=True)
class LineTotals:
    """What one line comes to."""

    amount: Money
    discount: Money
    sales_tax: Money
    additional_tax: Money


@dataclass(frozen=True, slots=True)
class Totals:
    """What the whole comes to: total = subtotal - discount + sales_tax + additional_tax + tip."""

    subtotal: Money
    discount: Money
    sales_tax: Money
    additional_tax: Money
    tip: Money
    total: Money
    lines: tuple[LineTotals, ...]


def price(
    *,
    currency: str,
    lines: Sequence[PricedLine],
    discount: Money,
    sales_tax: Tax | None,
    additional_tax: Tax | None,
    tip: Money,
) -> Totals:
    """Compute a cart's totals. The discount is spread over the lines by their amounts before tax."""
    zero = Money.zero(currency)
    subtotal = sum((line.amount for line in lines), zero)
    discount = min(discount, subtotal)
    discounts = discount.split([line.amount.amount for line in lines]) if lines else []
    nets = [line.amount - part for line, part in zip(lines, discounts, strict=True)]

    def spread(tax: Tax | None) -> list[Money]:
        if tax is None or not lines:
            return [zero for _ in lines]
        bases = [net if tax.covers(line.item_type) else zero for line, net in zip(lines, nets, strict=True)]
        return sum(bases, zero).percent(tax.rate).split([base.amount for base in bases])

    sales, additional = spread(sales_tax), spread(additional_tax)
    sales_sum, additional_sum = sum(sales, zero), sum(additional, zero)
    return Totals(
        subtotal=subtotal,
        discount=discount,
        sales_tax=sales_sum,
        additional_tax=additional_sum,
        tip=tip,
        total=subtotal - discount + sales_sum + additional_sum + tip,
        lines=tuple(
            LineTotals(line.amount, *parts)
            for line, *parts in zip(lines, discounts, sales, additional, strict=True)
        ),
    )


@dataclass(frozen=True, slots=True)
class Quote:
    """A cart's totals with the names and rates behind them: what is frozen, paid, and kept on the order."""

    totals: Totals
    sales_tax: Tax | None
    additional_tax: Tax | None

    def as_json(self) -> dict[str, object]:
        """Return whole minor units and strings: what `Cart.frozen_quote` keeps."""
        totals = self.totals

        def tax(value: Tax | None) -> list[object] | None:
            return None if value is None else [value.name, str(value.rate), value.applies_to_services]

        return {
            "currency": totals.total.currency,
            "subtotal": totals.subtotal.amount,
            "discount": totals.discount.amount,
            "sales_tax": totals.sales_tax.amount,
            "additional_tax": totals.additional_tax.amount,
            "tip": totals.tip.amount,
            "total": totals.total.amount,
            "lines": [
                [part.amount.amount, part.discount.amount, part.sales_tax.amount, part.additional_tax.amount]
                for part in totals.lines
            ],
            "taxes": [tax(self.sales_tax), tax(self.additional_tax)],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Quote:
        currency = data["currency"]

        def money(amount: int) -> Money:
            return Money(amount, currency)

        def tax(value: list[Any] | None) -> Tax | None:
            return None if value is None else Tax(value[0], Decimal(value[1]), value[2])

        names = ("subtotal", "discount", "sales_tax", "additional_tax", "tip", "total")
        return cls(
            Totals(
                **{name: money(data[name]) for name in names},
                lines=tuple(LineTotals(*map(money, parts)) for parts in data["lines"]),
            ),
            *map(tax, data["taxes"]),
        )
