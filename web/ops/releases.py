"""Which migrations may run while the previous release still serves: the check behind `manage.py check_migrations`.

A deployment migrates first and replaces its processes afterwards, one by one. So for a while the old code runs on the
new schema, on tables with millions of rows, while people pay. A migration is refused where that would break, or stop,
the old code: then the change is made in two releases (docs/deploying.md).

Not a library: what we need of one is these rules, and Django's `db_default` and concurrent indexes make them short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED

# The first release: nothing served before these, so they could do as they liked.
FIRST_RELEASE = {"core": 4, "payments": 14}
# A migration that knows better says why, in this attribute; the reason is printed.
EXCUSE = "is_safe_because"


@dataclass(frozen=True, slots=True)
class Unsafe:
    """An operation that must not run beside the previous release."""

    migration: str
    operation: str
    why: str

    def __str__(self) -> str:
        return f"{self.migration}: {self.operation}: {self.why}"


def unsafe(apps: dict[str, int] | None = None) -> Iterator[Unsafe]:
    """Yield what is unsafe in the migrations of our apps, after the first release."""
    loader = MigrationLoader(None)
    for (app, name), migration in sorted(loader.graph.nodes.items()):
        after = (FIRST_RELEASE if apps is None else apps).get(app)
        if after is None or not name[:4].isdigit() or int(name[:4]) <= after:
            continue
        if not getattr(migration, EXCUSE, ""):
            yield from of_migration(migration, loader.project_state((app, name), at_end=False))


def of_migration(migration: Migration, before: ProjectState) -> Iterator[Unsafe]:
    """Yield what is unsafe in one migration. `before`: the state that it starts from."""
    state = before.clone()
    made = {
        operation.name_lower
        for operation in migration.operations
        if isinstance(operation, operations.CreateModel)
    }
    for operation in migration.operations:
        why = _why(operation, state, migration.app_label, made, is_atomic=migration.atomic)
        if why:
            yield Unsafe(f"{migration.app_label}.{migration.name}", operation.describe(), why)
        operation.state_forwards(migration.app_label, state)


def _why(operation: Any, state: ProjectState, app: str, made: set[str], *, is_atomic: bool) -> str:
    """Return why an operation is unsafe, or "". What is done to a table that the migration itself makes is safe."""
    model = str(getattr(operation, "model_name", "") or getattr(operation, "name", "")).lower()
    if model in made:
        return ""
    match operation:
        case operations.DeleteModel() | operations.RenameModel() | operations.AlterModelTable():
            return "the previous release still reads and writes this table"
        case operations.RemoveField() | operations.RenameField():
            return "the previous release still names this column in every query"
        case operations.AddField():
            return _of_new_field(operation.field)
        case operations.AlterField():
            old = state.models[app, model].fields[operation.name]
            return _of_changed_field(old, operation.field)
        case operations.AddIndex() if type(operation) is operations.AddIndex:
            return (
                "it stops writing until it is built: AddIndexConcurrently, in a migration that is not atomic"
            )
        case operations.AddConstraint():
            if isinstance(operation.constraint, models.UniqueConstraint):
                return "it stops writing until its index is built: make that concurrently first, and say so"
            return "it stops writing until every row was looked at, and the previous release may break it: \
NOT VALID first, then VALIDATE"
        case operations.RunPython() | operations.RunSQL() | operations.SeparateDatabaseAndState():
            return "nobody but you knows what it does"
    if is_atomic and type(operation).__name__.endswith("Concurrently"):
        return "PostgreSQL refuses that in a transaction: atomic = False"
    return ""


def _of_new_field(field: Any) -> str:
    if isinstance(field, models.ManyToManyField) or field.null or field.db_default is not NOT_PROVIDED:
        if field.db_index or field.unique or isinstance(field, models.ForeignKey):
            return "its index stops writing until it is built: db_index=False, and AddIndexConcurrently"
        return ""
    return "the previous release writes rows without it: null=True, or a db_default"


def _of_changed_field(old: Any, new: Any) -> str:
    """Judge by what the database sees: choices, defaults and words in Python are nobody else's business."""
    if type(old) is not type(new):
        return "the table is written anew while nobody can read it, and the previous release expects the old type"
    if old.null and not new.null:
        return "the previous release still writes NULL, and every row is looked at under a lock"
    if (new.unique and not old.unique) or (new.db_index and not old.db_index):
        return "its index stops writing until it is built"
    before, after = getattr(old, "max_length", None), getattr(new, "max_length", None)
    if before is not None and after is not None and after < before:
        return "the previous release still writes longer values"
    if old.db_default is not NOT_PROVIDED and new.db_default is NOT_PROVIDED and not new.null:
        return "the previous release may rely on the database's default"
    return ""
