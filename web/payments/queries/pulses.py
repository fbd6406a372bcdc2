"""Which queues have work that nobody takes, and which workers live without working."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.db import connection

from web.payments.jobs import QUEUES
from web.payments.models import WorkerPulse

ALIVE_WITHIN = datetime.timedelta(seconds=30)  # several beats (workers/pulse.py)
# Due for so long and nobody looked: beat rings every second for what is due, and a thread is held by one job
# for its lease at most.
SILENT_AFTER = datetime.timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class SilentQueue:
    """A queue with due work that nobody takes. `consumers` counts the workers that say that they serve it."""

    queue: str
    due: int
    oldest_seconds: float
    consumers: int


def silent_queues(*, now: datetime.datetime) -> list[SilentQueue]:
    """Return queues with work that has been due for long while nothing was claimed there and no bell arrived."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT queue, due, extract(epoch FROM %(now)s - oldest)::double precision,
                   (SELECT count(*) FROM payments_workerpulse AS pulse
                    WHERE pulse.queue = work.queue AND seen_at > %(alive)s)
            FROM (
                SELECT queue, count(*) AS due, min(due_at) AS oldest FROM payments_job
                WHERE state = 'waiting' AND due_at < %(silent)s GROUP BY queue
                UNION ALL
                SELECT 'webhooks', count(*), min(due_at) FROM payments_inboxevent
                WHERE state = 'received' AND due_at < %(silent)s HAVING count(*) > 0
            ) AS work
            WHERE NOT EXISTS (SELECT 1 FROM payments_workerpulse AS pulse
                              WHERE pulse.queue = work.queue AND drained_at > %(silent)s)
              AND NOT EXISTS (SELECT 1 FROM payments_job AS job
                              WHERE job.queue = work.queue AND job.state = 'running' AND job.started_at > %(silent)s)
            ORDER BY queue
            """,
            {"now": now, "silent": now - SILENT_AFTER, "alive": now - ALIVE_WITHIN},
        )
        return [SilentQueue(*row) for row in cursor.fetchall()]


def silent_of(*, worker: str, now: datetime.datetime) -> list[str]:
    """Return the queues that a worker serves and that nobody takes work from, it included."""
    served = set(WorkerPulse.objects.filter(worker=worker[:100]).values_list("queue", flat=True))
    return [one.queue for one in silent_queues(now=now) if one.queue in served]


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as its pulses show it."""

    name: str
    queues: tuple[str, ...]
    threads: int
    seen_at: datetime.datetime
    drained_at: datetime.datetime | None
    is_alive: bool


def workers(*, now: datetime.datetime) -> list[Worker]:
    """Return every worker of the last day."""
    found: dict[str, list[WorkerPulse]] = {}
    for row in WorkerPulse.objects.order_by("worker", "queue"):
        found.setdefault(row.worker, []).append(row)
    return [
        Worker(
            name,
            tuple(row.queue for row in rows if row.queue in QUEUES),
            rows[0].threads,
            max(row.seen_at for row in rows),
            max((row.drained_at for row in rows if row.drained_at is not None), default=None),
            is_alive=max(row.seen_at for row in rows) > now - ALIVE_WITHIN,
        )
        for name, rows in found.items()
    ]
