"""Money: exact in every currency, and no split loses a unit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.payments.money import (
    SPECIAL,
    SUPPORTED,
    THREE_DECIMAL,
    CurrencyMismatch,
    Money,
    MoneyError,
    UnsupportedCurrency,
    exponent,
    largest_charge,
    smallest_charge,
)

amounts = st.integers(min_value=-(10**12) + 1, max_value=10**12 - 1)
currencies = st.sampled_from(sorted(SUPPORTED))


@pytest.mark.parametrize(
    ("typed", "currency", "minor", "stripe", "written"),
    [
        ("12.50", "usd", 1250, 1250, "12.50 USD"),
        ("1,200", "usd", 120000, 120000, "1,200.00 USD"),
        ("12000", "krw", 12000, 12000, "12,000 KRW"),
        ("500", "jpy", 500, 500, "500 JPY"),
        ("500", "isk", 500, 50000, "500 ISK"),
        ("7", "ugx", 7, 700, "7 UGX"),
        ("0", "eur", 0, 0, "0.00 EUR"),
    ],
)
def test_typed_amount_becomes_what_stripe_takes_and_people_read(
    typed: str, currency: str, minor: int, stripe: int, written: str
) -> None:
    money = Money.parse(typed, currency)
    assert money == Money(minor, currency)
    assert money.to_stripe() == stripe
    assert str(money) == written


@pytest.mark.parametrize(
    ("typed", "currency"),
    [
        ("1.234", "usd"),
        ("0.5", "krw"),
        ("ten", "usd"),
        ("", "usd"),
        ("NaN", "usd"),
        ("Infinity", "usd"),
        ("1e12", "usd"),
    ],
)
def test_typed_nonsense_is_refused(typed: str, currency: str) -> None:
    with pytest.raises(MoneyError):
        Money.parse(typed, currency)


@pytest.mark.parametrize("currency", [*sorted(THREE_DECIMAL), "xxx", "", "USD"])
def test_currencies_that_cannot_be_charged_are_refused(currency: str) -> None:
    with pytest.raises(UnsupportedCurrency):
        Money(100, currency)


def test_float_and_bool_are_not_amounts() -> None:
    for amount in (1.0, True, "1"):
        with pytest.raises(MoneyError):
            Money(amount, "usd")  # type: ignore[arg-type]


def test_two_currencies_never_meet() -> None:
    with pytest.raises(CurrencyMismatch):
        Money(1, "usd") + Money(1, "eur")
    with pytest.raises(CurrencyMismatch):
        _ = Money(1, "usd") < Money(1, "eur")


@given(amounts, currencies)
def test_there_and_back_at_stripe(amount: int, currency: str) -> None:
    money = Money(amount, currency)
    assert Money.from_stripe(money.to_stripe(), currency) == money


@given(st.integers(min_value=1, max_value=99), st.sampled_from(sorted(SPECIAL)))
def test_special_currency_that_does_not_end_in_00_is_refused(rest: int, currency: str) -> None:
    with pytest.raises(MoneyError):
        Money.from_stripe(1200 + rest, currency)


@given(amounts, currencies)
def test_what_is_written_can_be_typed(amount: int, currency: str) -> None:
    money = Money(amount, currency)
    assert Money.parse(str(money.major()), currency) == money


@given(amounts, st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=30))
def test_split_loses_nothing_and_strays_less_than_one_unit(amount: int, weights: list[int]) -> None:
    parts = Money(amount, "usd").split(weights)
    assert sum(part.amount for part in parts) == amount
    whole = sum(weights)
    if whole:
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part.amount - Decimal(amount) * weight / whole) < 1
            if weight == 0:
                assert part.amount == 0


def test_split_needs_someone_and_no_negative_share() -> None:
    with pytest.raises(MoneyError):
        Money(1, "usd").split([])
    with pytest.raises(MoneyError):
        Money(1, "usd").split([1, -1])


@given(
    st.integers(min_value=0, max_value=10**9),
    st.decimals(min_value=0, max_value=100, places=4, allow_nan=False, allow_infinity=False),
)
def test_percent_is_within_half_a_unit(amount: int, rate: Decimal) -> None:
    part = Money(amount, "usd").percent(rate)
    assert abs(part.amount - Decimal(amount) * rate / 100) <= Decimal("0.5")


def test_percent_rounds_half_up() -> None:
    assert Money(50, "usd").percent(Decimal(1)) == Money(1, "usd")  # 0.5 -> 1
    assert Money(10000, "usd").percent(Decimal("8.875")) == Money(888, "usd")  # 887.5 -> 888


def test_limits_of_a_charge() -> None:
    assert smallest_charge("usd") == Money(50, "usd")
    assert smallest_charge("jpy") == Money(50, "jpy")
    assert smallest_charge("isk") is None
    assert largest_charge("usd") == Money(99_999_999, "usd")
    assert largest_charge("isk").to_stripe() <= 99_999_999


def test_exponents() -> None:
    assert (exponent("usd"), exponent("krw"), exponent("isk")) == (2, 0, 0)
