"""What a check reads and how it reports: our rows by SQL, Stripe's by the sandbox's record, and what differs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg
import requests

Row = dict[str, Any]
IN_HUNDREDS = frozenset({"isk", "ugx"})  # Stripe counts them in hundredths, which nobody has
COMMITTED = [
    "requested", "unknown", "awaiting", "declined", "processing", "authorised", "cancelling", "succeeded",
    "reserved",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One thing that must not be, and the money that hangs on it, in minor units of the currency."""

    name: str
    about: str
    at_risk: int = 0
    currency: str = ""

    def __str__(self) -> str:
        money = f" ({self.at_risk} {self.currency} at risk)" if self.at_risk else ""
        return f"{self.name}: {self.about}{money}"


@dataclass
class Books:
    """Both sides, read once. `stripe` is what the sandbox's `books/{account}` answers, by Stripe's account id."""

    connection: psycopg.Connection[Row]
    stripe: dict[str, dict[str, list[Row]]]
    found: list[Discrepancy] = field(default_factory=list)

    def rows(self, query: str, *parameters: Any) -> list[Row]:
        """Return rows of ours; a query may use `%s`."""
        return self.connection.execute(query.encode(), parameters or None).fetchall()

    def report(self, name: str, about: object, at_risk: int = 0, currency: str = "") -> None:
        self.found.append(Discrepancy(name, str(about), at_risk, currency))

    def report_rows(self, name: str, query: str, *parameters: Any) -> None:
        """Report each row that a query finds; it returns `about`, and may return `at_risk` and `currency`."""
        for row in self.rows(query, *parameters):
            self.report(name, row["about"], row.get("at_risk") or 0, row.get("currency") or "")


Check = Callable[[Books], None]
always: list[Check] = []
when_quiet: list[Check] = []


def invariant(check: Check) -> Check:
    """Mark what must hold at every moment."""
    always.append(check)
    return check


def once_quiet(check: Check) -> Check:
    """Mark what must hold once nothing is under way."""
    when_quiet.append(check)
    return check


def stripe_books(sandbox_url: str, slug: str) -> dict[str, list[Row]]:
    """Return the sandbox's own record of an account."""
    answer = requests.get(f"{sandbox_url}/_sandbox/books/{slug}", timeout=60)
    answer.raise_for_status()
    books: dict[str, list[Row]] = answer.json()
    return books


def ours(amount: int, currency: str) -> int:
    """Return an amount of Stripe's in our minor units."""
    return amount // 100 if currency in IN_HUNDREDS else amount
