"""Which queues have work that nobody takes, and which workers live without working."""

from __future__ import annotations

import datetime
from collections import defaultdict
from dataclasses import dataclass

from django.db import connection

from web.payments.jobs import QUEUES
from web.payments.models import Job, WorkerDrain, WorkerPulse

BEAT = "beat"  # in the place of a queue: the pulse of beat itself
MOST_RUNNING = 1000
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
    """Return queues with work that has been due for long while nothing was claimed there and no bell arrived.

    A queue that somebody paused is not silent: it stands still, and says so elsewhere.
    """
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
            WHERE NOT EXISTS (SELECT 1 FROM payments_queuepause AS pause WHERE pause.queue = work.queue)
              AND NOT EXISTS (SELECT 1 FROM payments_workerpulse AS pulse
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
class Hearing:
    """Who serves a queue, and for how long nobody has heard a bell there or taken a job; None: nobody ever did."""

    queue: str
    consumers: int
    unheard_seconds: float | None


def hearing(*, now: datetime.datetime) -> list[Hearing]:
    """Return of every queue how well its workers hear. A canary rings in each (workers/schedule.py)."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT queue,
                   (SELECT count(*) FROM payments_workerpulse AS pulse
                    WHERE pulse.queue = served.queue AND seen_at > %(alive)s),
                   extract(epoch FROM %(now)s - greatest(
                       (SELECT max(drained_at) FROM payments_workerpulse AS pulse WHERE pulse.queue = served.queue),
                       (SELECT max(started_at) FROM payments_job AS job
                        WHERE job.queue = served.queue AND job.state = 'running')))::double precision
            FROM unnest(%(queues)s::text[]) AS served(queue)
            """,
            {"now": now, "alive": now - ALIVE_WITHIN, "queues": list(QUEUES)},
        )
        return [Hearing(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker as its pulses show it, with what it has in hand.

    `drain` is there while it was told to take no more; a worker of which only that is left has ended.
    """

    name: str
    queues: tuple[str, ...]
    threads: int
    started_at: datetime.datetime | None
    seen_at: datetime.datetime | None
    drained_at: datetime.datetime | None  # when a bell last reached it
    is_alive: bool
    running: tuple[Job, ...]
    drain: WorkerDrain | None


def workers(*, now: datetime.datetime) -> list[Worker]:
    """Return every worker of the last day, those that were told to take no more, and whoever has work in hand."""
    found: dict[str, list[WorkerPulse]] = defaultdict(list)
    for row in WorkerPulse.objects.exclude(queue=BEAT).order_by("worker", "queue"):
        found[row.worker].append(row)
    drains = {drain.worker: drain for drain in WorkerDrain.objects.all()}
    running: dict[str, list[Job]] = defaultdict(list)
    jobs = Job.objects.filter(queue__in=QUEUES, state=Job.State.RUNNING).select_related("business")
    for job in jobs.order_by("started_at")[:MOST_RUNNING]:
        running[worker_of(job.worker)].append(job)
    return [
        Worker(
            name,
            tuple(row.queue for row in found[name] if row.queue in QUEUES),
            max((row.threads for row in found[name]), default=0),
            min((row.started_at for row in found[name]), default=None),
            seen_at := max((row.seen_at for row in found[name]), default=None),
            max((row.drained_at for row in found[name] if row.drained_at is not None), default=None),
            is_alive=seen_at is not None and seen_at > now - ALIVE_WITHIN,
            running=tuple(running[name]),
            drain=drains.get(name),
        )
        for name in sorted({*found, *drains, *running})
    ]


def worker_of(claimant: str) -> str:
    """Return Celery's name of the worker from what a job says of who claimed it: name, process, thread."""
    return claimant.rsplit(":", 2)[0]


@dataclass(frozen=True, slots=True)
class Beat:
    """Beat as others can see it. `seen_seconds`: since its clock last turned; `ticked_seconds`: since a tick of
    its was last carried out by a worker, which needs the broker too. None: not within a day."""

    seen_seconds: float | None
    ticked_seconds: float | None
    hosts: tuple[str, ...]  # that live: more than one is a mistake

    @property
    def is_alive(self) -> bool:
        return self.seen_seconds is not None and self.seen_seconds < ALIVE_WITHIN.total_seconds()


def beat(*, now: datetime.datetime) -> Beat:
    """Return how long ago beat showed life, and how long ago what it asks for was done. One query."""
    rows = list(WorkerPulse.objects.filter(queue=BEAT))
    seen = max((row.seen_at for row in rows), default=None)
    ticked = max((row.drained_at for row in rows if row.drained_at is not None), default=None)
    return Beat(
        None if seen is None else (now - seen).total_seconds(),
        None if ticked is None else (now - ticked).total_seconds(),
        tuple(sorted(row.worker for row in rows if row.seen_at > now - ALIVE_WITHIN)),
    )
