"""Pages of lists: an opaque cursor says after what the next page begins, so that what is new shifts nothing."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _

from web.api.problems import InvalidRequest
from web.payments.queries.finding import Key

MOST, USUAL = 100, 25

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of a list: so many, after a key."""

    limit: int
    after: Key | None


def wanted(query: Mapping[str, str]) -> Wanted:
    """Read `limit` and `cursor` from an address; raise InvalidRequest for what is neither."""
    limit, cursor = query.get("limit", str(USUAL)), query.get("cursor", "")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 4 and 1 <= int(limit) <= MOST):
        raise _wrong("limit", _("is not a whole number from 1 to 100"))
    return Wanted(int(limit), _opened(cursor) if "cursor" in query else None)


def _opened(cursor: str) -> Key:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    key = Key.parse(text) if len(cursor) < 100 else None
    if key is None:
        raise _wrong("cursor", _("is not one that this list gave"))
    return key


def _wrong(field: str, problem: str) -> InvalidRequest:
    return InvalidRequest(fields=[{"field": field, "problem": problem}])


def page(rows: QuerySet[Row], asked: Wanted) -> tuple[list[Row], str | None]:
    """Return a page of rows that have `created_at`, the newest first, and the cursor of the next one."""
    if asked.after is not None:
        # The first condition alone is a range of the index; the second drops the few of the same moment.
        rows = rows.filter(created_at__lte=asked.after.at).filter(
            Q(created_at__lt=asked.after.at) | Q(id__lt=asked.after.id)
        )
    found = list(rows.order_by("-created_at", "-id")[: asked.limit + 1])
    shown = found[: asked.limit]
    if len(found) <= asked.limit:
        return shown, None
    last = shown[-1]
    key = str(Key(last.created_at, last.pk))  # type: ignore[attr-defined]  # every list's rows have it
    return shown, base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def uuid_of(field: str, text: str) -> uuid.UUID:
    """Read a parameter that is a UUID; raise InvalidRequest for what is none."""
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise _wrong(field, _("is not a UUID")) from error
