"""Who uses the workers: each business's share of what runs, waits and was done of late."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.db import connection

from web.payments.jobs import QUEUES

LOOKED_AT = 10_000  # rows of each kind: a share is true enough of so many, and costs the same with a million
LATELY = datetime.timedelta(minutes=5)
MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Share:
    """One business's part of the work. `of_done` is from 0 to 1."""

    business_id: int
    name: str
    running: int
    due: int
    done: int
    of_done: float


def shares(*, now: datetime.datetime) -> list[Share]:
    """Return the businesses that use the workers most, the greediest first. One query, of bounded size."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH looked AS (
                (SELECT business_id, 'running' AS what FROM payments_job WHERE state = 'running'
                 AND queue = ANY(%(queues)s) LIMIT %(most)s)
                UNION ALL
                (SELECT due.business_id, 'due' FROM unnest(%(queues)s::text[]) AS queue (name)
                 CROSS JOIN LATERAL (SELECT business_id FROM payments_job AS job
                                     WHERE job.queue = queue.name AND state = 'waiting' AND due_at <= %(now)s
                                     ORDER BY due_at LIMIT %(most)s) AS due)
                UNION ALL
                (SELECT business_id, 'done' FROM payments_job
                 WHERE state = 'done' AND finished_at > %(since)s ORDER BY finished_at DESC LIMIT %(most)s)
            ), counted AS (
                SELECT business_id, count(*) FILTER (WHERE what = 'running') AS running,
                       count(*) FILTER (WHERE what = 'due') AS due, count(*) FILTER (WHERE what = 'done') AS done
                FROM looked GROUP BY business_id
            )
            SELECT business.id, business.name, running, due, done,
                   coalesce(done / nullif(sum(done) OVER (), 0), 0)::double precision
            FROM counted JOIN core_business AS business ON business.id = counted.business_id
            ORDER BY running + done DESC, due DESC, business.id LIMIT %(shown)s
            """,
            {
                "queues": list(QUEUES),
                "now": now,
                "since": now - LATELY,
                "most": LOOKED_AT,
                "shown": MOST_SHOWN,
            },
        )
        return [Share(*row) for row in cursor.fetchall()]
