"""The first command: repeatable, repairing, alone, and plain about what is missing. The lock is empty: no network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stack import bootstrap
from tests.stack.conftest import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "clone" / "stack").mkdir(parents=True)
    shutil.copy(ROOT / "stack" / "bootstrap.py", tmp_path / "clone" / "stack")
    (tmp_path / "clone" / "requirements-dev.lock").write_text("# nothing\n")
    return tmp_path / "clone"


def set_up(clone: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "stack/bootstrap.py"],
        cwd=clone,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def output(clone: Path) -> str:
    process = set_up(clone)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, said
    return said


def test_what_was_interrupted_or_moved_or_is_of_another_python_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PYTHON", "STAMP", "UNFINISHED"):
        monkeypatch.setattr(bootstrap, name, tmp_path / name)
    assert str(bootstrap.unusable()).startswith("it was made by another Python, or its Python is gone")
    (tmp_path / "PYTHON").symlink_to(sys.executable)
    assert bootstrap.unusable() is None
    (tmp_path / "STAMP").write_text(json.dumps({"folder": "/elsewhere/.venv"}))
    assert bootstrap.unusable() == "this folder was moved or copied"
    (tmp_path / "UNFINISHED").touch()
    assert bootstrap.unusable() == "an earlier set-up was interrupted"


def test_of_two_at_once_one_makes_it_and_a_new_lock_only_refreshes_it(clone: Path) -> None:
    both = [set_up(clone), set_up(clone)]
    said = sorted(process.communicate(timeout=100)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert "waiting for it" in said[0]
    assert "nothing to do" in said[0]
    assert "making .venv" in said[1]
    (clone / "requirements-dev.lock").write_text("# still nothing\n")
    refreshed = output(clone)
    assert "environment ready" in refreshed
    assert "making" not in refreshed
    assert "nothing to do" in output(clone)


def test_a_python_too_old_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.bootstrap.sys.version_info", (3, 9, 2))
    problem = bootstrap.missing()
    assert problem is not None
    assert problem.startswith("Paydesk needs Python 3.11 or newer")


def test_where_no_wheel_brings_redis_the_first_line_says_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stack.bootstrap.sys.version_info", (3, 13, 0))
    monkeypatch.setattr("stack.bootstrap.shutil.which", lambda _name: None)
    problem = bootstrap.missing()
    assert problem is not None
    assert problem.splitlines()[0].startswith("Install redis-server (6.2 or newer) first: Debian")
    monkeypatch.setattr("stack.bootstrap.shutil.which", lambda _name: "/usr/bin/redis-server")
    assert bootstrap.missing() is None


def test_without_ensurepip_this_pythons_pip_works_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    monkeypatch.setattr(bootstrap, "LOG", tmp_path / "log")
    monkeypatch.setattr(bootstrap, "has", lambda module: module != "ensurepip")
    bootstrap.make_environment()
    assert bootstrap.pip()[:4] == [sys.executable, "-m", "pip", "--python"]


def test_with_neither_ensurepip_nor_pip_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "has", lambda _module: False)
    with pytest.raises(SystemExit, match=r"apt-get install python3\.\d+-venv"):
        bootstrap.make_environment()


def test_progress_counts_what_pip_fetches(capsys: pytest.CaptureFixture[str]) -> None:
    progress = bootstrap.Progress(3)
    progress.read("Collecting aiohttp==3.14.5 (from -r requirements-dev.lock (line 8))\n")
    progress.read("  Downloading aiohttp-3.14.5.whl (1.7 MB)\n")
    progress.read("Installing collected packages: one, two\n")
    assert capsys.readouterr().out.splitlines() == [
        "fetching 1/3 aiohttp",
        "installing 2 packages (half a minute)",
    ]
