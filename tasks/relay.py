"""From rows to work: a bell names a queue, a worker claims what is due there and runs it.

Celery carries only the bells. What is claimed, retried, given up or overtaken is decided by the rows
(web/payments/operations/backlog.py).
"""

from __future__ import annotations

import contextlib
import datetime
import os
import socket
import threading
import time
from collections.abc import Iterator

import structlog
from celery import current_app, current_task, shared_task
from django.db import close_old_connections
from django.utils import timezone

from tasks import limits
from tasks.handlers import HANDLERS
from tasks.reader_looks import LOOKS_AT_ONCE, look_at_readers
from tasks.tally import tally
from tasks.webhooks import drain_inbox
from web.core import faultpoints, metrics, tracing
from web.payments import jobs
from web.payments.bell import DRAIN_TASK, bell
from web.payments.jobs import LEDGER_QUEUES, Lease, LeaseLost, Queue, TryAgain
from web.payments.operations import backlog, inbox, pulses
from web.payments.operations import reader_looks as looks

# Then a bell is rung anew and waits its turn among those of the other queues: a flood in one queue keeps the
# threads from another for no longer, and a worker that shall stop never has to wait longer.
DRAIN_SECONDS = 1.0
NOTED_EVERY_SECONDS = 5.0
LEDGER_BATCH = 8  # short jobs on the database: one claim for several. One that waits for another server is
# claimed alone: it would hold up those claimed with it until their leases run out.

log = structlog.get_logger(__name__)


