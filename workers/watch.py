"""Beat's second thread: notes that beat's clock turns, and says aloud when a queue has work that nobody takes.

It depends on no worker and no broker.
"""

from __future__ import annotations

import socket
import threading
import time

import structlog
from django.db import connection
from django.utils import timezone

from web.payments.operations import pulses
from web.payments.queries.pulses import silent_queues

WATCH_SECONDS = 15.0
NOTED_EVERY_SECONDS = 5.0
TURNED_WITHIN_SECONDS = 15.0  # beat's clock turns every second

log = structlog.get_logger(__name__)

_started = threading.Event()
_turned_at = 0.0


def look() -> int:
    """Look once; return how many queues are silent."""
    silent = silent_queues(now=timezone.now())
    for one in silent:
        log.error(
            "queue.silent",
            queue=one.queue,
            due=one.due,
            oldest_seconds=round(one.oldest_seconds),
            consumers=one.consumers,
        )
    return len(silent)


def turned() -> None:
    """Note that beat's clock turned now, and look from now on, in a thread of its own; once per process."""
    global _turned_at
    _turned_at = time.monotonic()
    if not _started.is_set():
        _started.set()
        threading.Thread(target=_look_forever, name="watch", daemon=True).start()


def note() -> None:
    """Note in the database that beat is alive, where its clock has turned of late: a thread alone is no beat."""
    if time.monotonic() - _turned_at < TURNED_WITHIN_SECONDS:
        pulses.beat_is_alive(host=socket.gethostname(), now=timezone.now())


def _look_forever() -> None:
    pause = threading.Event()
    looked_at = time.monotonic()
    while True:
        try:
            note()
            if time.monotonic() - looked_at >= WATCH_SECONDS:
                looked_at = time.monotonic()
                look()
        except Exception as error:  # noqa: BLE001 - the database may be away; the watch goes on
            log.warning("watch.failed", error=type(error).__name__)
        finally:
            connection.close()
        pause.wait(NOTED_EVERY_SECONDS)
