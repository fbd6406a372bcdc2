"""Django's PostgreSQL backend, but for the pool's question whether a connection lives.

Django asks before every request: a round trip of its own, a tenth of what storing an event costs. A connection that
was answered on within the last second is taken at its word; one that rested longer is asked as ever. Whoever is
given one that died within that second sees what they would have seen if it had died a moment later.
"""

from __future__ import annotations

import time
from typing import Any

from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg import Connection
from psycopg_pool import ConnectionPool

ASKED_AFTER_SECONDS = 1.0


def check(connection: Connection[Any]) -> None:
    """Ask a connection whether it lives, unless that was known a moment ago.

    Raises OperationalError when it does not: the pool takes another one, or makes it.
    """
    now = time.monotonic()
    if now - getattr(connection, "paydesk_lived_at", float("-inf")) < ASKED_AFTER_SECONDS:
        return
    ConnectionPool.check_connection(connection)
    connection.paydesk_lived_at = now  # type: ignore[attr-defined]


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with a pool of our own making."""

    @property
    def pool(self) -> ConnectionPool[Any] | None:
        """Return the pool of this process, as Django makes it and with our check; None where none is wanted."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        pools: dict[str, ConnectionPool[Any]] = self._connection_pools  # type: ignore[attr-defined]
        if self.alias not in pools:
            pool: ConnectionPool[Any] = ConnectionPool(
                kwargs={**self.get_connection_params(), "autocommit": True},  # Django sets it as it needs it
                open=False,
                configure=self._configure_connection,  # type: ignore[attr-defined]
                check=check,
                **options,
            )
            pools.setdefault(self.alias, pool)  # of two threads that made one, the first's stays
        return pools[self.alias]