class Room:
    """How full this worker is. The last quarter of its threads is for businesses that have nothing in flight:
    however many accounts hang, each of them can take one of those, and none can take them all."""

    def __init__(self) -> None:
        self.threads = 0  # of the worker's pool; 0: not known, then nothing is kept free
        self._busy = 0
        self._outgoing = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def taken(self) -> Iterator[int | None]:
        """Count a thread from before it claims until its job is done: threads that claim at the same moment must
        not each see room for the other. Yields how many jobs a business may have in flight for it to claim one."""
        with self._lock:
            self._busy += 1
            is_among_the_last = self.threads > 0 and self._busy > self.threads - max(self.threads // 4, 1)
        try:
            yield 1 if is_among_the_last else None
        finally:
            with self._lock:
                self._busy -= 1

    @contextlib.contextmanager
    def beside(self, queue: str) -> Iterator[bool]:
        """Yield whether a thread may serve a queue that shares its threads: servers of businesses, however many of
        them hang, never hold more than half, and the mail has the others."""
        if queue != Queue.OUTGOING:
            yield True
            return
        with self._lock:
            is_free = self.threads == 0 or self._outgoing < self.half
            self._outgoing += is_free
        try:
            yield is_free
        finally:
            with self._lock:
                self._outgoing -= is_free

    @property
    def half(self) -> int:
        return max(self.threads // 2, 1)


room = Room()


def served_by() -> str:
    """Return Celery's name of this worker, as it stands in its pulse; of what is none, the host's."""
    request = current_task.request if current_task else None
    return str(getattr(request, "hostname", None) or socket.gethostname())


def worker_name() -> str:
    """Return who claims: worker, process, thread."""
    return f"{served_by()}:{os.getpid()}:{threading.get_ident() % 100_000}"


@shared_task(name=DRAIN_TASK)
def drain(*, queue: str, **_: object) -> None:
    """Work through what is due in a queue. Claims are small; another bell calls a free thread to help."""
    deadline = time.monotonic() + DRAIN_SECONDS
    _note_drained(queue)
    while time.monotonic() < deadline:
        close_old_connections()  # one that the server has dropped; a healthy one is kept
        if queue in (Queue.WEBHOOKS, Queue.TERMINAL) and backlog.stands_still(
            queue=queue, served_by=served_by()
        ):
            return  # what is no job is not claimed: events, and looks at readers
        has_more = _drain_inbox() if queue == Queue.WEBHOOKS else False
        with room.beside(queue) as is_free, room.taken() as cap:
            if not is_free:
                return  # whoever holds the others goes on when they are done; the tick rings besides
            if queue == Queue.OUTGOING and room.threads:
                cap = max(room.half // 2, 1)  # of these, a business has half
            if queue == Queue.TERMINAL:  # it asks Stripe, too: a thread that hangs there is one that is taken
                has_more = _look_at_readers()
            has_more = _claim_and_run(queue, cap) or has_more
        if not has_more:
            return  # what has come meanwhile rang for itself
    bell.ring(queue)


def _claim_and_run(queue: str, cap: int | None) -> bool:
    """Run what a claim brings; return whether more may be due: then another thread is called, too."""
    limit = LEDGER_BATCH if queue in LEDGER_QUEUES else 1
    leases = backlog.claim(
        queue=queue,
        limit=limit,
        worker=worker_name(),
        now=timezone.now(),
        cap=cap,
        served_by=served_by(),
    )
    if len(leases) == limit and queue in backlog.due_queues(now=timezone.now()):
        bell.ring(queue)
    if leases:
        faultpoints.reach(faultpoints.JOB_CLAIMED)
    for lease in leases:
        run(lease)
    return len(leases) == limit


_noted: dict[str, float] = {}
_TICK = "tick"  # among the queues' names, in what was noted when


def _note_drained(queue: str) -> None:
    """Note, every few seconds, that bells of a queue reach this worker (workers/pulse.py)."""
    worker = served_by() if current_task else ""
    now = time.monotonic()
    if worker and now - _noted.get(queue, 0.0) > NOTED_EVERY_SECONDS:
        _noted[queue] = now
        pulses.drained(worker=worker, queue=queue, now=timezone.now())


def _drain_inbox() -> bool:
    """Apply a batch of events; return whether more may be there. Then another process is called, too."""
    has_more = drain_inbox().has_more
    if has_more:
        bell.ring(Queue.WEBHOOKS)
    return has_more


def _look_at_readers() -> bool:
    """Look at what is due at readers of one account; return whether more may be, of it or of another one.

    Where the account has many, another thread is called, too.
    """
    try:
        looked = look_at_readers()
    except Exception:  # the queue's jobs go on; what was claimed is looked at again when its lease runs out
        log.exception("readers.look_failed")
        return False
    if looked >= LOOKS_AT_ONCE:
        bell.ring(Queue.TERMINAL)
    return looked > 0


def run(lease: Lease) -> None:
    """Run one claimed job to its end: done, put off, or given up."""
    kind = lease.kind
    if lease.due_at is not None:
        waited = (timezone.now() - lease.due_at).total_seconds()
        metrics.JOB_WAIT_SECONDS.labels(kind.queue).observe(max(waited, 0.0))
    started = time.monotonic()
    with (
        structlog.contextvars.bound_contextvars(**_bound(lease)),
        tracing.span(
            f"job {kind.name}",
            parent=lease.traceparent,
            kind="consumer",
            job_id=lease.job_id,
            **lease.arguments,
        ),
        limits.job(priority=lease.priority) as caller,
    ):
        outcome = _run(lease, caller, started)
    metrics.JOBS.labels(kind.name, outcome).inc()
    metrics.JOB_SECONDS.labels(kind.name).observe(time.monotonic() - started)


def _bound(lease: Lease) -> dict[str, object]:
    """Return the ids that every record of a job's run carries; the request's where one asked for the job."""
    asked = {"request_id": lease.request_id} if lease.request_id else {}
    return {
        **asked,
        "business_id": lease.business_id,
        "job": lease.kind.name,
        "job_id": lease.job_id,
        "attempt": lease.attempts,
        **lease.arguments,
    }


def _run(lease: Lease, caller: limits.Caller, started: float) -> str:
    """Do the work and say how it ended, in the words of the metric."""
    if lease.attempts > lease.kind.max_attempts:  # its holder died each time: it may be what kills them
        backlog.bury(lease, error="its worker was lost every time", now=timezone.now())
        log.error("job.dead", reason="its worker was lost every time")
        return "dead"
    if shut := limits.seconds_shut(lease.account_id):
        return _excuse(lease, limits.Excuse("stripe_unavailable", shut))
    try:
        result = HANDLERS[lease.kind.name](lease=lease, **lease.arguments)
    except LeaseLost:
        log.warning("job.lease_lost")
        return "lease_lost"
    except TryAgain as reason:
        if caller.excuse is not None:
            return _excuse(lease, caller.excuse)
        return _put_off(lease, reason)
    except Exception as error:
        log.exception("job.failed")
        tally.tried(lease.kind.queue, "failed")
        # Only the type: an exception's text may quote what it was given.
        if backlog.put_off(lease, error=type(error).__name__, now=timezone.now()):
            return "failed"
        log.error("job.dead", reason=type(error).__name__)
        return "dead"
    if lease.kind.is_followed:
        # Kept for a day for whoever watches; the truth is in the job's row and its effect.
        current_app.backend.store_result(str(lease.public_id), result, "SUCCESS")
    if not lease.is_done:  # most end in the transaction of their effect
        jobs.complete(lease, now=timezone.now())
    log.info("job.done", ms=round((time.monotonic() - started) * 1000))
    return "done"


def _put_off(lease: Lease, reason: TryAgain) -> str:
    now = timezone.now()
    due_at = None if reason.seconds is None else now + datetime.timedelta(seconds=reason.seconds)
    is_waiting = backlog.put_off(lease, error=str(reason), now=now, counts=reason.counts, due_at=due_at)
    tally.tried(lease.kind.queue, "failed" if reason.counts else "excused")
    if is_waiting:
        log.info("job.put_off", reason=str(reason))
        return "put_off"
    log.error("job.dead", reason=str(reason))
    return "dead"


def _excuse(lease: Lease, excuse: limits.Excuse) -> str:
    """Put a job off that could not be done for a reason that is not its own: no try is used up."""
    now = timezone.now()
    seconds = limits.delay(excuse, put_offs=lease.put_offs)
    due_at = now + datetime.timedelta(seconds=seconds)
    backlog.put_off(lease, error=excuse.reason, now=now, counts=False, due_at=due_at)
    tally.tried(lease.kind.queue, "excused")
    log.info("job.excused", reason=excuse.reason, seconds=round(seconds, 1), put_offs=lease.put_offs + 1)
    return "excused"


@shared_task(name="paydesk.tick")
def tick(**_: object) -> None:
    """Ring again for what is due: jobs put off, leases that ran out, and all that the broker may have lost."""
    now = timezone.now()
    queues = set(backlog.due_queues(now=now))
    if inbox.has_due(now=now):
        queues.add(Queue.WEBHOOKS)
    if looks.has_due_looks(now=now):
        queues.add(Queue.TERMINAL)
    for queue in queues - backlog.paused_queues():
        bell.ring(queue)
    _note_ticked()


def _note_ticked() -> None:
    """Note, every few seconds, that what beat asks for is carried out."""
    now = time.monotonic()
    if now - _noted.get(_TICK, 0.0) > NOTED_EVERY_SECONDS:
        _noted[_TICK] = now
        pulses.ticked(now=timezone.now())
