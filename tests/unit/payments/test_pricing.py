"""Prices: taxes once on the whole, spread without loss; what is frozen comes back the same."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from web.core.models import ItemType
from web.payments.money import Money
from web.payments.pricing import PricedLine, Quote, Tax, Totals, price

SALES = Tax("NYC sales tax", Decimal("8.8750"), applies_to_services=False)
STUDIO = Tax("Studio levy", Decimal("1.5000"), applies_to_services=True)


def usd(amount: int) -> Money:
    return Money(amount, "usd")


def totals(lines: list[PricedLine], *, discount: int = 0, tip: int = 0) -> Totals:
    return price(
        currency="usd",
        lines=lines,
        discount=usd(discount),
        sales_tax=SALES,
        additional_tax=STUDIO,
        tip=usd(tip),
    )


def test_taxes_by_type_a_tip_and_the_sum() -> None:
    result = totals(
        [
            PricedLine(ItemType.MERCHANDISE, usd(3600)),
            PricedLine(ItemType.SERVICE_PASS, usd(12000)),
            PricedLine(ItemType.GIFT_CARD, usd(5000)),
        ],
        tip=500,
    )
    assert result.subtotal == usd(20600)
    assert result.sales_tax == usd(320)  # 8.875 % of the mat: 319.5, half up
    assert result.additional_tax == usd(234)  # 1.5 % of mat and pass; a gift card is never taxed
    assert result.total == usd(20600 + 320 + 234 + 500)
    assert [line.sales_tax for line in result.lines] == [usd(320), usd(0), usd(0)]


def test_a_discount_is_taken_before_tax_and_never_exceeds_the_lines() -> None:
    lines = [PricedLine(ItemType.MERCHANDISE, usd(1000)), PricedLine(ItemType.MERCHANDISE, usd(3000))]
    result = totals(lines, discount=1000)
    assert [line.discount for line in result.lines] == [usd(250), usd(750)]
    assert result.sales_tax == usd(266)  # of 3000
    assert totals(lines, discount=9999).total == usd(0)


def test_nothing_costs_nothing() -> None:
    assert totals([]).total == usd(0)


lines = st.lists(
    st.builds(
        PricedLine,
        st.sampled_from(list(ItemType)),
        st.integers(min_value=0, max_value=10**7).map(usd),
    ),
    max_size=20,
)


@given(lines, st.integers(min_value=0, max_value=10**8), st.integers(min_value=0, max_value=10**6))
def test_lines_always_sum_to_the_totals(lines: list[PricedLine], discount: int, tip: int) -> None:
    result = totals(lines, discount=discount, tip=tip)
    zero = usd(0)
    assert sum((line.amount for line in result.lines), zero) == result.subtotal
    assert sum((line.discount for line in result.lines), zero) == result.discount
    assert sum((line.sales_tax for line in result.lines), zero) == result.sales_tax
    assert sum((line.additional_tax for line in result.lines), zero) == result.additional_tax
    assert (
        result.total
        == result.subtotal - result.discount + result.sales_tax + result.additional_tax + result.tip
    )
    assert not any(part < zero for line in result.lines for part in (line.sales_tax, line.additional_tax))
    quote = Quote(result, SALES, None)
    assert Quote.from_json(quote.as_json()) == quote
