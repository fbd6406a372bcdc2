"""After a test with transactions of its own: an empty database, in milliseconds where a flush takes half a second.

Django's flush truncates every table, which makes each and its indexes anew as files, and then writes all permissions
and groups once more. Here rows are deleted from the tables that have any, and what migrations leave behind stays.
"""

from __future__ import annotations

import functools

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

# Written by migrations, and by what follows them; no test changes them in a transaction of its own.
KEPT = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


def instead_of_flush() -> None:
    """Have every such test end with `empty`."""
    TransactionTestCase._fixture_teardown = lambda _case: empty()  # type: ignore[attr-defined]


def empty() -> None:
    """Delete every row but those of KEPT. Triggers and foreign keys are silent: history refuses to be deleted."""
    connection = connections[DEFAULT_DB_ALIAS]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_question(connection))
        (found,) = cursor.fetchall()
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table, has_rows in zip(_tables(connection), found, strict=True):
            if has_rows:
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


def _question(connection: BaseDatabaseWrapper) -> str:
    names = (connection.ops.quote_name(table) for table in _tables(connection))
    return "SELECT " + ", ".join(f"EXISTS (SELECT FROM {name})" for name in names)


@functools.cache
def _tables(connection: BaseDatabaseWrapper) -> tuple[str, ...]:
    found = connection.introspection.django_table_names(only_existing=True, include_views=False)
    return tuple(sorted(set(found) - KEPT))
