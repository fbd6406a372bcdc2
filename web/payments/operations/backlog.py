"""Claiming, retrying and burying jobs: the engine under every queue. The rows are the truth.

A claim is a lease with a fencing number. Whoever dies is overtaken when the lease runs out: nothing waits
for the broker to notice.
"""

from __future__ import annotations

import datetime
import json
import random

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from web.payments.jobs import CATALOGUE, QUEUES, STRIPE_QUEUES, Lease, Queue
from web.payments.models import Job, QueuePause, WorkerDrain

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0

# Whose jobs are looked at: businesses with the jobs that have been due the longest, those where a person waits
# before all others, and besides some of all businesses that wait, in turn (`hop` goes through the index, one
# probe for each, from where this process's last claim ended). So a claim costs the same however many jobs and
# businesses wait, a flood cannot hide anybody, and whoever is not among the oldest has its turn a few claims later.
# `turn` counts a business's jobs, those in flight included: taking the lowest turn first serves everybody before
# it serves anybody twice. Only a few more rows than are wanted are chosen, and of those only the ones that
# nobody else is claiming at this moment are locked. A business whose calls take long has fewer slots.
# The function is in migrations/0015_claim.py (docs/decisions/0022-a-claim-is-a-function.md says why).
_CLAIM = """
SELECT * FROM payments_claim_1(
    %(queue)s, %(limit)s, %(spare)s, %(worker)s, %(served_by)s, %(now)s::timestamptz, %(is_capped)s, %(cap)s,
    %(slow_cap)s, %(slow_since)s::timestamptz, %(after)s, %(hops)s, %(oldest)s, %(leases)s::jsonb)
"""

_DUE_QUEUES = """
SELECT queue FROM unnest(%(queues)s::text[]) AS queue
WHERE (EXISTS (SELECT 1 FROM payments_job AS job
               WHERE job.queue = queue.queue AND job.state = 'waiting' AND job.due_at <= %(now)s)
       OR EXISTS (SELECT 1 FROM payments_job AS job
                  WHERE job.queue = queue.queue AND job.state = 'running' AND job.leased_until < %(now)s))
  AND NOT EXISTS (SELECT 1 FROM payments_queuepause AS pause WHERE pause.queue = queue.queue)
"""

_LEASES = json.dumps({kind.name: kind.lease_seconds for kind in CATALOGUE.values()})
_NO_CAP = 1_000_000
HOPS = 32  # businesses that each claim looks at in turn
OLDEST = 64  # jobs that have been due the longest, whose businesses it looks at besides
SLOW_AFTER = datetime.timedelta(seconds=2)  # a call that takes longer: its business gets a third of the slots

_cursors: dict[str, int] = {}  # where this process's last claim of each queue ended; losing it costs nothing


def claim(
    *,
    queue: str,
    limit: int,
    worker: str,
    now: datetime.datetime,
    cap: int | None = None,
    served_by: str = "",
) -> list[Lease]:
    """Claim up to `limit` jobs of a queue, fairly between businesses, expired leases first.

    On queues that wait on Stripe, or on a business's own server, a business has a cap in flight, so that one that
    hangs cannot take every thread; a worker that is nearly full passes a smaller one. Claims of such a queue take
    turns, or several at once would each see room. Nothing is claimed of a queue that somebody paused, nor for a worker
    (`served_by`, as Celery names it) that was told to take no more.
    """
    is_capped = queue in (*STRIPE_QUEUES, Queue.OUTGOING)
    if not is_capped:
        cap = _NO_CAP
    elif cap is None:
        cap = settings.JOBS_IN_FLIGHT_PER_BUSINESS
    parameters = {
        "queue": queue,
        "limit": limit,
        "spare": 4 * limit + 16,
        "worker": worker[:100],
        "served_by": served_by[:100],
        "now": now,
        "is_capped": is_capped,
        "cap": cap,
        "slow_cap": max(cap // 3, 1) if is_capped else cap,
        "slow_since": now - SLOW_AFTER,
        "after": _cursors.get(queue, 0),
        "hops": HOPS,
        "oldest": OLDEST,
        "leases": _LEASES,
    }
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_CLAIM, parameters)
        rows = cursor.fetchall()
    _cursors[queue] = next(row[-1] for row in rows if row[0] is None)
    leases = [
        Lease(job_id, public_id, CATALOGUE[name], json.loads(arguments), *rest)
        for job_id, public_id, name, arguments, *rest, _cursor in rows
        if job_id is not None
    ]
    return sorted(leases, key=lambda lease: lease.job_id)


