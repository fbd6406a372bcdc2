"""A worker's clockwork: a thread of its main process that says that it lives, and ends it when it has gone deaf.

After a restart of the broker a worker can be alive, send heartbeats, and never take a message again. Whether it
does is seen from the rows: work of its queues is due, and no bell has reached anybody for a minute. Then the probe
fails (the file is touched no more), and a while later the worker ends itself: whoever supervises starts it anew,
and its jobs are claimed again when their leases run out. `queue.silent` is said by beat (watch.py), which depends
on no worker.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import structlog
from celery import signals

BEAT_SECONDS = 5.0
DEAF_BEATS_TO_END = 12  # a minute after the probe began to fail

log = structlog.get_logger(__name__)


class Pulse:
    """Beats from `worker_ready` until the worker shuts down."""

    def __init__(self) -> None:
        self.name = ""
        self.queues: list[str] = []
        self.threads = 1
        self.deaf = 0  # beats in a row
        self._stop = threading.Event()

    def start(self, *, name: str, queues: list[str], threads: int) -> None:
        """Begin to beat."""
        self.name, self.queues, self.threads = name, queues, threads
        threading.Thread(target=self._beat_forever, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """Stop beating: the worker was told to end."""
        self._stop.set()

    @property
    def is_deaf(self) -> bool:
        return self.deaf > 0

    def _beat_forever(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self.beat()
            except Exception as error:  # noqa: BLE001 - the database may be away; a pulse must not end by that
                log.warning("pulse.failed", error=type(error).__name__)

    def beat(self) -> None:
        """Say that the worker lives, and look whether it is deaf."""
        from django.db import connection
        from django.utils import timezone

        from web.payments.operations import pulses
        from web.payments.queries.pulses import is_deaf

        now = timezone.now()
        try:
            pulses.beat(worker=self.name, queues=self.queues, threads=self.threads, now=now)
            self.deaf = self.deaf + 1 if is_deaf(worker=self.name, now=now) else 0
        finally:
            connection.close()
        if self.deaf:
            log.error("worker.deaf", worker=self.name, beats=self.deaf)
        if self.deaf >= DEAF_BEATS_TO_END:
            self.end()

    def end(self) -> None:
        """End this process at once: it does nothing that another cannot do better."""
        log.error("worker.ends_itself", worker=self.name)
        time.sleep(0.2)  # the line above is written
        os._exit(70)


pulse = Pulse()


def connect() -> None:
    """Beat with the worker's life."""
    signals.celeryd_after_setup.connect(_set_up, weak=False)
    signals.worker_ready.connect(_ready, weak=False)
    signals.worker_shutting_down.connect(_shutting_down, weak=False)


def _set_up(sender: str, instance: Any, **_: object) -> None:
    from tasks.relay import room

    pulse.name = str(sender)
    pulse.queues = [str(name) for name in instance.app.amqp.queues.consume_from]
    pulse.threads = int(instance.concurrency or 1)
    if "thread" in str(getattr(instance, "pool_cls", "")):
        room.threads = pulse.threads


def _ready(**_: object) -> None:
    pulse.start(name=pulse.name, queues=pulse.queues, threads=pulse.threads)


def _shutting_down(**_: object) -> None:
    pulse.stop()
