"""The servers are real: data survive a kill, two do not meet, and nothing stays behind."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import environ
import psycopg
import pytest
import redis

from stack import servers
from stack.lifetime import StartError
from stack.servers import NO_FSYNC, GivenServer, GivenServerError, PostgresServer, RedisServer
from tests.stack.conftest import eventually, gone, line_of

Owner = Callable[[str], "subprocess.Popen[str]"]
OWNER = """
    import time
    from pathlib import Path
    from stack.servers import PostgresServer, RedisServer
    postgres, cache = PostgresServer.start(Path({root!r})), RedisServer.start(Path({root!r}))
    print(postgres.pid, cache.pid)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATABASE_URL", NO_FSYNC):
            patch.delenv(name, raising=False)
        with PostgresServer.start(tmp_path_factory.mktemp("postgres")) as server:
            yield server


def value(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None


def execute(url: str, query: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(query.encode())


def test_what_was_committed_survives_a_kill(postgres: PostgresServer) -> None:
    execute(postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = postgres.pid
    postgres.kill()
    assert postgres.pid is None
    assert not postgres.crashed
    assert pid is not None
    assert gone(pid)
    postgres.restart()
    assert value(postgres.url, "SELECT answer FROM kept") == 42


def test_a_death_that_we_did_not_cause_is_a_crash(postgres: PostgresServer) -> None:
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    assert eventually(lambda: postgres.crashed)
    postgres.restart()
    assert value(postgres.url, "SELECT 1") == 1


def test_it_is_durable_wide_enough_and_closed_to_the_network(postgres: PostgresServer) -> None:
    assert value(postgres.url, "SHOW fsync") == "on"
    assert value(postgres.url, "SHOW listen_addresses") == ""
    assert value(postgres.url, "SHOW server_encoding") == "UTF8"
    assert value(postgres.url, "SHOW TimeZone") == "UTC"
    assert int(str(value(postgres.url, "SHOW max_connections"))) == 200


def test_the_address_means_the_same_to_django_as_to_psycopg(postgres: PostgresServer) -> None:
    parsed = environ.Env.db_url_config(postgres.url)
    assert (parsed["NAME"], parsed["USER"], parsed["PORT"]) == ("paydesk", "paydesk", "")
    # What Django's backend makes of it: the options go to libpq as they are.
    with psycopg.connect(dbname=parsed["NAME"], user=parsed["USER"], **parsed["OPTIONS"]) as connection:
        assert connection.info.dbname == "paydesk"


def test_a_database_may_have_any_name(postgres: PostgresServer) -> None:
    url = postgres.create_database('Größe "1" %')
    assert value(url, "SELECT current_database()") == 'Größe "1" %'
    assert servers.create_database(postgres.url, "beside") == postgres.url_of("beside")


def test_two_servers_do_not_meet_and_leave_nothing(short_tmp: Path, tmp_path: Path) -> None:
    with PostgresServer.start(tmp_path / "a") as one, PostgresServer.start(tmp_path / "b") as other:
        execute(one.url, "CREATE TABLE mine ()")
        assert value(other.url, "SELECT to_regclass('mine')") is None
        pids = (one.pid, other.pid)
    assert all(pid is not None and gone(pid) for pid in pids)
    assert list(short_tmp.iterdir()) == []


def test_long_paths_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100) / "tmp"
    long.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with PostgresServer.start(tmp_path / ("y" * 100)) as server:
        assert value(server.url, "SELECT 1") == 1
        assert server.log.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs it as somebody else")
def test_binaries_below_a_closed_folder_still_start(
    short_tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = servers.postgres_installation()
    libraries = installed.parent.with_name(f"{installed.parent.name}.libs")
    closed = tmp_path / "closed"
    copied = closed / installed.parent.name / installed.name
    shutil.copytree(installed, copied)
    shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    monkeypatch.setattr(servers, "postgres_installation", lambda: copied)
    with PostgresServer.start(tmp_path / "logs") as server:
        assert value(server.url, "SELECT 1") == 1


def test_redis_keeps_its_data_and_port_through_a_kill_and_loses_them_when_wiped(
    short_tmp: Path, tmp_path: Path
) -> None:
    with RedisServer.start(tmp_path) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("kept", "yes")
            client.execute_command("WAITAOF", 1, 0, 5000) if client.info()["redis_version"] >= "7.2" else None
            settings = client.config_get("*")
        assert (settings["appendonly"], settings["maxmemory-policy"]) == ("yes", "noeviction")
        if settings["appendfsync"] == "everysec":
            server.restart()  # a clean stop writes everything; a kill may lose the last second
        server.kill()
        server.restart()
        assert server.url == url
        with redis.Redis.from_url(url) as client:
            assert client.get("kept") == b"yes"
            server.wipe()
            assert client.get("kept") is None
    assert list(short_tmp.iterdir()) == []


def test_a_port_taken_at_the_last_moment_is_not_the_end(
    short_tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisServer.start(tmp_path) as first:
        taken, free = int(first.url.rpartition(":")[2].partition("/")[0]), servers.free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(servers, "free_port", lambda: next(ports))
        with RedisServer.start(tmp_path) as second:
            assert second.url == f"redis://127.0.0.1:{free}/0"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_servers_end_with_their_owner(
    short_tmp: Path, tmp_path: Path, owner: Owner, number: signal.Signals
) -> None:
    program = owner(OWNER.format(root=str(tmp_path)))
    pids = [int(pid) for pid in line_of(program).split()]
    assert len(pids) == 2
    program.send_signal(number)
    program.wait(20)
    assert all(gone(pid) for pid in pids)
    assert eventually(lambda: list(short_tmp.iterdir()) == [])


def test_a_given_server_is_used_and_never_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://somebody@elsewhere/theirs")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere/0")
    for server, url in (
        (servers.postgres_from_environment_or_start(tmp_path), "postgres://somebody@elsewhere/theirs"),
        (servers.redis_from_environment_or_start(tmp_path), "redis://elsewhere/0"),
    ):
        assert isinstance(server, GivenServer)
        assert server.url == url
        with pytest.raises(GivenServerError):
            server.kill()
        server.stop()


def test_without_any_redis_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.servers.shutil.which", lambda _name: None)
    monkeypatch.setattr("stack.servers.importlib.util.find_spec", lambda _name: None)
    with pytest.raises(StartError, match="apt-get install redis-server"):
        servers.redis_binary()


def test_a_redis_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=00000000:0 malloc=jemalloc bits=64'\n")
    old.chmod(0o755)
    assert servers.redis_version(old) == (5, 0)
    monkeypatch.setattr("stack.servers.shutil.which", lambda _name: str(old))
    assert servers.redis_binary() != old
