"""A pool's connection is asked whether it lives when it has rested, and not again within the second."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from psycopg import Connection
from psycopg_pool import ConnectionPool

from web.core.postgresql import base

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Connection[Any]]:
    """Which connections were asked."""
    real, made = ConnectionPool.check_connection, []

    def ask(one: Connection[Any]) -> None:
        made.append(one)
        real(one)

    monkeypatch.setattr(ConnectionPool, "check_connection", staticmethod(ask))
    return made


@pytest.fixture
def wrapper() -> Iterator[base.DatabaseWrapper]:
    """The backend as the web processes have it: with a pool, here of one."""
    pools = base.DatabaseWrapper({**connection.settings_dict, "CONN_MAX_AGE": 0}, alias="pooled")
    pools.settings_dict["OPTIONS"] = {
        **pools.settings_dict["OPTIONS"],
        "pool": {"min_size": 1, "max_size": 1, "timeout": 5},
    }
    yield pools
    pools.close()
    pools.close_pool()


def backend(wrapper: base.DatabaseWrapper) -> int:
    """Take the connection, ask which process of the server it has, and give it back, as a request does."""
    try:
        with wrapper.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
            return int(pid)
    finally:
        wrapper.close()


def test_within_a_second_it_is_asked_once(
    wrapper: base.DatabaseWrapper, asked: list[Connection[Any]]
) -> None:
    assert len({backend(wrapper) for _ in range(5)}) == 1
    assert len(asked) == 1


def test_one_that_died_while_it_rested_is_replaced(
    wrapper: base.DatabaseWrapper, asked: list[Connection[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = backend(wrapper)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert cursor.fetchone() == (True,)
    monkeypatch.setattr(base, "ASKED_AFTER_SECONDS", 0.0)
    assert backend(wrapper) != pid
    assert len(asked) >= 2
