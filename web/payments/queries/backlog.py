"""How much work waits: per queue, from the rows, whatever the broker may think."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.db import connection
from django.db.models import Count

from web.payments.jobs import QUEUES
from web.payments.models import InboxEvent, Job


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """One queue at one moment. Ages are in seconds, of the job that has been due the longest."""

    queue: str
    due: int
    later: int
    running: int
    dead: int
    oldest_seconds: float | None


def depths(*, now: datetime.datetime) -> list[QueueDepth]:
    """Return the depth of every queue, those that are empty too."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT queue,
                   count(*) FILTER (WHERE state = 'waiting' AND due_at <= %(now)s),
                   count(*) FILTER (WHERE state = 'waiting' AND due_at > %(now)s),
                   count(*) FILTER (WHERE state = 'running'),
                   count(*) FILTER (WHERE state = 'dead'),
                   extract(epoch FROM %(now)s - min(due_at) FILTER (WHERE state = 'waiting' AND due_at <= %(now)s))
            FROM payments_job WHERE state IN ('waiting', 'running', 'dead') GROUP BY queue
            """,
            {"now": now},
        )
        found = {row[0]: row[1:] for row in cursor.fetchall()}
    return [
        QueueDepth(queue, due, later, running, dead, None if oldest is None else float(oldest))
        for queue in QUEUES
        for due, later, running, dead, oldest in [found.get(queue, (0, 0, 0, 0, None))]
    ]


def inbox_depth() -> tuple[int, int]:
    """Return how many of Stripe's events are stored and not applied yet, and how many were given up."""
    events = InboxEvent.objects.filter(state__in=[InboxEvent.State.RECEIVED, InboxEvent.State.DEAD])
    counts = dict(events.values_list("state").annotate(number=Count("id")))
    return counts.get(InboxEvent.State.RECEIVED, 0), counts.get(InboxEvent.State.DEAD, 0)


def dead_jobs(*, limit: int) -> list[Job]:
    """Return the jobs that were given up last."""
    return list(Job.objects.filter(state=Job.State.DEAD).order_by("-finished_at")[:limit])
