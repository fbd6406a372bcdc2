"""Migrations that would stop or break the previous release are refused; those that would not are not."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import call_command
from django.db import migrations, models
from django.db.migrations.state import ModelState, ProjectState

from web.ops.releases import of_migration, unsafe

BEFORE = ProjectState(
    {
        ("payments", "thing"): ModelState(
            "payments",
            "Thing",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=40, null=True)),
                ("number", models.IntegerField(db_default=0, default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["number"], name="thing_number")],
                "constraints": [models.CheckConstraint(condition=models.Q(number__gt=0), name="positive")],
            },
        )
    }
)
INDEX = models.Index(fields=["name"], name="thing_name")

REFUSED: list[tuple[Any, str]] = [
    (migrations.RemoveField("thing", "name"), "still names this column"),
    (migrations.RenameField("thing", "name", "title"), "still names this column"),
    (migrations.DeleteModel("Thing"), "still reads and writes"),
    (migrations.RenameModel("Thing", "Things"), "still reads and writes"),
    (migrations.AddField("thing", "size", models.IntegerField(default=0)), "writes rows without it"),
    (migrations.AddField("thing", "code", models.CharField(max_length=4, null=True, unique=True)), "index"),
    (migrations.AlterField("thing", "name", models.CharField(max_length=40)), "still writes NULL"),
    (migrations.AlterField("thing", "name", models.CharField(max_length=20, null=True)), "longer values"),
    (migrations.AlterField("thing", "number", models.BigIntegerField(default=0)), "written anew"),
    (migrations.AlterField("thing", "number", models.IntegerField(default=0)), "database's default"),
    (migrations.AddIndex("thing", INDEX), "AddIndexConcurrently"),
    (migrations.AddConstraint("thing", models.UniqueConstraint(fields=["name"], name="u")), "concurrently"),
    (
        migrations.AddConstraint("thing", models.CheckConstraint(condition=models.Q(number=0), name="c")),
        "NOT VALID",
    ),
    (migrations.RunSQL("SELECT 1"), "nobody but you"),
]
ALLOWED: list[Any] = [
    migrations.AddField("thing", "size", models.IntegerField(null=True)),
    migrations.AddField("thing", "size", models.IntegerField(default=0, db_default=0)),
    migrations.AlterField("thing", "name", models.CharField(max_length=80, null=True)),
    migrations.AlterField("thing", "name", models.CharField(max_length=40, null=True, choices=[("a", "A")])),
    migrations.RemoveIndex("thing", "thing_number"),
    migrations.RemoveConstraint("thing", "positive"),
]


def judged(*operations: Any, atomic: bool = True) -> list[str]:
    migration: Any = migrations.Migration("0099_new", "payments")
    migration.operations, migration.atomic = list(operations), atomic
    return [one.why for one in of_migration(migration, BEFORE)]


@pytest.mark.parametrize(("operation", "why"), REFUSED, ids=lambda one: type(one).__name__)
def test_refused(operation: Any, why: str) -> None:
    (said,) = judged(operation)
    assert why in said


@pytest.mark.parametrize("operation", ALLOWED, ids=lambda one: type(one).__name__)
def test_allowed(operation: Any) -> None:
    assert judged(operation) == []


def test_what_a_migration_makes_itself_it_may_change() -> None:
    made = migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))])
    index = migrations.AddIndex("new", models.Index(fields=["id"], name="new_id"))
    assert judged(made, index) == []


def test_a_concurrent_index_needs_a_migration_without_a_transaction() -> None:
    assert judged(AddIndexConcurrently("thing", INDEX), atomic=False) == []
    assert "atomic = False" in judged(AddIndexConcurrently("thing", INDEX))[0]


def test_ours_are_safe_and_the_check_sees_those_of_the_first_release() -> None:
    call_command("check_migrations", verbosity=0)
    everything = list(unsafe({"core": 1}))
    assert any(one.migration == "core.0003_find_people" and "nobody but you" in one.why for one in everything)