def stands_still(*, queue: str, served_by: str) -> bool:
    """Return whether a queue is paused, or a worker was told to take no more: for work that is no job."""
    return QueuePause.objects.filter(queue=queue).exists() or (
        bool(served_by) and WorkerDrain.objects.filter(worker=served_by[:100]).exists()
    )


def paused_queues() -> set[str]:
    """Return the queues that nobody takes work from now."""
    return set(QueuePause.objects.values_list("queue", flat=True))


def due_queues(*, now: datetime.datetime) -> list[str]:
    """Return the queues that have something to do now. One that is paused has nothing to do."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE_QUEUES, {"queues": list(QUEUES), "now": now})
        return [queue for (queue,) in cursor.fetchall()]


def take_over(*, worker: str, began: datetime.datetime) -> int:
    """Let the leases run out that an earlier process of this worker's name held; return how many.

    At once where it was the job's first try; later ones wait twice as long each time, until their lease ends by itself:
    a worker that dies again and again must not use up the tries of what it has in hand within a minute.

    For a worker that starts: what has its name and was claimed before it began (both by this machine's clock) belongs
    to a process that is gone, so nobody has to wait for the lease. Two workers of one name would overtake each other in
    the middle: fences keep money right, but a mail could go out twice. A row that is locked is left to its lease.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH theirs AS (
                SELECT id FROM payments_job
                WHERE state = 'running' AND leased_until > %(began)s AND started_at < %(began)s
                      AND starts_with(worker, %(prefix)s)
                FOR NO KEY UPDATE SKIP LOCKED
            )
            UPDATE payments_job AS job SET leased_until = least(
                leased_until,
                %(began)s + CASE WHEN attempts < 2 THEN interval '0' ELSE interval '1 second' * 2 ^ (attempts - 1) END)
            FROM theirs WHERE job.id = theirs.id
            """,
            {"began": began, "prefix": f"{worker}:"[:100]},
        )
        return int(cursor.rowcount)


def retry_delay(attempts: int) -> datetime.timedelta:
    """Return how long to wait after the n-th try: doubling from a second to five minutes, with jitter."""
    seconds = min(FIRST_RETRY_SECONDS * 2 ** max(attempts - 1, 0), LONGEST_RETRY_SECONDS)
    return datetime.timedelta(seconds=seconds * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load


def put_off(
    lease: Lease,
    *,
    error: str,
    now: datetime.datetime,
    counts: bool = True,
    due_at: datetime.datetime | None = None,
) -> bool:
    """Let the job wait for another try, or bury it when it has had all its tries; return whether it waits.

    What is no fault of the job's (`counts=False`: Stripe's budget is used up, Stripe is away) takes no try
    away, however often it happens.
    """
    if counts and lease.attempts >= lease.kind.max_attempts:
        bury(lease, error=error, now=now)
        return False
    held = Job.objects.filter(id=lease.job_id, fence=lease.fence, state=Job.State.RUNNING)
    excused = {} if counts else {"attempts": F("attempts") - 1, "put_offs": F("put_offs") + 1}
    try:
        with transaction.atomic():
            held.update(
                state=Job.State.WAITING,
                due_at=due_at or now + retry_delay(lease.attempts),
                leased_until=None,
                last_error=error[:300],
                **excused,
            )
    except IntegrityError:  # the same work was asked for again meanwhile: that job carries on
        held.update(
            state=Job.State.DONE,
            finished_at=now,
            leased_until=None,
            last_error=f"joined a newer job: {error}"[:300],
        )
    return True


def bury(lease: Lease, *, error: str, now: datetime.datetime) -> None:
    """Give the job up: it stays, visible as dead, until a person replays it."""
    Job.objects.filter(id=lease.job_id, fence=lease.fence, state=Job.State.RUNNING).update(
        state=Job.State.DEAD, finished_at=now, leased_until=None, last_error=error[:300]
    )


def replay(*, now: datetime.datetime, name: str | None = None, job_ids: list[int] | None = None) -> int:
    """Let dead jobs wait again, with their tries counted anew; return how many. One by one: twins are joined."""
    dead = Job.objects.filter(state=Job.State.DEAD)
    if name is not None:
        dead = dead.filter(name=name)
    if job_ids is not None:
        dead = dead.filter(id__in=job_ids)
    replayed = 0
    for job_id in list(dead.order_by("id").values_list("id", flat=True)):
        row = Job.objects.filter(id=job_id, state=Job.State.DEAD)
        try:
            with transaction.atomic():
                replayed += row.update(
                    state=Job.State.WAITING, attempts=0, put_offs=0, due_at=now, finished_at=None
                )
        except IntegrityError:
            row.update(state=Job.State.DONE, last_error="joined a newer job")
    return replayed
