"""Beat's second thread: says aloud when a queue has work that nobody takes. It depends on no worker and no broker."""

from __future__ import annotations

import threading

import structlog
from django.db import connection
from django.utils import timezone

from web.payments.queries.pulses import silent_queues

WATCH_SECONDS = 15.0

log = structlog.get_logger(__name__)

_started = threading.Event()


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


def start() -> None:
    """Look from now on, in a thread of its own; once per process."""
    if not _started.is_set():
        _started.set()
        threading.Thread(target=_look_forever, name="watch", daemon=True).start()


def _look_forever() -> None:
    pause = threading.Event()
    while not pause.wait(WATCH_SECONDS):
        try:
            look()
        except Exception as error:  # noqa: BLE001 - the database may be away; the watch goes on
            log.warning("watch.failed", error=type(error).__name__)
        finally:
            connection.close()
