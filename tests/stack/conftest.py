"""Helpers: run a program that owns parts of the stack, end it in every way, see what it leaves."""

import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack.servers import NO_FSYNC

ROOT = Path(__file__).resolve().parent.parent.parent
GONE_SECONDS = 10.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let these tests use sockets, which unit tests may not."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.enable_socket)
            item.add_marker(pytest.mark.timeout(120))


# Tests may run as a background job, or under nohup, which inherit these ignored; a newcomer's terminal does not.
LISTENS_TO_CTRL_C = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""


@pytest.fixture(autouse=True)
def own_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's given servers are touched."""
    for name in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "PAYDESK_CHROMIUM", NO_FSYNC):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def short_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for temporary folders, short enough for sockets: what is left in it is ours."""
    tmp_path_factory.getbasetemp()  # pytest's own folder must not be made in it
    with tempfile.TemporaryDirectory(prefix="pds-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield folder


@pytest.fixture
def owner() -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Start a Python program that imports the stack; its stdout is a pipe."""
    programs: list[subprocess.Popen[str]] = []

    def start(source: str) -> "subprocess.Popen[str]":
        program = subprocess.Popen(
            [sys.executable, "-c", LISTENS_TO_CTRL_C + textwrap.dedent(source)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.kill()
        program.communicate()


def line_of(program: "subprocess.Popen[str]") -> str:
    """Return the program's next line of output."""
    assert program.stdout is not None
    return program.stdout.readline().strip()


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and waits to be collected does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


def gone(pid: int) -> bool:
    """Wait until a process has ended, and tell whether it has."""
    deadline = time.monotonic() + GONE_SECONDS
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds, and tell whether it does."""
    deadline = time.monotonic() + GONE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
