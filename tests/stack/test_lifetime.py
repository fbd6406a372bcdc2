"""Folders go with their owner, at once or at the next start; a living owner's folder is never touched."""

import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.lifetime import PREFIX, PrivateFolder, short_base
from tests.stack.conftest import line_of

OWNER = """
    import time
    from stack import lifetime
    folder = lifetime.PrivateFolder()
    class Thing:
        def stop(self): folder.remove()
    lifetime.stop_at_exit(Thing())
    print(folder.path)
    time.sleep(600)
"""
Owner = Callable[[str], "subprocess.Popen[str]"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_ended_owner_leaves_no_folder(short_tmp: Path, owner: Owner, number: signal.Signals) -> None:
    program = owner(OWNER)
    assert Path(line_of(program)).is_dir()
    program.send_signal(number)
    program.wait(10)
    assert list(short_tmp.iterdir()) == []


def test_a_killed_owners_folder_is_swept_at_the_next_start_and_a_living_ones_is_not(
    short_tmp: Path, owner: Owner
) -> None:
    dead, living = owner(OWNER), owner(OWNER)
    dead_folder, living_folder = Path(line_of(dead)), Path(line_of(living))
    dead.kill()
    dead.wait()
    assert dead_folder.exists()
    ours = PrivateFolder()
    assert not dead_folder.exists()
    assert living_folder.exists()
    ours.remove()


def test_a_folder_that_is_being_made_and_one_of_somebody_else_stay(short_tmp: Path) -> None:
    unlocked, foreign = short_tmp / f"{PREFIX}new", short_tmp / f"{PREFIX}foreign"
    unlocked.mkdir()
    foreign.mkdir()
    (foreign / "theirs").touch()
    PrivateFolder().remove()
    assert unlocked.exists()
    assert (foreign / "theirs").exists()


def test_a_temporary_folder_too_long_for_a_socket_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert short_base(open_to_others=False) == Path("/tmp")
