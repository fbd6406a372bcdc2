"""What a page shows together is read as of one moment.

PostgreSQL gives every statement its own view of the data. A page that read the cart before a payment's end and the
payment after it would show what never was: an order that waits for nothing, "a part is paid" where nothing came in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def one_moment() -> Iterator[None]:
    """Read all that is read within as it was at one moment; also a decorator. Within a transaction it is that one's."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield
