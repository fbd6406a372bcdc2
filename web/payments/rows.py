"""Many rows with one statement: a batch of sales costs a handful of round trips instead of a handful each.

Rows travel as one JSON text that PostgreSQL takes apart by the columns' own types, which costs a tenth of what
the ORM's many parameters do. Constraints and triggers see each row as they do in any other statement.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson
from django.db import connection
from django.db.models import Field, Model
from django.db.models.expressions import DatabaseDefault


class RowsMissing(Exception):
    """Fewer rows were changed than were given: somebody removed one that the caller had locked."""


def insert(objects: Sequence[Model]) -> None:
    """Insert rows of one model, in their order. Primary keys are the database's unless all rows bring one."""
    if not objects:
        return
    with_key = objects[0].pk is not None
    fields = [field for field in _fields(type(objects[0])) if with_key or not field.primary_key]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    shape = ", ".join(_shape(field) for field in fields)
    table = objects[0]._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "{table}" ({columns}) SELECT {columns} '  # noqa: S608 - names of our own models
            f"FROM jsonb_to_recordset(%s::jsonb) AS given({shape})",
            [as_json([_row(one, fields) for one in objects])],
        )


def update(objects: Sequence[Model], names: Sequence[str] | None = None) -> None:
    """Write rows of one model back: the named fields, or all. Raises RowsMissing where one is not there."""
    if not objects:
        return
    key, *others = sorted(_fields(type(objects[0])), key=lambda field: not field.primary_key)
    fields = others if names is None else [field for field in others if field.name in names]
    assignments = ", ".join(f'"{field.column}" = given."{field.column}"' for field in fields)
    shape = ", ".join(_shape(field) for field in (key, *fields))
    table = objects[0]._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f'UPDATE "{table}" AS stored SET {assignments} '  # noqa: S608 - names of our own models
            f"FROM jsonb_to_recordset(%s::jsonb) AS given({shape}) "
            f'WHERE stored."{key.column}" = given."{key.column}"',
            [as_json([_row(one, [key, *fields]) for one in objects])],
        )
        if cursor.rowcount != len(objects):
            raise RowsMissing(f"{table}: {cursor.rowcount} of {len(objects)}")


def new_keys(model: type[Model], number: int) -> list[int]:
    """Take primary keys for rows that are not written yet. One that is never used leaves a gap and no harm."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)",
            [model._meta.db_table, model._meta.pk.column, number],
        )
        return [key for (key,) in cursor.fetchall()]


def as_json(rows: list[dict[str, Any]]) -> str:
    """Return rows as the text that `jsonb_to_recordset` takes."""
    return orjson.dumps(rows, default=_plain).decode()


@functools.cache
def _fields(model: type[Model]) -> tuple[Field[Any, Any], ...]:
    return tuple(field for field in model._meta.concrete_fields)


@functools.cache
def _shape(field: Field[Any, Any]) -> str:
    kind = field.rel_db_type(connection) if field.primary_key else field.db_type(connection)
    return f'"{field.column}" {kind}'


def _row(one: Model, fields: Sequence[Field[Any, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {str(field.column): getattr(one, field.attname) for field in fields}
    for column, value in row.items():
        if isinstance(value, DatabaseDefault):
            row[column] = value.expression.value  # type: ignore[attr-defined]  # ours are all literals
    return row


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no column's value")
