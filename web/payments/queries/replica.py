"""Which database a report is read from: a copy that may be a second late, where there is one.

Only what nobody decides by is asked of it: sums and exports for people. Whatever leads to a change of money asks the
one database, under its locks.
"""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, connections

REPLICA = "replica"  # DATABASE_REPLICA_URL


def alias() -> str:
    """Return the database that reports are read from."""
    return REPLICA if REPLICA in connections.settings else DEFAULT_DB_ALIAS
