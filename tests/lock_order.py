"""Watches the order in which transactions lock rows, in every test that uses the database.

Two transactions that lock the same rows in different orders wait for each other for ever. The order is written
down in web/payments/locks.py; a test in which a transaction leaves it fails, whether or not anybody was in the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.utils import CursorWrapper

# Which tables come before which: web/payments/locks.py says why. A cart and its payments are one tree.
RANKS = {
    "payments_paymentsettings": 0,
    "core_location": 1,
    "payments_cart": 2,
    "payments_payment": 2,
    "payments_refund": 3,
    "payments_orderline": 3,
    "payments_attempt": 3,
    "payments_readeraction": 3,
    "core_profile": 4,
    "payments_ledgerbalance": 5,
    "payments_job": 6,
}
# These hang on a payment, and are locked by nobody who has not locked it: so they need no order of their own.
OF_A_PAYMENT = {"payments_refund", "payments_orderline", "payments_attempt"}
_LOCK = re.compile(r'^SELECT\b.*?\bFROM "(\w+)".*\bFOR (?:NO KEY )?UPDATE\b(?!.*SKIP LOCKED)', re.DOTALL)
_ONE = re.compile(r"^\(UUID\('([^']+)'\),\)$")  # the parameters of locks.sale: one reference
# The one place that turns it round, over a cart that nobody else can know yet: operations/saved_cards.py.
ALLOWED = {("core_profile", "payments_cart"), ("core_profile", "payments_payment")}


class Watch:
    """What each connection's transaction at hand has locked, and the transactions that left the order."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self._held: WeakKeyDictionary[DatabaseWrapper, list[tuple[str, str]]] = WeakKeyDictionary()

    def saw(self, connection: DatabaseWrapper, sql: str, params: Any) -> None:
        """Note a statement. Rows that are locked already are locked again for nothing, in whatever order."""
        found = _LOCK.match(sql) if sql.startswith("SELECT") else None
        if found is None or found[1] not in RANKS:
            return
        held = self._held.setdefault(connection, [])
        this = (found[1], str(params))
        if self._is_held(this, held):
            return
        if this[0] in OF_A_PAYMENT and "payments_payment" not in dict(held):
            self.wrong.append(f"{this[0]} {this[1]} without its payment")
        for table, rows in held:
            is_before = RANKS[table] > RANKS[this[0]] and (table, this[0]) not in ALLOWED
            if is_before or self._is_wrong_in_a_sale(table, rows, *this):
                self.wrong.append(f"{this[0]} {this[1]} after {table} {rows}")
        held.append(this)

    @staticmethod
    def _is_held(this: tuple[str, str], held: list[tuple[str, str]]) -> bool:
        """Return whether the same rows are locked already, by the same question or with others at once."""
        one = _ONE.match(this[1])
        return this in held or any(one and one[1] in rows for table, rows in held if table == this[0])

    @staticmethod
    def _is_wrong_in_a_sale(table: str, rows: str, next_table: str, next_rows: str) -> bool:
        """Return whether a sale's cart comes after its payments, or one sale's cart after a later one's."""
        if next_table != "payments_cart" or not (_ONE.match(rows) and _ONE.match(next_rows)):
            return False
        return next_rows <= rows if table == "payments_payment" else next_rows < rows

    def ended(self, connection: DatabaseWrapper) -> None:
        """Forget what a transaction held."""
        self._held.pop(connection, None)


@contextmanager
def watched(monkeypatch: Any) -> Iterator[Watch]:
    """Watch every connection of this process."""
    watch = Watch()
    wrapper: Any = DatabaseWrapper  # the private ends of a transaction are what is watched
    execute, commit, rollback = CursorWrapper.execute, wrapper._commit, wrapper._rollback
    close = wrapper._close

    def executing(cursor: CursorWrapper, sql: Any, params: Any = None) -> Any:
        if isinstance(sql, str):
            watch.saw(cursor.db, sql, params)
        return execute(cursor, sql, params)

    def committing(connection: DatabaseWrapper) -> Any:
        watch.ended(connection)
        return commit(connection)

    def rolling_back(connection: DatabaseWrapper) -> Any:
        watch.ended(connection)
        return rollback(connection)

    def closing(connection: DatabaseWrapper) -> Any:
        watch.ended(connection)
        return close(connection)

    with monkeypatch.context() as patched:
        patched.setattr(CursorWrapper, "execute", executing)
        patched.setattr(wrapper, "_commit", committing)
        patched.setattr(wrapper, "_rollback", rolling_back)
        patched.setattr(wrapper, "_close", closing)
        yield watch
