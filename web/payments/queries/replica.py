"""Which database a report is read from: a copy that may be a second late, where there is one that answers.

Only what nobody decides by is asked of it: sums and exports for people. Whatever leads to a change of money asks the
one database, under its locks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections

REPLICA = "replica"  # DATABASE_REPLICA_URL
AWAY_SECONDS = (
    30.0  # a copy that did not answer is not asked again for so long: asking costs the page its patience
)

log = structlog.get_logger(__name__)
Result = TypeVar("Result")
_asked_again_at = 0.0


def alias() -> str:
    """Return the database that reports are read from now."""
    is_there = REPLICA in connections.settings and time.monotonic() >= _asked_again_at
    return REPLICA if is_there else DEFAULT_DB_ALIAS


def read(ask: Callable[[str], Result]) -> Result:
    """Have a report read by the database named to `ask`: the copy, and the one database where that fails."""
    global _asked_again_at
    if alias() == REPLICA:
        try:
            return ask(REPLICA)
        except (OperationalError, InterfaceError) as error:  # it is away, or cut the query off to catch up
            _asked_again_at = time.monotonic() + AWAY_SECONDS
            log.warning("replica.away", error=type(error).__name__)
            connections[REPLICA].close()
    return ask(DEFAULT_DB_ALIAS)
