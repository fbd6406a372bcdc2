"""A leashed process ends with its owner, takes its descendants along, and otherwise ends as it would."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.lifetime import Leashed, StartError
from tests.stack.conftest import alive, gone, line_of

# A child, and a grandchild that has left its session, group and parent.
FAMILY = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(600)
    os._exit(0)
time.sleep(600)
"""


def start(tmp_path: Path, *command: str) -> Leashed:
    return Leashed.start([sys.executable, "-c", *command], log=tmp_path / "log")


def number_in(path: Path) -> int:
    import time

    while not (path.exists() and path.read_text()):
        time.sleep(0.02)
    return int(path.read_text())


def test_the_exit_code_is_passed_on(tmp_path: Path) -> None:
    assert start(tmp_path, "raise SystemExit(7)").wait(10) == 7


def test_the_signal_is_passed_on(tmp_path: Path) -> None:
    process = start(tmp_path, "import time; time.sleep(600)")
    process.kill()
    assert process.returncode == -signal.SIGKILL
    assert gone(process.pid)


def test_a_polite_stop_reaches_the_process(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "print('set', flush=True)\ntime.sleep(600)",
    )
    while "set" not in (tmp_path / "log").read_text():
        pass
    process.stop()
    assert process.returncode == 3


def test_one_that_does_not_listen_is_killed_after_the_bound(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('set', flush=True)\ntime.sleep(600)",
    )
    while "set" not in (tmp_path / "log").read_text():
        pass
    process.stop(seconds=0.2)
    assert process.returncode == -signal.SIGKILL


def test_what_cannot_be_executed_is_told_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no-such-command"):
        Leashed.start(["no-such-command"], log=tmp_path / "log")


def test_a_killed_process_takes_its_daemons_along(tmp_path: Path) -> None:
    process = start(tmp_path, FAMILY, str(tmp_path / "pid"))
    daemon = number_in(tmp_path / "pid")
    process.kill()
    assert gone(daemon)


def test_it_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[Leashed] = []
    thread = threading.Thread(target=lambda: started.append(start(tmp_path, "import time; time.sleep(600)")))
    thread.start()
    thread.join()
    assert started[0].wait(0.3) is None
    started[0].kill()


def test_a_killed_owner_leaves_neither_process_nor_daemon_nor_folder(
    tmp_path: Path, owner: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    program = owner(f"""
        import sys, time
        from pathlib import Path
        from stack.lifetime import Leashed
        command = [sys.executable, "-c", {FAMILY!r}, {str(tmp_path / "pid")!r}]
        process = Leashed.start(command, log=Path({str(tmp_path / "log")!r}), remove=Path({str(folder)!r}))
        print(process.pid)
        time.sleep(600)
    """)
    process = int(line_of(program))
    daemon = number_in(tmp_path / "pid")
    assert alive(process)
    program.kill()
    assert gone(process)
    assert gone(daemon)
    import time

    deadline = time.monotonic() + 10
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
