"""How deep each queue is, how old, how fast, and what became of its work: for the page of operations and `/metrics`.

What stands now is counted in the jobs' rows, up to a limit, along partial indexes: with a million rows it costs
what a thousand cost. What happened is read from a row per queue and minute (operations/figures.py).
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from web.payments.jobs import QUEUES
from web.payments.models import QueueMinute
from web.payments.queries import spans
from web.payments.queries.spans import Percentiles

# A count that reaches this is shown with a "+". Counting a hundred thousand took a third of a second.
MOST_COUNTED = 20_000
LATELY = datetime.timedelta(minutes=15)  # what percentiles and rates are of, unless somebody asks otherwise

_STANDING = """
SELECT queue.queue, due.number, oldest.due_at, later.number, next.due_at, running.number, running.started_at,
       overtaken.number, retrying.number, retries_due.number, dead.number, pause.paused_at, pause.reason
FROM unnest(%(queues)s::text[]) WITH ORDINALITY AS queue (queue, place)
CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT 1 FROM payments_job WHERE queue = queue.queue AND state = 'waiting' AND due_at <= %(now)s
    LIMIT %(most)s) AS counted) AS due
LEFT JOIN LATERAL (
    SELECT due_at FROM payments_job WHERE queue = queue.queue AND state = 'waiting' AND due_at <= %(now)s
    ORDER BY due_at LIMIT 1) AS oldest ON true
CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT 1 FROM payments_job WHERE queue = queue.queue AND state = 'waiting' AND due_at > %(now)s
    LIMIT %(most)s) AS counted) AS later
LEFT JOIN LATERAL (
    SELECT due_at FROM payments_job WHERE queue = queue.queue AND state = 'waiting' AND due_at > %(now)s
    ORDER BY due_at LIMIT 1) AS next ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS number, min(started_at) AS started_at FROM (
        SELECT started_at FROM payments_job WHERE queue = queue.queue AND state = 'running'
        LIMIT %(most)s) AS counted) AS running
CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT 1 FROM payments_job WHERE queue = queue.queue AND state = 'running' AND leased_until < %(now)s
    LIMIT %(most)s) AS counted) AS overtaken
CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT 1 FROM payments_job WHERE queue = queue.queue AND state = 'waiting' AND attempts > 0
    LIMIT %(most)s) AS counted) AS retrying
CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT 1 FROM payments_job
    WHERE queue = queue.queue AND state = 'waiting' AND attempts > 0 AND due_at <= %(now)s
    LIMIT %(most)s) AS counted) AS retries_due
CROSS JOIN LATERAL (SELECT count(*) AS number FROM (
    SELECT 1 FROM payments_job WHERE queue = queue.queue AND state = 'dead' LIMIT %(most)s) AS counted) AS dead
LEFT JOIN payments_queuepause AS pause ON pause.queue = queue.queue
ORDER BY queue.place
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """A queue as it stands now. Counts stop at MOST_COUNTED. Ages are in seconds.

    `ready` and `in_flight` are RabbitMQ's split: what could be taken now, and what somebody has. `overtaken` are
    those of them whose lease has run out: the next claim takes them. `retrying` have failed at least once.
    """

    queue: str
    due: int
    oldest_seconds: float | None
    later: int
    next_seconds: float | None
    in_flight: int
    longest_seconds: float | None
    overtaken: int
    retrying: int
    retries_due: int
    dead: int
    paused_at: datetime.datetime | None
    pause_reason: str

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None


def standing(*, now: datetime.datetime) -> list[Standing]:
    """Return every queue as it stands now, those that are empty too. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_STANDING, {"queues": list(QUEUES), "now": now, "most": MOST_COUNTED})
        rows = cursor.fetchall()
    return [
        Standing(
            queue=queue,
            due=due,
            oldest_seconds=_since(oldest, now),
            later=later,
            next_seconds=None if soonest is None else (soonest - now).total_seconds(),
            in_flight=running,
            longest_seconds=_since(started_at, now),
            overtaken=overtaken,
            retrying=retrying,
            retries_due=retries_due,
            dead=dead,
            paused_at=paused_at,
            pause_reason=reason or "",
        )
        for (
            queue,
            due,
            oldest,
            later,
            soonest,
            running,
            started_at,
            overtaken,
            retrying,
            retries_due,
            dead,
            paused_at,
            reason,
        ) in rows
    ]


def _since(at: datetime.datetime | None, now: datetime.datetime) -> float | None:
    return None if at is None else max((now - at).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Inbox:
    """Stripe's events that are stored and not applied: `lag_seconds` is how long the oldest has been due."""

    waiting: int
    lag_seconds: float | None
    dead: int


