"""The books' checker: what we say about money, held against what Stripe says, and against itself.

Used by the fault tests, the chaos run, drills, the demo and the benchmarks. It imports nothing of the product
and reads both sides as they are: our rows by SQL, Stripe's by the sandbox's own record. An empty list means
that no customer was charged twice, no paid order is lost, no refund was made twice, and nothing is in limbo.

`python -m stack.books DATABASE_URL SANDBOX_URL ACCOUNT…` prints what it finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

# Each registers its checks.
from stack.books import charges, limbo, refunds, sales  # noqa: F401
from stack.books.mails import mails
from stack.books.record import Books, Discrepancy, Row, always, stripe_books, when_quiet

__all__ = ["Books", "Discrepancy", "Row", "check", "compare", "counts", "mails", "stripe_books"]


def check(
    database_url: str,
    sandbox_url: str,
    accounts: Sequence[str],
    *,
    is_quiet: bool = True,
    mail_dir: Path | None = None,
) -> list[Discrepancy]:
    """Return every discrepancy, the most money first; `accounts` are slugs at the sandbox.

    While work is under way (`is_quiet` false) only what must hold at every moment is checked. `mail_dir` adds
    the mails that were really sent.
    """
    stripe = {f"acct_{slug}": stripe_books(sandbox_url, slug) for slug in accounts}
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = compare(connection, stripe, is_quiet=is_quiet)
        if mail_dir is not None and is_quiet:
            found += mails(connection, mail_dir)
    return sorted(found, key=lambda one: -one.at_risk)


def compare(
    connection: psycopg.Connection[Row], stripe: dict[str, dict[str, list[Row]]], *, is_quiet: bool = True
) -> list[Discrepancy]:
    """Return what is wrong by an open connection and Stripe's books by account id."""
    books = Books(connection, stripe)
    for each in always + (when_quiet if is_quiet else []):
        each(books)
    return books.found


def counts(database_url: str) -> Row:
    """Return how much there is: orders, payments by state, attempts that were sent again, copies of events."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        states = connection.execute(
            sql.SQL("SELECT state, count(*) AS number FROM payments_payment GROUP BY state ORDER BY state")
        ).fetchall()
        one = connection.execute(
            b"SELECT (SELECT count(*) FROM payments_order) AS orders,"
            b" (SELECT count(*) FROM payments_attempt WHERE sends > 1) AS sent_again,"
            b" (SELECT count(*) FROM payments_job WHERE fence > 1) AS claimed_again,"
            b" (SELECT count(*) FROM payments_inboxevent) AS events"
        ).fetchone()
    assert one is not None
    return {**one, "payments": {row["state"]: row["number"] for row in states}}
