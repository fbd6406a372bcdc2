"""What `manage.py migrate` and `manage.py check --database` refuse to work with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections

ENCODING = "UTF8"
MEND_ENCODING = (
    "Make a new one with createdb --encoding=UTF8 --template=template0 and let DATABASE_URL name it; where it holds"
    " something already, restore a dump of it there (docs/backups.md)."
)


def encoding_of(alias: str) -> str:
    """Return the encoding of a database's texts."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SHOW server_encoding")
        (encoding,) = cursor.fetchone()
    return str(encoding)


@register(Tags.database)
def database_holds_all_texts(
    app_configs: object, databases: Sequence[str] | None, **_: Any
) -> list[CheckMessage]:
    """Refuse a database in another encoding before anything is in it: names and JSON would fail, one by one, later."""
    return [
        Error(
            f"The database's encoding is {encoding}, and it has to be {ENCODING}.",
            hint=MEND_ENCODING,
            id="paydesk.E001",
        )
        for alias in databases or ()
        if (encoding := encoding_of(alias)) != ENCODING
    ]
