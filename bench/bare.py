"""Tables without their indexes, foreign keys unchecked, triggers asleep, while a benchmark fills them by the million.

On a database of the benchmark's own, as its superuser. What is written must be right by itself: only the CHECK
constraints look at it, and unique indexes when they are made again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from django.db.backends.utils import CursorWrapper

UNIQUES = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),
       format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = ANY(%s::regclass[]) AND contype = 'u'
"""
INDEXES = """
SELECT format('DROP INDEX %%s', indexrelid::regclass), pg_get_indexdef(indexrelid)
FROM pg_index WHERE indrelid = ANY(%s::regclass[]) AND NOT indisprimary
  AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
"""
SESSION = {
    "session_replication_role": "replica",  # no triggers, no foreign keys
    "maintenance_work_mem": "512MB",
    "statement_timeout": "0",
}


@contextlib.contextmanager
def tables(cursor: CursorWrapper, names: Sequence[str]) -> Iterator[None]:
    """Take the indexes and unique constraints off tables, and put them on again at the end, also after a failure."""
    wanted: list[tuple[str, str]] = []
    for found in (UNIQUES, INDEXES):
        cursor.execute(found, [list(names)])
        wanted += cursor.fetchall()
    taken: list[str] = []
    try:
        for name, value in SESSION.items():
            cursor.execute(f"SET {name} = '{value}'")
        for off, on in wanted:
            cursor.execute(off)
            taken.append(on)
        yield
    finally:
        try:
            for on in taken:
                cursor.execute(on)
        finally:
            for name in SESSION:
                cursor.execute(f"RESET {name}")
