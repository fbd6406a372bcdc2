"""The figures of each minute: counted once, kept for some hours, so that a chart costs a row per queue and minute.

What was done is counted in the jobs' rows, so it is right whoever counts, twice or late; what stood is what was seen
when somebody looked. Rows of accounts and failures come from the workers' own counts (tasks/tally.py).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from django.db import connection

from web.payments.models import QueueMinute, StripeMinute
from web.payments.queries import queues
from web.payments.queries.spans import STEPS, step_sql

KEPT = datetime.timedelta(hours=24)
CAUGHT_UP = datetime.timedelta(minutes=10)  # after a silence of beat: what was done then is counted later
MINUTE = datetime.timedelta(minutes=1)

_COUNT_WHAT_HAPPENED = """
WITH ended AS MATERIALIZED (
    SELECT queue, state, date_trunc('minute', finished_at) AS minute,
           greatest(extract(epoch FROM started_at - due_at), 0)::double precision AS waited,
           greatest(extract(epoch FROM finished_at - started_at), 0)::double precision AS ran
    FROM payments_job
    WHERE state = 'done' AND finished_at >= %(since)s AND finished_at < %(until)s
    UNION ALL
    SELECT queue, state, date_trunc('minute', finished_at), NULL, NULL FROM payments_job
    WHERE state = 'dead' AND queue = ANY(%(queues)s) AND finished_at >= %(since)s AND finished_at < %(until)s
), stepped AS (
    SELECT queue, minute, <step of waited> AS step, count(*) AS waits, 0 AS runs
    FROM ended WHERE waited IS NOT NULL GROUP BY 1, 2, 3
    UNION ALL
    SELECT queue, minute, <step of ran>, 0, count(*)
    FROM ended WHERE ran IS NOT NULL GROUP BY 1, 2, 3
), spans AS (
    SELECT queue, minute, jsonb_agg(waits ORDER BY step) AS waits, jsonb_agg(runs ORDER BY step) AS runs
    FROM (SELECT minutes.queue, minutes.minute, step, coalesce(sum(stepped.waits), 0) AS waits,
                 coalesce(sum(stepped.runs), 0) AS runs
          FROM (SELECT DISTINCT queue, minute FROM stepped) AS minutes
          CROSS JOIN generate_series(0, %(last_step)s) AS step
          LEFT JOIN stepped USING (queue, minute, step)
          GROUP BY 1, 2, 3) AS whole
    GROUP BY queue, minute
), happened AS (
    SELECT queue, minute, count(*) FILTER (WHERE state = 'done') AS done,
           count(*) FILTER (WHERE state = 'dead') AS died
    FROM ended GROUP BY queue, minute
)
INSERT INTO payments_queueminute (queue, minute, done, died, failed, excused, waits, runs)
SELECT queue, minute, done, died, 0, 0, coalesce(waits, '[]'), coalesce(runs, '[]')
FROM happened LEFT JOIN spans USING (queue, minute)
ORDER BY minute, queue
ON CONFLICT (minute, queue) DO UPDATE
SET done = EXCLUDED.done, died = EXCLUDED.died, waits = EXCLUDED.waits, runs = EXCLUDED.runs
"""
for _name in ("waited", "ran"):
    _COUNT_WHAT_HAPPENED = _COUNT_WHAT_HAPPENED.replace(f"<step of {_name}>", step_sql(_name))

_NOTE_WHAT_STANDS = """
INSERT INTO payments_queueminute (queue, minute, due, oldest_seconds, running, dead, done, died, failed, excused,
                                  waits, runs)
SELECT queue, %(minute)s, due, oldest, running, dead, 0, 0, 0, 0, '[]', '[]'
FROM unnest(%(queues)s::text[], %(due)s::int[], %(oldest)s::double precision[], %(running)s::int[],
            %(dead)s::int[]) AS seen (queue, due, oldest, running, dead)
ORDER BY queue
ON CONFLICT (minute, queue) DO UPDATE
SET due = EXCLUDED.due, oldest_seconds = EXCLUDED.oldest_seconds, running = EXCLUDED.running, dead = EXCLUDED.dead
"""


def minute_of(at: datetime.datetime) -> datetime.datetime:
    """Return the minute that a moment is in."""
    return at.replace(second=0, microsecond=0)


def note(*, now: datetime.datetime) -> None:
    """Note how the queues stand, and count what happened since the last time and in the minute before it."""
    minute = minute_of(now)
    newest = (
        QueueMinute.objects.filter(due__isnull=False).order_by("-minute").values_list("minute", flat=True)
    )
    last = newest.first() or minute
    since = max(min(last, minute) - MINUTE, minute - CAUGHT_UP)
    standing = queues.standing(now=now)
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNT_WHAT_HAPPENED,
            {
                "since": since,
                "until": minute + MINUTE,
                "queues": [one.queue for one in standing],
                "last_step": STEPS - 1,
            },
        )
        cursor.execute(
            _NOTE_WHAT_STANDS,
            {
                "minute": minute,
                "queues": [one.queue for one in standing],
                "due": [one.due for one in standing],
                "oldest": [one.oldest_seconds for one in standing],
                "running": [one.in_flight for one in standing],
                "dead": [one.dead for one in standing],
            },
        )


def forget(*, now: datetime.datetime) -> None:
    """Delete the minutes that no chart shows any more."""
    QueueMinute.objects.filter(minute__lt=now - KEPT).delete()
    StripeMinute.objects.filter(minute__lt=now - KEPT).delete()


def add_failures(counts: Mapping[tuple[str, datetime.datetime], Mapping[str, int]]) -> None:
    """Add what a process counted: `failed` and `excused` tries, per queue and minute."""
    with connection.cursor() as cursor:
        for (queue, minute), count in sorted(counts.items()):
            cursor.execute(
                """
                INSERT INTO payments_queueminute (queue, minute, done, died, failed, excused, waits, runs)
                VALUES (%s, %s, 0, 0, %s, %s, '[]', '[]')
                ON CONFLICT (minute, queue) DO UPDATE
                SET failed = payments_queueminute.failed + EXCLUDED.failed,
                    excused = payments_queueminute.excused + EXCLUDED.excused
                """,
                [queue, minute, count.get("failed", 0), count.get("excused", 0)],
            )


def add_calls(counts: Mapping[tuple[int, datetime.datetime], Mapping[str, int]]) -> None:
    """Add what a process counted of its calls to Stripe, per account (our row's id) and minute."""
    with connection.cursor() as cursor:
        for (account_id, minute), count in sorted(counts.items()):
            cursor.execute(
                """
                INSERT INTO payments_stripeminute (account_id, minute, calls, errors, limited, turned_away,
                                                   milliseconds)
                VALUES (%s, %s, %s, %s, %s, %s, %s)
                ON CONFLICT (minute, account_id) DO UPDATE
                SET calls = payments_stripeminute.calls + EXCLUDED.calls,
                    errors = payments_stripeminute.errors + EXCLUDED.errors,
                    limited = payments_stripeminute.limited + EXCLUDED.limited,
                    turned_away = payments_stripeminute.turned_away + EXCLUDED.turned_away,
                    milliseconds = payments_stripeminute.milliseconds + EXCLUDED.milliseconds
                """,
                [
                    account_id,
                    minute,
                    *(
                        count.get(name, 0)
                        for name in ("calls", "errors", "limited", "turned_away", "milliseconds")
                    ),
                ],
            )
