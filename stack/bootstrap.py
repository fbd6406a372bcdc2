"""A newcomer's first command: makes `.venv` beside this folder with exactly what the lock names.

Runs on the system's Python before anything is installed, so it needs the standard library alone. Running it
again costs nothing; an environment that was interrupted, moved, or made by another Python is made again.
Packages come from wherever the user's own pip settings say.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Iterator  # noqa: UP035  (a Python too old for the other form must get as far as being told)

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
LOCK = ROOT / "requirements-dev.lock"
STATE = ROOT / ".paydesk"  # not in .venv, which may be removed while somebody waits
LOG = STATE / "setup.log"
STAMP = ENVIRONMENT / "paydesk.json"  # written last: what the environment holds
UNFINISHED = ENVIRONMENT / "paydesk.unfinished"  # there while pip works: whatever it left cannot be trusted
OLDEST = (3, 11)
BUNDLED_REDIS = ((3, 11), (3, 12))  # the Pythons for which a wheel brings redis-server (Linux, x86-64)
LIFE_SIGN_SECONDS = 10.0
TAIL_LINES = 15


def main() -> None:
    """Make or repair the environment, and the browser too with --browser."""
    parser = argparse.ArgumentParser(description="Make Paydesk's development environment in .venv")
    parser.add_argument(
        "--browser", action="store_true", help="also find or install a Chromium for the tests"
    )
    options = parser.parse_args()
    if problem := missing():
        sys.exit(problem)
    try:
        set_up()
    except KeyboardInterrupt:
        sys.exit("interrupted: run it again, it repairs what is half done")
    if options.browser:
        sys.exit(subprocess.run([str(PYTHON), "-m", "stack.browser"], cwd=ROOT, check=False).returncode)


def missing() -> str | None:
    """Return what the machine lacks and how to get it, or None."""
    here = f"this is {platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST:
        return (
            f"Paydesk needs Python 3.11 or newer; {here}.\n"
            "Install one (Debian 12: apt-get install python3; macOS: brew install python@3.12),\n"
            "or name one that is installed: make setup PYTHON=python3.12"
        )
    bundled = (sys.platform, platform.machine()) == ("linux", "x86_64") and sys.version_info[
        :2
    ] in BUNDLED_REDIS
    if not bundled and shutil.which("redis-server") is None and not os.environ.get("REDIS_URL"):
        return (
            "Install redis-server (6.2 or newer) first: Debian, Ubuntu: apt-get install redis-server; "
            "Fedora: dnf install redis; macOS: brew install redis.\n"
            f"It comes with Paydesk's environment for Python 3.11 and 3.12 on Linux x86-64 only; {here}, "
            f"{platform.system()} {platform.machine()}.\nOr set REDIS_URL to a server of yours."
        )
    return None


def set_up() -> None:
    """Bring `.venv` to what the lock says; at once when it is so already. Exits with what went wrong."""
    began = time.monotonic()
    STATE.mkdir(exist_ok=True)
    with only_one() as lock:
        wanted = stamp()
        if is_current(wanted):
            print(f"environment ready: {ENVIRONMENT.name} (nothing to do)")
            return
        if ENVIRONMENT.exists() and (reason := unusable()):
            print(f"removing {ENVIRONMENT.name}: {reason}", flush=True)
            shutil.rmtree(ENVIRONMENT)
        if not ENVIRONMENT.exists():
            make_environment()
        UNFINISHED.touch()
        STAMP.unlink(missing_ok=True)
        install(lock)
        STAMP.write_text(json.dumps(wanted) + "\n")
        UNFINISHED.unlink()
    print(f"environment ready: {ENVIRONMENT.name} ({time.monotonic() - began:.0f} s)", flush=True)


@contextlib.contextmanager
def only_one() -> Iterator[IO[str]]:
    """Hold the lock of this checkout's set-up, waiting for whoever has it."""
    with (STATE / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print("another set-up of this folder is running: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def stamp() -> dict[str, str]:
    """Return what an up-to-date environment was made of. The folder is part of it: scripts hold its path."""
    return {
        "lock": hashlib.sha256(LOCK.read_bytes()).hexdigest(),
        "python": ".".join(map(str, sys.version_info[:2])),
        "folder": str(ENVIRONMENT),
    }


def is_current(wanted: dict[str, str]) -> bool:
    """Tell whether the environment was finished, from this lock, by this Python, here, and still runs."""
    try:
        made = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return False
    return made == wanted and not UNFINISHED.exists() and runs()


def unusable() -> str | None:
    """Return why the existing environment must be made again, or None when installing into it will do."""
    if UNFINISHED.exists():
        return "an earlier set-up was interrupted"
    with contextlib.suppress(OSError, ValueError):
        if json.loads(STAMP.read_text()).get("folder") != str(ENVIRONMENT):
            return "this folder was moved or copied"
    if not runs():
        return f"it was made by another Python, or its Python is gone (wanted: {platform.python_version()})"
    return None


def runs() -> bool:
    """Tell whether the environment's Python starts and is of our version."""
    ask = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    try:
        told = subprocess.run(
            [str(PYTHON), "-c", ask], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return told.stdout.strip() == ".".join(map(str, sys.version_info[:2]))


def make_environment() -> None:
    """Make an empty environment, with pip in it if this Python can. Exits with what to install otherwise."""
    own_pip = has("ensurepip")
    if not own_pip and not has("pip"):
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(
            f"This Python ({sys.executable}) has neither ensurepip nor pip.\n"
            f"Debian, Ubuntu: apt-get install python{version}-venv (or python3-venv)"
        )
    print(f"making {ENVIRONMENT.name} with Python {platform.python_version()} ({sys.executable})", flush=True)
    command = [sys.executable, "-m", "venv", *([] if own_pip else ["--without-pip"]), str(ENVIRONMENT)]
    with LOG.open("w") as log:
        if subprocess.run(command, stdout=log, stderr=log, check=False).returncode != 0:
            shutil.rmtree(ENVIRONMENT, ignore_errors=True)
            sys.exit(f"{tail()}\nmaking the environment failed (all of it: {LOG})")


def has(module: str) -> bool:
    """Tell whether this Python can import a module."""
    return importlib.util.find_spec(module) is not None


def pip() -> list[str]:
    """Return the command for pip in the environment: its own, else this Python's told to work there."""
    own = [str(PYTHON), "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return own
    return [sys.executable, "-m", "pip", "--python", str(PYTHON)]


def install(lock: IO[str]) -> None:
    """Install what the lock names, checking every hash. Exits with the end of pip's output on failure."""
    total = sum(1 for line in LOCK.read_text().splitlines() if re.match(r"[A-Za-z0-9]", line))
    command = [
        *pip(),
        *("install", "--require-hashes", "--no-deps", "--no-input", "--disable-pip-version-check"),
        *("--progress-bar", "off", "--requirement", str(LOCK)),
    ]
    # pip holds the lock too: should we be killed, nobody else starts before it has ended.
    with (
        LOG.open("w") as log,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=(lock.fileno(),),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ) as process,
    ):
        assert process.stdout is not None
        progress = Progress(total)
        for line in process.stdout:
            log.write(line)
            progress.read(line)
        progress.end()
    if process.returncode != 0:
        sys.exit(f"{tail()}\ninstalling failed (all of it: {LOG}); run it again when the cause is gone")


class Progress:
    """Turns pip's output into `fetching 57/101`: in place on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._seen = 0
        self._terminal = sys.stdout.isatty()
        self._told_at = 0.0
        self._width = 0

    def read(self, line: str) -> None:
        """Take one line of pip's output."""
        if line.startswith(("Collecting ", "Requirement already satisfied: ", "Ignoring ")):
            self._seen += 1
            words = line.replace("Requirement already satisfied:", "").split()
            name = words[0] if line.startswith("Req") else words[1]
            self._tell(
                f"fetching {min(self._seen, self._total)}/{self._total} {name.partition('==')[0].rstrip(':')}"
            )
        elif line.startswith("Installing collected packages"):
            count = line.count(",") + 1
            self._tell(f"installing {count} packages (half a minute)", now=True)

    def end(self) -> None:
        """Leave the line."""
        if self._terminal and self._width:
            print(flush=True)

    def _tell(self, text: str, *, now: bool = False) -> None:
        if self._terminal:
            print(f"\r{text:<{self._width}}", end="", flush=True)
            self._width = max(self._width, len(text))
        elif now or time.monotonic() - self._told_at > LIFE_SIGN_SECONDS:
            print(text, flush=True)
            self._told_at = time.monotonic()


def tail() -> str:
    """Return the end of the log."""
    return "\n".join(LOG.read_text(errors="replace").splitlines()[-TAIL_LINES:])


if __name__ == "__main__":
    main()
