"""Signs of life of workers: written cheaply, so that somebody else can see who works, and who only lives."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from django.db import connection

from web.payments.models import WorkerPulse

FORGOTTEN_AFTER = datetime.timedelta(days=1)


def beat(*, worker: str, queues: Iterable[str], threads: int, now: datetime.datetime) -> None:
    """Note that a worker is alive and which queues it should serve. Rows of long ago go."""
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


def drained(*, worker: str, queue: str, now: datetime.datetime) -> None:
    """Note that a bell reached the worker and it looked for work."""
    WorkerPulse.objects.filter(worker=worker[:100], queue=queue).update(drained_at=now)


def forget(*, worker: str) -> None:
    """Forget a worker that was told to stop: nobody has to miss it."""
    WorkerPulse.objects.filter(worker=worker[:100]).delete()
