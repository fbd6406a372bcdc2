"""The newcomer's one command, with its workers killed in the middle: nothing in its last line changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests import leaks

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = "demo: 4 sales settled, 1 carts open, 0 lost"


def descendants(pid: int) -> list[int]:
    """Return the ids of all processes below one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def workers_below(pid: int) -> list[int]:
    """Return the Celery worker processes below one, children of their pools too."""
    found = []
    for candidate in descendants(pid):
        try:
            command = Path(f"/proc/{candidate}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if (
            b"celery" in command
            and b"worker" in command
            and b"-m" in command
            and b"stack.leash" not in command
        ):
            found.append(candidate)
    return found


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_demo_once_with_workers_killed_in_the_middle() -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name
        not in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "FIELD_ENCRYPTION_KEYS", "DJANGO_SETTINGS_MODULE")
    }
    demo = subprocess.Popen(
        [sys.executable, "-m", "stack.demo", "--once"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    selling = threading.Event()

    def read() -> None:
        assert demo.stdout is not None
        for line in demo.stdout:
            lines.append(line.rstrip())
            if line.startswith("selling"):
                selling.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert selling.wait(180), "\n".join(lines)
        killed = 0
        for _ in range(3):
            for pid in workers_below(demo.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
            time.sleep(1.5)
        code = demo.wait(timeout=200)
    finally:
        demo.kill()
        demo.wait(10)
        reader.join(10)
        assert demo.stdout is not None
        demo.stdout.close()
    output = "\n".join(lines)
    assert killed >= 3, output
    assert "SIGKILL" in output, "the stack noticed and started them again"
    assert (code, lines[-1]) == (0, EXPECTED), output
    (logs,) = [line.removeprefix("logs: ") for line in lines if line.startswith("logs: ")]
    leaks.judge(Path(logs))
    assert not [pid for pid in descendants(demo.pid) if Path(f"/proc/{pid}").exists()]
