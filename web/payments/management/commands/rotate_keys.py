"""`manage.py rotate_keys`: seal every secret of the database with the newest key of FIELD_ENCRYPTION_KEYS.

Put a new key behind the old one and restart everything; then in front of it, and restart; run this; and only then
take the old key away. Straight to the front would leave processes that have not restarted yet with secrets that they
cannot open. Safe to run again, at once with itself, and while the site sells: a row that changes meanwhile was sealed
with the newest key.
"""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.db.models import Model

from web.core.crypto import CannotOpenSecret, is_sealed_with_newest, reseal

BATCH = 500


class Command(BaseCommand):
    help = "Seal every stored secret again with the newest of FIELD_ENCRYPTION_KEYS."

    def handle(self, *args: Any, **options: Any) -> None:
        lost = 0
        for model in apps.get_models():
            for column in sealed_columns(model):
                done, kept, unreadable = rotate(model, column)
                lost += unreadable
                self.stdout.write(
                    f"{model._meta.db_table}.{column}: {done} sealed again, {kept} were, {unreadable} cannot be opened"
                )
        done, kept, unreadable = rotate_authenticators()
        lost += unreadable
        self.stdout.write(f"second factors: {done} sealed again, {kept} were, {unreadable} cannot be opened")
        if lost:
            raise CommandError(
                f"{lost} values were sealed with a key that FIELD_ENCRYPTION_KEYS does not hold; they are as they were."
            )


def sealed_columns(model: type[Model]) -> list[str]:
    """Return the model's columns that hold something sealed: their names say so."""
    return [field.name for field in model._meta.concrete_fields if field.name.endswith("_sealed")]


def rotate(model: type[Model], column: str) -> tuple[int, int, int]:
    """Seal a column again; return how many rows were sealed, were already, and cannot be opened."""
    done = kept = unreadable = last = 0
    while True:
        rows = model._default_manager.filter(pk__gt=last).exclude(**{column: ""}).order_by("pk")
        batch = list(rows.values_list("pk", column)[:BATCH])
        for pk, sealed in batch:
            if is_sealed_with_newest(sealed):
                kept += 1
                continue
            try:
                fresh = reseal(sealed)
            except CannotOpenSecret:
                unreadable += 1
                continue
            # Only if it is still what was read: a payment that ended meanwhile keeps no secret.
            done += model._default_manager.filter(pk=pk, **{column: sealed}).update(**{column: fresh})
        if len(batch) < BATCH:
            return done, kept, unreadable
        last = batch[-1][0]


def rotate_authenticators() -> tuple[int, int, int]:
    """Seal the secrets of second factors again: they stand inside of a JSON column (core/second_factor.py)."""
    done = kept = unreadable = 0
    for pk in Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN).values_list("pk", flat=True):
        with transaction.atomic():  # a recovery code that is used meanwhile stays used
            row = Authenticator.objects.select_for_update().filter(pk=pk).first()
            name = "secret" if row is not None and row.type == Authenticator.Type.TOTP else "seed"
            if row is None or name not in row.data:
                continue
            if is_sealed_with_newest(row.data[name]):
                kept += 1
                continue
            try:
                row.data[name] = reseal(row.data[name])
            except CannotOpenSecret:
                unreadable += 1
                continue
            row.save(update_fields=["data"])
            done += 1
    return done, kept, unreadable
