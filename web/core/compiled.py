"""Queries whose SQL is drawn up once a process: for the few that are asked again and again.

Django draws up a query's SQL anew each time: for a row of forty columns, in an order, that takes longer than PostgreSQL
takes to answer (docs/performance.md). A function marked `compiled` says what it looks for with named parameters; it
runs once, and from then on only the SQL does, with new values:

    @compiled
    def _cart_of(business_id: int, token: str) -> QuerySet[Cart]:
        return Cart.objects.filter(business_id=business_id, token=token)

    found = _cart_of.first(business_id=3, token="…")

What is compared must be equal to a parameter (`column=parameter`), of the type that the column has in Python. A number
beyond what any column holds finds nothing at all, whatever other alternatives a query has.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_type_hints

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet, Value
from django.db.models.query import RelatedPopulator, get_related_populators
from django.db.transaction import TransactionManagementError

LARGEST_INTEGER = 2**63 - 1

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str


@dataclass(frozen=True, slots=True)
class _Plan(Generic[Row]):
    """What is known once the SQL is drawn up: its parameters in their order, and how a row becomes an object."""

    sql: str
    parameters: tuple[Any, ...]
    kinds: dict[str, type]
    locks: bool
    model: type[Row]
    columns: slice
    names: Sequence[str]
    related: Sequence[RelatedPopulator]
    annotations: dict[str, int]
    converters: dict[int, tuple[list[Any], Any]]
    query: Any


class Compiled(Generic[Row]):
    """A query for whole rows of a model, with those that it selects beside them, and annotations."""

    def __init__(self, build: Callable[..., QuerySet[Row]]) -> None:
        self._build = build
        self._names = tuple(inspect.signature(build).parameters)
        self._known: _Plan[Row] | None = None  # two threads may draw it up at once: both draw up the same
        self.__doc__ = build.__doc__

    def all(self, **given: object) -> list[Row]:
        """Return every row. One that locks must be asked within a transaction, as always."""
        plan = self._known
        if plan is None:
            plan = self._known = self._drawn_up()
        if plan.locks and not connection.in_atomic_block:
            raise TransactionManagementError("a row is locked within a transaction")
        if given.keys() != set(self._names):
            raise TypeError(f"parameters are {', '.join(self._names)}")
        for name, kind in plan.kinds.items():
            value = given[name]
            if not isinstance(value, kind):  # PostgreSQL would refuse it, and end the transaction
                raise TypeError(f"{name} is {type(value).__name__}, not {kind.__name__}")
            if isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
                return []  # no column holds such a number, and PostgreSQL would not compare it either
        values: tuple[Any, ...] = tuple(
            given[each.name] if isinstance(each, _Parameter) else each for each in plan.parameters
        )
        with connection.cursor() as cursor:
            cursor.execute(plan.sql, values)
            rows: Any = cursor.fetchall()
        if plan.converters:
            # A compiler of this thread's connection: one that is kept would keep the connection of a thread that ended.
            rows = plan.query.get_compiler(DEFAULT_DB_ALIAS).apply_converters(rows, plan.converters)
        found = []
        for row in rows:
            one = plan.model.from_db(DEFAULT_DB_ALIAS, plan.names, row[plan.columns])
            for populator in plan.related:
                populator.populate(row, one)
            for name, place in plan.annotations.items():
                setattr(one, name, row[place])
            found.append(one)
        return found

    def first(self, **given: object) -> Row | None:
        """Return the first row, or None: where there can be one only, or the query says which comes first."""
        return next(iter(self.all(**given)), None)

    def get(self, **given: object) -> Row:
        """Return the one row; raise the model's DoesNotExist where there is none."""
        found = self.first(**given)
        if found is None:
            assert self._known is not None
            raise self._known.model.DoesNotExist  # type: ignore[attr-defined]  # each concrete model has one
        return found

    def _drawn_up(self) -> _Plan[Row]:
        queryset = self._build(**{name: Value(_Parameter(name)) for name in self._names})
        compiler = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        select, klass = compiler.select, compiler.klass_info
        first, last = klass["select_fields"][0], klass["select_fields"][-1]
        return _Plan(
            sql=sql,
            parameters=tuple(parameters),
            kinds={name: kind for name, kind in get_type_hints(self._build).items() if name in self._names},
            locks=queryset.query.select_for_update,
            model=klass["model"],
            columns=slice(first, last + 1),
            names=[column[0].target.attname for column in select[first : last + 1]],
            related=get_related_populators(klass, select, DEFAULT_DB_ALIAS),  # type: ignore[call-arg]  # stubs of Django 6
            annotations=dict(compiler.annotation_col_map or {}),
            converters=compiler.get_converters([column for column, _sql, _alias in select]),
            query=queryset.query,
        )


def compiled(build: Callable[..., QuerySet[Row]]) -> Compiled[Row]:
    """Make a function that says what is looked for a query whose SQL is drawn up once."""
    return Compiled(build)
