"""What a request did: which tables it wrote to, and what all rows add up to before and after."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connection, models

# Where a refused request may write: who is signed in, how often they tried, and what is told on the next page.
NOBODYS = frozenset({"django_session", "django_cache"})
# Numbers that say how often or in which order, not what: the same effect may have others.
UNCOUNTED = frozenset({"number", "fence", "polls", "checks", "attempts", "put_offs", "calls", "last_login"})
WRITE = re.compile(r'^\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?(\w+)"?', re.IGNORECASE)


@contextmanager
def writes() -> Iterator[set[str]]:
    """Collect the tables that are written to meanwhile, by this thread's connection."""
    written: set[str] = set()

    def look(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if (found := WRITE.match(sql)) and found[1] not in NOBODYS:
            written.add(found[1])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield written


@contextmanager
def changes(before: dict[str, int]) -> Iterator[dict[str, int]]:
    """Collect what has changed since `before` when it is over: what was written and undone again is no change."""
    found: dict[str, int] = {}
    with writes() as written:
        yield found
    if written:
        found.update(change(before, books()) or {})


@functools.cache
def _question() -> str:
    """Return one query that adds up every table of ours: rows, amounts, counts, switches, states."""
    ours = [apps.get_app_config(name).get_models() for name in ("payments", "core")]
    return " UNION ALL ".join(_of_table(model) for models_ in ours for model in models_)


def _of_table(model: type[models.Model]) -> str:
    columns = []
    for field in model._meta.concrete_fields:
        if field.primary_key or field.is_relation or field.name in UNCOUNTED:
            continue
        name = f'"{field.column}"'
        if isinstance(field, models.IntegerField):
            columns.append((field.column, f"coalesce(sum({name}), 0)"))
        elif isinstance(field, models.BooleanField):
            columns.append((field.column, f"count(*) FILTER (WHERE {name})"))
        elif isinstance(field, models.CharField) and field.choices:
            columns.append((field.column, f"coalesce(sum(hashtext({name})::bigint), 0)"))
        elif isinstance(field, models.DateTimeField) and field.null:
            columns.append((field.column, f"count({name})"))  # whether it has happened
    added = ", ".join(f"'{column}', {sum_}" for column, sum_ in [("rows", "count(*)"), *columns])
    table = model._meta.db_table
    return f"SELECT '{table}', json_build_object({added}) FROM {table}"


def books() -> dict[str, int]:
    """Return what everything adds up to now, by table and column."""
    with connection.cursor() as cursor:
        cursor.execute(_question())
        return {
            f"{table}.{column}": int(value)
            for table, added in cursor.fetchall()
            for column, value in (added if isinstance(added, dict) else json.loads(added)).items()
        }


def change(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return what has changed between two readings of the books."""
    return {name: after[name] - before[name] for name in after if after[name] != before[name]}
