"""Arming the named points of web/core/faultpoints.py from a test, in this process or in a stack's."""

from __future__ import annotations

import time
from pathlib import Path

PATIENCE_SECONDS = 60.0


class Points:
    """A folder of armed points; each strikes whichever process reaches it first, once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def arm(self, point: str, action: str) -> None:
        """Let the next process that reaches the point be struck: kill, raise, die or pause."""
        self._struck(point).unlink(missing_ok=True)
        ready = self.folder / f"{point}.new"
        ready.write_text(action)
        ready.rename(self.folder / point)

    def wait_until_struck(self, point: str) -> None:
        """Wait until a process was struck at the point."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.was_struck(point):
            assert time.monotonic() < deadline, f"nobody reached {point}"
            time.sleep(0.02)

    def was_struck(self, point: str) -> bool:
        return self._struck(point).exists()

    def release(self, point: str) -> None:
        """Let who pauses at the point go on."""
        self._struck(point).unlink(missing_ok=True)

    def disarm(self) -> None:
        """Arm nothing any more, and let everybody go on."""
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)

    def _struck(self, point: str) -> Path:
        return self.folder / f"{point}.struck"
