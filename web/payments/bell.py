"""The bell: tells the workers that a queue has work. It names a queue, never a job, and may be lost.

The rows are the truth and a tick re-rings what is due, so ringing must cost the request nothing and can
never fail it: a request marks the queue, a thread of the process publishes. Marks within 50 ms become one
bell. This is the one place in `web` that knows Celery, and only as a producer.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from typing import Any

import structlog
from celery import Celery
from django.conf import settings
from django.db import transaction
from kombu import Queue

from web.core import metrics

COALESCE_SECONDS = 0.05  # one bell per queue, process and 50 ms: a burst of sales needs no burst of bells
QUIET_AFTER_FAILURE_SECONDS = 1.0  # the broker is away: the tick will ring; do not hammer it
BELL_SECONDS = 30  # then it is silent: none pile up while no worker listens, and the tick rings again

DRAIN_TASK = "paydesk.drain"

log = structlog.get_logger(__name__)


def is_redis() -> bool:
    """Return whether the broker is Redis; else it is RabbitMQ."""
    return str(settings.CELERY_BROKER_URL).startswith(("redis", "rediss", "unix"))


def queue_definitions(names: Iterable[str]) -> tuple[Queue, ...]:
    """Return the queues as both sides must declare them: RabbitMQ refuses who declares one differently.

    Quorum queues outlive the loss of a node; on Redis there is nothing to choose.
    """
    arguments = None if is_redis() else {"x-queue-type": "quorum"}
    return tuple(Queue(name, queue_arguments=arguments) for name in names)


def producer() -> Celery:
    """Return a Celery app that can only send. It waits for nothing and keeps no results."""
    from web.payments.jobs import QUEUES  # which rings us

    app = Celery("paydesk-bell", broker=settings.CELERY_BROKER_URL, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        broker_connection_timeout=1,
        broker_transport_options={"socket_connect_timeout": 1, "socket_timeout": 2, "max_retries": 0}
        if is_redis()
        else {"read_timeout": 2, "write_timeout": 2},
        task_queues=queue_definitions(QUEUES),
        broker_pool_limit=1,
    )
    return app


def broker_answers() -> bool:
    """Return whether the broker, of whatever kind, lets us in and opens a channel, within a second or two."""
    app = producer()
    try:
        with app.connection_for_write() as opened:
            opened.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=2)
            channel: Any = opened.channel()
            channel.close()
    except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, it does not answer
        log.warning("broker.away", error=type(error).__name__)
        return False
    finally:
        app.close()
    return True


class Bell:
    """Rings queues from a thread of its own, started at the first ring in each process (also after fork)."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._marked: set[str] = set()
        self._publishing = False
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None

    def ring(self, queue: str) -> None:
        """Mark the queue; its bell leaves within 50 ms."""
        if self._pid != os.getpid():
            self._reset()
        with self._condition:
            self._marked.add(queue)
            if self._thread is None:
                self._thread = threading.Thread(target=self._publish_forever, name="bell", daemon=True)
                self._thread.start()
            self._condition.notify()

    def wait_until_rung(self, *, seconds: float) -> None:
        """Wait until nothing is left to publish: for a command that is about to exit."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (self._marked or self._publishing):
            time.sleep(0.01)

    def _publish_forever(self) -> None:
        app = producer()
        while True:
            with self._condition:
                while not self._marked:
                    self._condition.wait()
                queues, self._marked = self._marked, set()
                self._publishing = True
            try:
                for queue in sorted(queues):
                    app.send_task(
                        DRAIN_TASK,
                        kwargs={"queue": queue},
                        queue=queue,
                        expires=BELL_SECONDS,
                        ignore_result=True,
                        retry=False,
                    )
                self._publishing = False
                metrics.BELLS.labels("rung").inc(len(queues))
                time.sleep(COALESCE_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, the tick re-rings
                self._publishing = False
                metrics.BELLS.labels("lost").inc(len(queues))
                log.warning("bell.lost", queues=sorted(queues), error=type(error).__name__)
                time.sleep(QUIET_AFTER_FAILURE_SECONDS)


bell = Bell()


def ring_on_commit(queue: str) -> None:
    """Ring the queue once the change that gave it work is committed (and not at all if it is not)."""
    transaction.on_commit(lambda: bell.ring(queue))
