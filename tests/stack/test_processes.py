"""The supervisor keeps what it started running, until told to end; its parts are stand-ins that start at once."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import processes, servers
from stack.lifetime import StartError
from stack.processes import Stack
from tests.stack.conftest import eventually, gone

HTTP = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""
CELERY = """
import os, pathlib, sys, time
kind = "beat" if "beat" in sys.argv else "worker"
pathlib.Path(os.environ["PROBE_DIR"], f"paydesk-{kind}.alive").touch()
time.sleep(600)
"""


@pytest.fixture
def checkout(short_tmp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose parts are stand-ins, and servers that nobody needs to start."""
    for name, source in {
        "sandbox.py": HTTP,
        "granian.py": HTTP,
        "celery.py": CELERY,
        "manage.py": "import sys; print('ran', *sys.argv[1:])",
    }.items():
        (tmp_path / name).write_text(source)
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    monkeypatch.setattr(processes, "STATE", tmp_path / ".paydesk")
    monkeypatch.setenv("DATABASE_URL", "postgres://nobody@nowhere/none")
    monkeypatch.setenv("REDIS_URL", "redis://nowhere/0")
    return tmp_path


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def stack(checkout: Path, said: list[str]) -> Iterator[Stack]:
    with Stack(workers={"stripe": 2, "ledger": 1}, say=said.append) as running:
        yield running


def test_every_part_runs_and_ends(checkout: Path, short_tmp: Path) -> None:
    with Stack(say=lambda _line: None) as stack:
        names = [process.name for process in stack.processes()]
        pids = [process.pid for process in stack.processes()]
        assert names == ["sandbox", "web", "worker-stripe-1", "worker-mail-1", "worker-ledger-1", "beat"]
        assert processes.answers(f"{stack.urls.web}/healthz")
        assert "ran migrate --noinput" in (stack.run_dir / "migrate.log").read_text()
        logs = stack.run_dir
    assert all(pid is not None and gone(pid) for pid in pids)
    assert list(short_tmp.iterdir()) == []
    assert (logs / "web.log").exists()
    stack.stop()  # again: nothing happens


def test_a_killed_worker_comes_back_and_only_it(stack: Stack, said: list[str]) -> None:
    before = {process.name: process.pid for process in stack.processes()}
    assert stack.kill_worker("stripe", 2) == before["worker-stripe-2"]
    assert eventually(lambda: stack.pid("worker-stripe-2") not in (None, before["worker-stripe-2"]))
    stack.wait_ready("worker-stripe-2", 10)
    after = {process.name: process.pid for process in stack.processes()}
    assert {name for name in before if before[name] != after[name]} == {"worker-stripe-2"}
    assert "worker-stripe-2 ended (SIGKILL): starting it again" in said


def test_a_restarted_web_has_its_old_address(stack: Stack) -> None:
    stack.kill("web")
    stack.wait_ready("web", 10)
    assert processes.answers(stack.urls.web)


def test_one_that_dies_again_and_again_is_started_ever_more_slowly(stack: Stack, said: list[str]) -> None:
    stack.kill("beat")
    assert eventually(lambda: stack.pid("beat") is not None)
    stack.kill("beat")
    assert eventually(lambda: any("starting it again in 0.5 s" in line for line in said))


def test_what_is_taken_down_stays_down_until_brought_up(stack: Stack) -> None:
    stack.take_down("beat")
    time.sleep(3 * processes.WATCH_SECONDS)
    assert stack.pid("beat") is None
    stack.bring_up("beat")
    assert stack.pid("beat") is not None


def test_a_halted_part_does_not_hold_up_the_end(checkout: Path) -> None:
    with Stack(say=lambda _line: None) as stack:
        stack.send("worker-ledger-1", signal.SIGSTOP)
        began = time.monotonic()
    assert time.monotonic() - began < processes.WORKER_STOP_SECONDS


def test_a_part_that_cannot_start_is_an_error_with_its_last_words(checkout: Path, short_tmp: Path) -> None:
    (checkout / "celery.py").write_text("raise SystemExit('no broker, no work')")
    with pytest.raises(StartError, match="no broker, no work"):
        Stack(say=lambda _line: None).start()
    assert list(short_tmp.iterdir()) == []


def test_a_failed_migration_is_an_error_with_its_last_words(checkout: Path) -> None:
    (checkout / "manage.py").write_text("raise SystemExit('no such table')")
    with pytest.raises(StartError, match="no such table"):
        Stack(say=lambda _line: None).start()


def test_a_reserved_port_is_given_to_nobody_else_yet_can_be_listened_on() -> None:
    with processes.reserved_port() as port:
        assert port not in {servers.free_port() for _ in range(200)}
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_the_newest_logs_are_kept_and_those_in_use(checkout: Path) -> None:
    with processes.run_folder() as in_use:
        for _ in range(processes.KEPT_RUNS + 2):
            with processes.run_folder():
                time.sleep(0.01)
        assert in_use.exists()
    assert len(list((checkout / ".paydesk").glob("run-*"))) <= processes.KEPT_RUNS + 1


def test_keys_that_are_given_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", "one,two")
    monkeypatch.delenv("SECRET_KEY", raising=False)
    env = processes.environment(
        database_url="d",
        redis_url="r",
        web_port=8000,
        sandbox_url="http://s",
        mail_dir=tmp_path / "mail",
        extra={"LOG_LEVEL": "DEBUG"},
    )
    assert env["FIELD_ENCRYPTION_KEYS"] == "one,two"
    assert len(env["SECRET_KEY"]) >= 50
    assert env["CELERY_BROKER_URL"] == "r"
    assert env["STRIPE_JS_URL"] == "http://s/stripe.js"
    assert env["LOG_LEVEL"] == "DEBUG"
