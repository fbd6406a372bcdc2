"""Money: whole minor units with their currency, in one type, and the sums that must not lose a cent.

Amounts are what Stripe calls *minor units*: cents for USD, whole won for KRW. Two currencies
(ISK, UGX) have no minor unit in use, yet Stripe takes them multiplied by 100, ending in 00; that
conversion happens in `to_stripe` and `from_stripe` and nowhere else.
Source of the currency lists: Stripe's page on currencies, as of API version 2026-10-28.endive.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Self

ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905 - reads as Stripe lists it
)
SPECIAL = frozenset({"isk", "ugx"})  # no minor unit in use; Stripe takes them x100, ending in 00
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})  # last digit must be 0
TWO_DECIMAL = frozenset(
    (  # noqa: SIM905
        "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf "
        "chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr "
        "ils inr jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn "
        "nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd "
        "std szl thb tjs top try ttd twd tzs uah uyu uzs wst xcd yer zar zmw"
    ).split()
)
SUPPORTED = ZERO_DECIMAL | SPECIAL | TWO_DECIMAL

# Stripe takes at most eight digits for a charge in most currencies.
LARGEST_STRIPE_AMOUNT = 99_999_999
# The smallest charge by currency, in minor units; where Stripe names none, it converts 0.50 USD.
SMALLEST_CHARGE = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "krw": 100, "mxn": 1000, "myr": 200,
    "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip


# Commas only between groups of three, a full stop before the decimals, at most twelve digits.
_TYPED = re.compile(r"-?([0-9]{1,12}|[0-9]{1,3}(,[0-9]{3}){1,3})(\.[0-9]{1,3})?")


class MoneyError(ValueError):
    """What was asked of an amount makes no sense; no money moved."""


class UnsupportedCurrency(MoneyError):
    """We do not take this currency: unknown, or one with three decimals, which Stripe limits by account."""


class CurrencyMismatch(MoneyError):
    """Two amounts of different currencies met."""


def exponent(currency: str) -> int:
    """Return how many decimals people write in this currency; raise UnsupportedCurrency for others."""
    if currency in TWO_DECIMAL:
        return 2
    if currency in ZERO_DECIMAL or currency in SPECIAL:
        return 0
    if currency in THREE_DECIMAL:
        raise UnsupportedCurrency(
            f"{currency.upper()} has three decimals, which not every Stripe account may charge."
        )
    raise UnsupportedCurrency(f"{currency!r} is not a currency that can be charged.")


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in whole minor units of one currency (ISO 4217, lower case). May be negative in a difference."""

    amount: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.amount) is not int:
            raise MoneyError(f"An amount is a whole number of minor units, not {type(self.amount).__name__}.")
        exponent(self.currency)

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(0, currency)

    @classmethod
    def parse(cls, text: str, currency: str) -> Self:
        """Read what a person typed ("12.50", "1,200") in major units; refuse more decimals than there are."""
        text = text.strip()
        if not _TYPED.fullmatch(text):  # "12,50" too: it must not become 1250
            raise MoneyError(f"{text[:40]!r} is not an amount.")
        value = Decimal(text.replace(",", ""))
        minor = value.scaleb(exponent(currency))
        if minor != minor.to_integral_value():
            raise MoneyError(f"{currency.upper()} has {exponent(currency)} decimals.")
        return cls(int(minor), currency)

    @classmethod
    def from_stripe(cls, amount: int, currency: str) -> Self:
        """Convert an amount that Stripe reported. A special currency comes multiplied by 100."""
        if currency in SPECIAL:
            if amount % 100:
                raise MoneyError(f"Stripe reported {amount} {currency}, which does not end in 00.")
            amount //= 100
        return cls(amount, currency)

    def to_stripe(self) -> int:
        """Return the number that Stripe's `amount` parameter wants."""
        return self.amount * 100 if self.currency in SPECIAL else self.amount

    def major(self) -> Decimal:
        """Return the amount in major units: Decimal("12.50")."""
        return Decimal(self.amount).scaleb(-exponent(self.currency))

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} cannot be added or compared.")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.amount - other.amount, self.currency)

    def __mul__(self, factor: int) -> Money:
        return Money(self.amount * factor, self.currency)

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.amount < other.amount

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.amount <= other.amount

    def __bool__(self) -> bool:
        return self.amount != 0

    def __str__(self) -> str:
        return f"{self.major():,.{exponent(self.currency)}f} {self.currency.upper()}"

    def percent(self, rate: Decimal) -> Money:
        """Return `rate` percent of the amount, rounded half up to a minor unit (as tax offices round)."""
        part = (Decimal(self.amount) * rate / 100).quantize(Decimal(1), rounding=ROUND_HALF_UP)
        return Money(int(part), self.currency)

    def split(self, weights: Sequence[int]) -> list[Money]:
        """Split into parts in proportion to `weights` so that the parts sum to exactly this amount.

        Largest remainder: everyone gets the share rounded down, the units left over go to the largest
        remainders, earlier parts first. With only zero weights everything goes to the first part.
        """
        if not weights:
            raise MoneyError("There is nothing to split among.")
        if any(weight < 0 for weight in weights):
            raise MoneyError("A share cannot be negative.")
        if self.amount < 0:
            return [part * -1 for part in Money(-self.amount, self.currency).split(weights)]
        whole = sum(weights)
        if whole == 0:
            return [self, *(Money(0, self.currency) for _ in weights[1:])]
        shares = [divmod(self.amount * weight, whole) for weight in weights]
        parts = [share for share, _ in shares]
        order = sorted(range(len(parts)), key=lambda index: (-shares[index][1], index))
        for index in order[: self.amount - sum(parts)]:
            parts[index] += 1
        return [Money(part, self.currency) for part in parts]


def smallest_charge(currency: str) -> Money | None:
    """Return the least that a card can be charged in this currency, or None where only Stripe knows."""
    least = SMALLEST_CHARGE.get(currency)
    return None if least is None else Money(least, currency)


def largest_charge(currency: str) -> Money:
    """Return the most that one payment may be."""
    exponent(currency)
    return Money(LARGEST_STRIPE_AMOUNT // 100 if currency in SPECIAL else LARGEST_STRIPE_AMOUNT, currency)
