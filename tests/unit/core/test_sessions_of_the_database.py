"""Nothing is kept in a session of the database: PgBouncer gives each transaction another one."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import OperationalError, connections

from stack.reference import ROOT
from web.payments.queries import replica

# Each would work with one connection and fail, or do harm, behind PgBouncer in transaction mode.
KEPT_IN_A_SESSION = re.compile(
    r"pg_advisory_lock\(|pg_try_advisory_lock\(|\bLISTEN\s+\w|\bSET\s+(?!LOCAL\b)(?:SESSION\s+)?\w+\s*(?:=|TO)\s"
    r"|set_config\([^)]*false|DECLARE\s+\w+\s+CURSOR|CREATE\s+TEMP|prepare=True|prepare_threshold|named_cursor"
)
# `UPDATE … SET name = …` is no setting of a session.
UPDATE = re.compile(r"(?:UPDATE|DO UPDATE)\b[^;]*?\bSET\b", re.DOTALL)


def test_the_sources_keep_nothing_in_a_session() -> None:
    found = []
    for folder in ("web", "tasks", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            if "migrations" in path.parts:  # these go to PostgreSQL itself
                continue
            text = UPDATE.sub("UPDATE", path.read_text())
            found += [f"{path.relative_to(ROOT)}: {match[0]!r}" for match in KEPT_IN_A_SESSION.finditer(text)]
    assert found == []
    assert settings.DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] is True


def test_the_rule_can_be_broken() -> None:
    for text in ("SELECT pg_advisory_lock(1)", "LISTEN jobs", "SET lock_timeout = 5", "SET SESSION x TO 1"):
        assert KEPT_IN_A_SESSION.search(text), text
    for text in ("SET LOCAL lock_timeout = 5", "pg_advisory_xact_lock(1)", "set_config('a', %s, true)"):
        assert not KEPT_IN_A_SESSION.search(text), text


def test_reports_ask_the_replica_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert replica.alias() == "default"
    monkeypatch.setitem(connections.settings, "replica", {})
    assert replica.alias() == "replica"


@pytest.mark.django_db  # a connection is closed: not in a thread where a browser's event loop runs
def test_reports_ask_the_one_database_while_the_replica_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings, "replica", dict(connections.settings["default"]))
    monkeypatch.setattr(replica, "_asked_again_at", 0.0)
    now = 1_000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    asked: list[str] = []

    def sums(alias: str) -> str:
        asked.append(alias)
        if alias == "replica" and len(asked) < 4:
            raise OperationalError
        return alias

    assert [replica.read(sums), replica.read(sums)] == ["default", "default"]
    assert asked == ["replica", "default", "default"]  # not asked again at once: a page would wait for it
    now += replica.AWAY_SECONDS
    assert replica.read(sums) == "replica"


def test_a_pool_begins_anew_as_soon_as_those_who_wait_give_up() -> None:
    """Else it would stay away for as long as the database was: its delays double."""
    ask = "from django.conf import settings as s; p = s.DATABASES['default']['OPTIONS']['pool']; \
print(p['reconnect_timeout'] <= p['timeout'])"
    env = {**os.environ, "DATABASE_POOL_SIZE": "4"}
    said = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True"]


def test_a_replica_has_the_sessions_rules_and_an_address_of_its_own() -> None:
    env = {**os.environ, "DATABASE_REPLICA_URL": "postgres://reader@elsewhere/paydesk?host=/run/copy"}
    ask = "from django.conf import settings as s; d = s.DATABASES; print(d['replica']['USER'], \
d['replica']['OPTIONS']['host'], d['replica']['OPTIONS']['options'] == d['default']['OPTIONS']['options'])"
    said = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["reader", "/run/copy", "True"]
