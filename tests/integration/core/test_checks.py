"""A database that could not hold every text is refused before anything is in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def ascii_database() -> Iterator[str]:
    """A database as it is made where no locale is set; its address."""
    url = os.environ["DATABASE_URL"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS in_ascii WITH (FORCE)")
        connection.execute(
            "CREATE DATABASE in_ascii ENCODING 'SQL_ASCII' LOCALE_PROVIDER 'libc' LC_COLLATE 'C'"
            " LC_CTYPE 'C' TEMPLATE template0"
        )
        try:
            yield urlunsplit(urlsplit(url)._replace(path="/in_ascii"))
        finally:
            connection.execute("DROP DATABASE in_ascii WITH (FORCE)")


def test_migrate_refuses_another_encoding(ascii_database: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput"],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": ascii_database,
            "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "The database's encoding is SQL_ASCII, and it has to be UTF8." in done.stderr
    assert "--encoding=UTF8" in done.stderr
    with psycopg.connect(ascii_database) as connection:
        assert connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone() == (0,)
