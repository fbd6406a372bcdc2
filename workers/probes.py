"""Is this worker, or beat, alive? `python -m workers.probes worker|beat` exits 0 if it is, for compose.

A worker touches a file with each heartbeat that it gets through to the broker, unless its pulse finds that it is
deaf (pulse.py); beat with each turn of its loop. A file too old means that the process hangs, has lost the broker,
or lives without working.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
import time
from typing import Any

from celery import signals
from celery.beat import Scheduler as InMemoryScheduler

from workers import pulse

STALE_AFTER_SECONDS = 30  # several heartbeats (2 s) and beat's turns (1 s)


def _file(kind: str) -> pathlib.Path:
    folder = os.environ.get("PROBE_DIR") or tempfile.gettempdir()
    return pathlib.Path(folder) / f"paydesk-{kind}.alive"


def touch(kind: str) -> None:
    """Note that this process is alive now."""
    _file(kind).touch()


class Scheduler(InMemoryScheduler):
    """Beat's schedule, kept in memory (it is code, not data), with a sign of life at each turn."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        touch("beat")
        _note_turn()
        _count_tick()
        return float(super().tick(*args, **kwargs))


def _note_turn() -> None:
    from workers import watch  # Django is set up in beat; the probe does without

    watch.turned()


def _count_tick() -> None:
    from web.core import metrics

    metrics.BEAT_TICKS.inc()


def connect() -> None:
    """Touch the worker's file with each heartbeat."""
    pulse.connect()
    signals.worker_ready.connect(_worker_alive, weak=False)
    signals.heartbeat_sent.connect(_worker_alive, weak=False)


def _worker_alive(**_: object) -> None:
    if not pulse.pulse.is_deaf:
        touch("worker")


def main(kind: str) -> int:
    """Return 0 where the process of that kind has shown life of late."""
    try:
        age = time.time() - _file(kind).stat().st_mtime
    except FileNotFoundError:
        print(f"{kind}: no sign of life yet")
        return 1
    print(f"{kind}: last sign of life {age:.0f} s ago")
    return 0 if age < STALE_AFTER_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
