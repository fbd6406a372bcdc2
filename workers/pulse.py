"""A worker's clockwork: a thread of its main process that says that it lives, and ends it when it has gone deaf.

After a restart of the broker a worker can be alive, send heartbeats, and never take a message again. It is taken
for deaf only where nothing else explains the silence: work of its queues has been due for a minute and nobody took
it, the broker answers, bells that the worker rings itself do not come back to it, and it has nothing in hand. A
worker whose threads all wait for Stripe hears nothing either, and is well; so is one whose broker is away, and one
that nobody rings because beat is down. Then the probe fails (the file is touched no more), and a while later the
worker ends itself: whoever supervises starts it anew, and its jobs are claimed again when their leases run out.
`queue.silent` is said by beat (watch.py), which depends on no worker.
"""

from __future__ import annotations

import datetime
import os
import threading
import time
from typing import Any

import structlog
from celery import signals
from celery.worker import state

BEAT_SECONDS = 5.0
DEAF_BEATS_TO_END = (
    24  # two minutes after the probe began to fail: longer than Celery waits before it reconnects
)
DEAF_BEATS_TO_TELL = 3  # what it rings itself has had time to come back
QUIET_SECONDS = 60.0  # beat rings every second for what is due
# With work in hand: longer than the longest lease. What is in hand for longer never ends by itself.
QUIET_WITH_WORK_SECONDS = 900.0

log = structlog.get_logger(__name__)


class Pulse:
    """Beats from `worker_ready` until the worker shuts down."""

    def __init__(self) -> None:
        self.name = ""
        self.queues: list[str] = []
        self.threads = 1
        self.deaf = 0  # beats in a row
        self._stop = threading.Event()
        self._heard = 0
        self._heard_at = time.monotonic()
        self.control: Any = None  # Celery's, to tell this worker what to listen to
        self._listens = True  # to the bells of its queues
        self.began: datetime.datetime | None = None  # until what an earlier process held is taken over

    def start(self) -> None:
        """Begin to beat."""
        self._heard_at = time.monotonic()
        threading.Thread(target=self._beat_forever, name="pulse", daemon=True).start()

    def stop(self) -> None:
        """Stop beating: the worker was told to end."""
        self._stop.set()

    @property
    def is_deaf(self) -> bool:
        return self.deaf >= DEAF_BEATS_TO_TELL

    def _beat_forever(self) -> None:
        pause = 0.0  # whoever waits for what the last process of this name had in hand has waited long enough
        while not self._stop.wait(pause):
            pause = BEAT_SECONDS
            try:
                self.beat()
            except Exception as error:  # noqa: BLE001 - the database may be away; a pulse must not end by that
                log.warning("pulse.failed", error=type(error).__name__)

    def beat(self) -> None:
        """Say that the worker lives, and look whether it is deaf."""
        from django.db import connection
        from django.utils import timezone

        from web.core import metrics
        from web.payments.operations import pulses
        from web.payments.queries.pulses import silent_of

        now = timezone.now()
        try:
            self._take_over()
            is_drained = pulses.beat(worker=self.name, queues=self.queues, threads=self.threads, now=now)
            is_quiet = (
                self._is_quiet() and not is_drained
            )  # what was told to take no more hears nothing, and is well
            silent = silent_of(worker=self.name, now=now) if is_quiet else []
        finally:
            connection.close()
        self._listen(is_drained=is_drained)
        self.deaf = self.deaf + 1 if silent and _rings(silent) else 0
        metrics.WORKER_DEAF.set(self.is_deaf)
        if self.is_deaf:
            log.error("worker.deaf", worker=self.name, beats=self.deaf, queues=silent)
        if self.deaf >= DEAF_BEATS_TO_END:
            self.end()

    def _take_over(self) -> None:
        """Give back, once, what an earlier process of this name held when it died."""
        from web.payments.operations import backlog

        if self.began is None:
            return
        number = backlog.take_over(worker=self.name, began=self.began)
        self.began = None  # not before: the database may be away, and the next beat asks again
        if number:
            log.warning("worker.took_over", worker=self.name, jobs=number)

    def _listen(self, *, is_drained: bool) -> None:
        """Stop taking bells, which others would hear, while it was told to take no more; and begin again.

        It is the claim that gives it no work (operations/backlog.py): where the broker does not pass this on, bells
        are only heard in vain, and rung again within a second. Said again with every beat: it may have been lost.
        """
        if not is_drained and self._listens:
            return
        assert self.control is not None
        tell = self.control.cancel_consumer if is_drained else self.control.add_consumer
        self._listens = not is_drained
        try:
            for queue in self.queues:
                tell(queue, destination=[self.name], reply=False)
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises
            log.warning("worker.drain_not_told", worker=self.name, error=type(error).__name__)
            self._listens = False  # said again with the next beat

    def _is_quiet(self) -> bool:
        """Return whether no message has come for longer than what is in hand explains."""
        heard = sum(state.total_count.values())
        if heard != self._heard:
            self._heard, self._heard_at = heard, time.monotonic()
        most = QUIET_WITH_WORK_SECONDS if state.active_requests else QUIET_SECONDS
        return time.monotonic() - self._heard_at > most

    def end(self) -> None:
        """End this process at once: it does nothing that another cannot do better."""
        log.error("worker.ends_itself", worker=self.name)
        time.sleep(0.2)  # the line above is written
        os._exit(70)


def _rings(queues: list[str]) -> bool:
    """Ring the queues, for nobody else may have; return whether the broker is there to pass it on."""
    from web.payments.bell import bell, broker_answers

    if not broker_answers():
        return False
    for queue in queues:
        bell.ring(queue)
    return True


pulse = Pulse()


def connect() -> None:
    """Beat with the worker's life."""
    signals.celeryd_after_setup.connect(_set_up, weak=False)
    signals.worker_ready.connect(_ready, weak=False)
    signals.worker_shutting_down.connect(_shutting_down, weak=False)
    signals.worker_shutdown.connect(_shut_down, weak=False)
    signals.worker_process_shutdown.connect(_flush, weak=False)


def _set_up(sender: str, instance: Any, **_: object) -> None:
    from tasks.relay import room
    from tasks.tally import tally

    tally.start()
    pulse.name = str(sender)
    pulse.began = datetime.datetime.now(datetime.UTC)
    pulse.queues = [str(name) for name in instance.app.amqp.queues.consume_from]
    pulse.control = instance.app.control
    pulse.threads = int(instance.concurrency or 1)
    if "thread" in str(getattr(instance, "pool_cls", "")):
        room.threads = pulse.threads


def _ready(**_: object) -> None:
    pulse.start()


def _shutting_down(**_: object) -> None:
    pulse.stop()


def _flush(**_: object) -> None:
    """Write down what this process counted and has not written yet."""
    from tasks.tally import tally

    try:
        tally.flush()
    except Exception as error:  # noqa: BLE001 - the database may be away; they are figures for people
        log.warning("tally.failed", error=type(error).__name__)


def _shut_down(**_: object) -> None:
    from django.db import connection

    from web.payments.operations import pulses

    _flush()
    try:
        pulses.forget(worker=pulse.name)
    except Exception as error:  # noqa: BLE001 - the database may be away; then the row is as of a worker that died
        log.warning("pulse.failed", error=type(error).__name__)
    finally:
        connection.close()
