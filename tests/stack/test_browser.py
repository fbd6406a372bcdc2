"""A browser is taken where one is, and a wrong choice is refused rather than replaced."""

from pathlib import Path

import pytest

from stack import browser


def executable(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_the_chosen_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = executable(tmp_path / "mine", "Chromium 156.0")
    monkeypatch.setenv(browser.VARIABLE, str(chosen))
    assert browser.find_chromium() == chosen


def test_a_wrong_choice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(browser.VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match=browser.VARIABLE):
        browser.find_or_install_chromium()


def test_a_stub_that_only_says_where_to_get_one_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable(tmp_path / "chromium", "Please install the snap")
    good = executable(tmp_path / "google-chrome", "Google Chrome 156.0")
    monkeypatch.setattr("stack.browser.shutil.which", lambda name: str(tmp_path / name))
    assert browser.find_chromium() == good