def inbox(*, now: datetime.datetime) -> Inbox:
    """Return how far behind Stripe's news we are. One query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (SELECT count(*) FROM (SELECT 1 FROM payments_inboxevent WHERE state = 'received'
                                          LIMIT %(most)s) AS counted),
                   (SELECT due_at FROM payments_inboxevent WHERE state = 'received' AND due_at <= %(now)s
                    ORDER BY due_at LIMIT 1),
                   (SELECT count(*) FROM (SELECT 1 FROM payments_inboxevent WHERE state = 'dead'
                                          LIMIT %(most)s) AS counted)
            """,
            {"now": now, "most": MOST_COUNTED},
        )
        waiting, oldest, dead = cursor.fetchone()
    return Inbox(waiting, _since(oldest, now), dead)


@dataclass(frozen=True, slots=True)
class Outbox:
    """Jobs that are due and that nobody has taken yet, of all queues that are not paused."""

    waiting: int
    lag_seconds: float | None


def outbox(queues: Sequence[Standing]) -> Outbox:
    """Add up what waits to be taken: a pause is somebody's will, and no lag."""
    moving = [one for one in queues if not one.is_paused]
    ages = [one.oldest_seconds for one in moving if one.oldest_seconds is not None]
    return Outbox(sum(one.due for one in moving), max(ages, default=None))


@dataclass(frozen=True, slots=True)
class Lately:
    """What became of a queue's work of late: how many jobs were done, how long they waited to be taken and ran."""

    queue: str
    minutes: float
    done: int
    died: int
    failed: int
    excused: int
    wait: Percentiles | None
    run: Percentiles | None


def lately(*, now: datetime.datetime, within: datetime.timedelta = LATELY) -> list[Lately]:
    """Return what each queue did of late, those that did nothing too. One query of a row per queue and minute."""
    found: dict[str, list[QueueMinute]] = defaultdict(list)
    for row in QueueMinute.objects.filter(minute__gt=now - within, minute__lte=now):
        found[row.queue].append(row)
    return [
        Lately(
            queue=queue,
            minutes=within.total_seconds() / 60,
            done=sum(row.done for row in found[queue]),
            died=sum(row.died for row in found[queue]),
            failed=sum(row.failed for row in found[queue]),
            excused=sum(row.excused for row in found[queue]),
            wait=spans.percentiles(spans.added(row.waits for row in found[queue])),
            run=spans.percentiles(spans.added(row.runs for row in found[queue])),
        )
        for queue in QUEUES
    ]


@dataclass(frozen=True, slots=True)
class Point:
    """A queue (or all of them) in a stretch of time: what was seen at most, and what happened. None: nobody looked."""

    at: datetime.datetime
    due: int | None
    oldest_seconds: float | None
    running: int | None
    done: int
    failed: int
    died: int


MOST_POINTS = 180  # more than a chart has pixels for


def history(*, now: datetime.datetime, within: datetime.timedelta) -> dict[str, list[Point]]:
    """Return each queue's course, the oldest point first; "" is all of them together. One query."""
    minutes = max(-(-int(within.total_seconds()) // 60 // MOST_POINTS), 1)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(queue, ''), date_bin(make_interval(mins => %(minutes)s), minute, %(origin)s) AS at,
                   CASE WHEN grouping(queue) = 0 THEN max(due) ELSE sum(due) / count(DISTINCT minute) END,
                   max(oldest_seconds),
                   CASE WHEN grouping(queue) = 0 THEN max(running) ELSE sum(running) / count(DISTINCT minute) END,
                   sum(done), sum(failed), sum(died)
            FROM payments_queueminute WHERE minute > %(since)s AND minute <= %(now)s
            GROUP BY GROUPING SETS ((at, queue), (at)) ORDER BY 1, at
            """,
            {
                "minutes": minutes,
                "origin": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
                "since": now - within,
                "now": now,
            },
        )
        course: dict[str, list[Point]] = {queue: [] for queue in ("", *QUEUES)}
        for queue, at, due, oldest, running, done, failed, died in cursor.fetchall():
            point = Point(
                at,
                None if due is None else int(due),
                oldest,
                None if running is None else int(running),
                int(done),
                int(failed),
                int(died),
            )
            course.setdefault(queue, []).append(point)
    return course
