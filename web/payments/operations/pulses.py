"""Signs of life of workers: written cheaply, so that somebody else can see who works, and who only lives."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from django.db import connection

from web.payments.models import WorkerDrain, WorkerPulse
from web.payments.queries.pulses import BEAT

FORGOTTEN_AFTER = datetime.timedelta(days=1)


def beat(*, worker: str, queues: Iterable[str], threads: int, now: datetime.datetime) -> bool:
    """Note that a worker is alive and which queues it should serve; return whether it was told to take no more.

    Rows of long ago go, and what workers were told that have been gone for as long.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO payments_workerpulse (worker, queue, threads, started_at, seen_at)
            SELECT %(worker)s, queue, %(threads)s, %(now)s, %(now)s FROM unnest(%(queues)s::text[]) AS queue
            ON CONFLICT (worker, queue) DO UPDATE SET seen_at = EXCLUDED.seen_at, threads = EXCLUDED.threads
            """,
            {"worker": worker[:100], "queues": sorted(queues), "threads": threads, "now": now},
        )
    WorkerPulse.objects.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()
    drains = WorkerDrain.objects.filter(asked_at__lt=now - FORGOTTEN_AFTER)
    drains.exclude(worker__in=WorkerPulse.objects.values("worker")).delete()
    return WorkerDrain.objects.filter(worker=worker[:100]).exists()


def beat_is_alive(*, host: str, now: datetime.datetime) -> None:
    """Note that beat's clock turns, by itself: it needs neither a worker nor the broker for that."""
    beat(worker=f"beat@{host}", queues=[BEAT], threads=1, now=now)


def ticked(*, now: datetime.datetime) -> None:
    """Note that something that beat asked for was carried out."""
    WorkerPulse.objects.filter(queue=BEAT).update(drained_at=now)


def drained(*, worker: str, queue: str, now: datetime.datetime) -> None:
    """Note that a bell reached the worker and it looked for work."""
    WorkerPulse.objects.filter(worker=worker[:100], queue=queue).update(drained_at=now)


def forget(*, worker: str) -> None:
    """Forget a worker that was told to stop: nobody has to miss it."""
    WorkerPulse.objects.filter(worker=worker[:100]).delete()
