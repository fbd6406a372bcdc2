"""Load for drills: jobs that touch no money, on a business of their own, and what became of them.

Each step leaves one line of history in the transaction that ends its job: a step without a line is lost, one
with two lines was done twice.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass

from django.db import connection, transaction

from web.core.models import Business
from web.payments import history, jobs
from web.payments.bell import ring_on_commit
from web.payments.jobs import DRILL_STEP, Lease
from web.payments.models import Job

DRILL_BUSINESS = 9_999_999  # no host name leads to it


@dataclass(frozen=True, slots=True)
class Report:
    """A drill at one moment: of its steps, how many are where."""

    steps: int
    due: int
    running: int
    done: int
    lost: int
    doubled: int
    claimed_again: int

    @property
    def is_over(self) -> bool:
        return self.due == self.running == 0


@transaction.atomic
def put(*, steps: int, now: datetime.datetime) -> range:
    """Queue so many steps, all due now, and return their numbers. No bell rings but one."""
    business, _is_new = Business.objects.get_or_create(
        business_id=DRILL_BUSINESS,
        defaults={"name": "Drill", "country": "us", "currency": "usd", "time_zone": "UTC"},
    )
    last = Job.objects.filter(name=DRILL_STEP.name).order_by("-id").first()
    first = 1 if last is None else int(last.arguments["step"]) + 1
    numbers = range(first, first + steps)
    Job.objects.bulk_create(
        [
            Job(
                name=DRILL_STEP.name,
                queue=DRILL_STEP.queue,
                business=business,
                arguments={"step": number},
                priority=jobs.NOBODY_WAITS,
                due_at=now,
                created_at=now,
            )
            for number in numbers
        ],
        batch_size=1000,
    )
    ring_on_commit(DRILL_STEP.queue)
    return numbers


@transaction.atomic(durable=True)
def do(*, step: int, lease: Lease, now: datetime.datetime) -> None:
    """Do a step once: raises LeaseLost where somebody else has claimed it since."""
    history.record(
        history.DRILL_STEP,
        business_id=lease.business_id,
        cart_reference=uuid.UUID(int=step),
        payment=None,
        actor=history.WORKER,
        now=now,
        data={"step": step},
    )
    if not jobs.complete(lease, now=now):
        raise jobs.LeaseLost


def report(numbers: range) -> Report:
    """Say what became of the steps with these numbers."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH step AS (
                SELECT state, fence, (SELECT count(*) FROM payments_paymentevent AS line WHERE line.kind = %(kind)s
                                      AND line.cart_reference = lpad(to_hex((arguments ->> 'step')::bigint), 32, '0'
                                      )::uuid) AS lines
                FROM payments_job WHERE name = %(name)s
                AND (arguments ->> 'step')::bigint BETWEEN %(first)s AND %(last)s
            )
            SELECT count(*), count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'running'),
                   count(*) FILTER (WHERE lines = 1), count(*) FILTER (WHERE state IN ('done', 'dead') AND lines = 0),
                   count(*) FILTER (WHERE lines > 1), count(*) FILTER (WHERE fence > 1)
            FROM step
            """,
            {
                "name": DRILL_STEP.name,
                "kind": history.DRILL_STEP,
                "first": numbers.start,
                "last": numbers.stop - 1,
            },
        )
        found, due, running, done, lost, doubled, again = cursor.fetchone()
    gone = len(numbers) - found  # rows that are no longer there
    return Report(len(numbers), due, running, done, lost + gone, doubled, again)
