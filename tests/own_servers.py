"""For tests that start a whole stack: its servers are its own, whatever the session's are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_NAMES = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "EMAIL_URL")


@contextmanager
def own_servers() -> Iterator[None]:
    """Start a Stack in here: it finds no servers in the environment, and starts some."""
    with pytest.MonkeyPatch.context() as environment:
        for name in _NAMES:
            environment.delenv(name, raising=False)
        yield
