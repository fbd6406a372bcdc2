"""What we start ends when we end: leashed processes, private folders, and the list of things to stop at exit.

A normal end, Ctrl-C, SIGTERM and SIGHUP stop everything in order and remove its folders. After SIGKILL the
leashes end the processes, and folders that still lie about are swept at the next start: each holds a lock
that the system releases with its owner.
"""

import atexit
import contextlib
import fcntl
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol, Self

LEASH = Path(__file__).with_name("leash.py")
START_SECONDS = 20.0  # to fork and exec one command; seconds even on a machine that is swapping
PREFIX = "pd-"
LOCK_NAME = "owner.lock"
UNLOCKED_SECONDS = 3600.0  # a folder of ours without a lock: its owner died between two system calls
LONGEST_FOLDER = 60  # characters; a Unix socket's whole path may have 107 bytes


class StartError(RuntimeError):
    """A part of the stack did not start; the message says why and what to do."""


class Stoppable(Protocol):
    """Something that ends with this process."""

    def stop(self) -> None: ...


_started: list[Stoppable] = []
_owner_pid = 0


def stop_at_exit(thing: Stoppable) -> None:
    """Have `thing.stop()` called when this process ends, the last one first.

    The first call also turns SIGTERM and SIGHUP into an orderly exit, unless the program handles them.
    """
    global _owner_pid
    if (
        _owner_pid != os.getpid()
    ):  # the first call, or the first one in a forked child, which owns nothing yet
        _owner_pid = os.getpid()
        _started.clear()
        atexit.register(_stop_everything)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _exit_in_order)
    _started.append(thing)


def stopped(thing: Stoppable) -> None:
    """Forget a thing that has been stopped."""
    with contextlib.suppress(ValueError):
        _started.remove(thing)


def _stop_everything() -> None:
    if os.getpid() == _owner_pid:
        while _started:
            _started.pop().stop()


def _exit_in_order(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


class Leashed:
    """A child process that cannot outlive this one. Made by `Leashed.start`; safe to use from any thread."""

    def __init__(self, guardian: "subprocess.Popen[bytes]", pid: int, command: Sequence[str]) -> None:
        self._guardian = guardian
        self.pid = pid
        self.command = tuple(command)

    @classmethod
    def start(
        cls,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: tuple[int, int] | None = None,
        remove: Path | None = None,
    ) -> Self:
        """Start `command` with its output appended to the file `log`.

        `user` is a pair of user and group ids to run it as; `remove` a folder that goes when we die without
        removing it.
        Raises StartError when it cannot be executed.
        """
        words = [str(word) for word in command]
        reading, writing = os.pipe()
        options = ["--owner", str(os.getpid()), "--report", str(writing)]
        if user is not None:
            options += ["--user", f"{user[0]}:{user[1]}"]
        if remove is not None:
            options += ["--remove", str(remove)]
        try:
            with log.open("ab") as output:
                guardian = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(LEASH), *options, "--", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=None if env is None else dict(env),
                    cwd=cwd,
                    pass_fds=(writing,),
                    start_new_session=True,  # a Ctrl-C in the terminal is ours to pass on, in the right order
                )
            os.close(writing)
            ready, _, _ = select.select([reading], [], [], START_SECONDS)
            report = os.read(reading, 4096).decode() if ready else ""
        finally:
            os.close(reading)
        kind, _, value = report.strip().partition(" ")
        if kind != "pid":
            guardian.kill()
            guardian.wait()
            raise StartError(f"{words[0]}: {value or 'did not start'} (log: {log})")
        return cls(guardian, int(value), words)

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._guardian.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code, the negative signal number, or None while it runs."""
        return self._guardian.poll()

    def send(self, number: int) -> None:
        """Send a signal to the process; nothing happens when it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait up to `seconds` (None: for ever); return the code, or None while it still runs."""
        try:
            return self._guardian.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kill the process and its descendants (SIGKILL), and wait until they are gone."""
        self.send(signal.SIGKILL)
        self._guardian.wait()

    def stop(self, number: int = signal.SIGTERM, seconds: float = 10.0) -> None:
        """Ask politely with a signal and, after `seconds`, kill."""
        self.send(number)
        if self.wait(seconds) is None:
            self.kill()


class PrivateFolder:
    """A folder with a short path for sockets and data, removed with its owner.

    `open_to_others` lets other users pass through it (not list it): a child that runs as another user must.
    """

    def __init__(self, *, open_to_others: bool = False) -> None:
        base = short_base(open_to_others=open_to_others)
        sweep(base)
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        # Locked first and named afterwards: nobody can take the lock of a folder that is still being made.
        unnamed = self.path / f"{LOCK_NAME}.new"
        self._lock = unnamed.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        unnamed.rename(self.path / LOCK_NAME)
        if open_to_others:
            self.path.chmod(0o711)

    def remove(self) -> None:
        """Remove the folder and all it holds; repeating is harmless."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def short_base(*, open_to_others: bool) -> Path:
    """Choose the folder for temporary folders: the user's own unless too long or closed to others.

    Raises StartError when neither it nor /tmp will do.
    """
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108  (mkdtemp makes the folder within)
        if len(os.fsencode(base)) > LONGEST_FOLDER or not os.access(base, os.W_OK | os.X_OK):
            continue
        if not open_to_others or all(
            folder.stat().st_mode & stat.S_IXOTH for folder in (base.resolve(), *base.resolve().parents)
        ):
            return base
    raise StartError(
        f"no folder for temporary files: {tempfile.gettempdir()} is too long or closed to others, "
        "and /tmp cannot be written"
    )


def sweep(base: Path) -> None:
    """Remove the folders in `base` that this user's dead processes left."""
    for folder in base.glob(f"{PREFIX}*"):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                continue
            with (folder / LOCK_NAME).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                if _is_empty_and_old(folder):
                    folder.rmdir()
        except OSError:  # its owner lives, or it is not ours
            continue


def _is_empty_and_old(folder: Path) -> bool:
    return not any(folder.iterdir()) and time.time() - folder.stat().st_mtime > UNLOCKED_SECONDS
