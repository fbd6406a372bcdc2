"""The catalogue of jobs, and `enqueue`: the row is written with the change, the bell rings on commit.

A job that exists is done or becomes visible as dead; nothing else can happen to it. The broker may lose
everything: a tick rings again for what is due (tasks/relay.py).
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson
import structlog
from django.db import connection, transaction
from django.db.models import CharField, OuterRef, QuerySet, Value
from django.db.models.functions import Cast, Concat

from web.core import tracing
from web.payments import locks
from web.payments.bell import ring_on_commit
from web.payments.models import Job, Payment, StripeAccount


class Queue:
    """The queues. Those that wait on Stripe run on threads, those that wait on the database on processes."""

    INTENTS = "intents"
    TERMINAL = "terminal"
    WEBHOOKS = "webhooks"
    REFUNDS = "refunds"
    RECONCILE = "reconcile"
    ORDERS = "orders"
    RECEIPTS = "receipts"
    OUTGOING = "outgoing"  # webhooks of ours, to programs of businesses
    MAINTENANCE = "maintenance"


# What waits for somebody else's server is kept apart from what waits for the database, and the mail server
# from Stripe: one that hangs must not hold up the others. Outgoing webhooks share the mail server's threads, and never
# have more than half of them (tasks/relay.py).
STRIPE_QUEUES = (Queue.INTENTS, Queue.TERMINAL, Queue.REFUNDS, Queue.RECONCILE)
MAIL_QUEUES = (Queue.RECEIPTS, Queue.OUTGOING)
LEDGER_QUEUES = (Queue.WEBHOOKS, Queue.ORDERS, Queue.MAINTENANCE)
QUEUES = STRIPE_QUEUES + MAIL_QUEUES + LEDGER_QUEUES

PERSON_WAITS = 0
NOBODY_WAITS = 5


@dataclass(frozen=True, slots=True)
class JobKind:
    """What every job of one name has in common."""

    name: str
    queue: str
    lease_seconds: int = 40  # twice Stripe's read timeout (settings): whoever still waits still owns the job
    max_attempts: int = 12  # with back-off up to 5 minutes: about half an hour of trouble before it is dead
    is_followed: bool = False  # a person watches it: its result is kept for a day
    arguments: tuple[str, ...] = field(default=())


CREATE_INTENT = JobKind("create_intent", Queue.INTENTS, arguments=("payment_id",))
CANCEL_INTENT = JobKind("cancel_intent", Queue.INTENTS, arguments=("payment_id",))
READ_INTENT = JobKind("read_intent", Queue.INTENTS, arguments=("payment_id",))
VERIFY_ACCOUNT = JobKind(
    "verify_account", Queue.INTENTS, max_attempts=5, is_followed=True, arguments=("stripe_account_id",)
)
SUBMIT_REFUND = JobKind("submit_refund", Queue.REFUNDS, arguments=("refund_id",))
READ_REFUND = JobKind("read_refund", Queue.REFUNDS, arguments=("refund_id",))
IMPORT_REFUNDS = JobKind("import_refunds", Queue.REFUNDS, arguments=("payment_id",))
# Asking is work on the database; what it asks for is sent by the jobs of each refund.
ASK_BULK_REFUND = JobKind("ask_bulk_refund", Queue.ORDERS, arguments=("bulk_refund_id",))
SERVE_READER = JobKind("serve_reader", Queue.TERMINAL, arguments=("reader_id",))
CANCEL_ON_READER = JobKind("cancel_on_reader", Queue.TERMINAL, arguments=("reader_action_id",))
CAPTURE_INTENT = JobKind("capture_intent", Queue.TERMINAL, arguments=("payment_id",))
REGISTER_READER = JobKind(
    "register_reader", Queue.TERMINAL, max_attempts=5, is_followed=True, arguments=("reader_id",)
)
UPDATE_READER = JobKind(
    "update_reader", Queue.TERMINAL, max_attempts=5, is_followed=True, arguments=("reader_id",)
)
REMOVE_READER = JobKind(
    "remove_reader", Queue.TERMINAL, max_attempts=5, is_followed=True, arguments=("reader_id",)
)
READ_READER = JobKind(
    "read_reader", Queue.TERMINAL, max_attempts=5, is_followed=True, arguments=("reader_id",)
)
CREATE_CONNECTION_TOKEN = JobKind(
    "create_connection_token", Queue.TERMINAL, max_attempts=5, arguments=("connection_token_id",)
)
CHARGE_CARD = JobKind("charge_card", Queue.INTENTS, arguments=("payment_id",))
CREATE_CARD_SETUP = JobKind("create_card_setup", Queue.INTENTS, arguments=("card_setup_id",))
READ_CARD_SETUP = JobKind("read_card_setup", Queue.INTENTS, arguments=("card_setup_id",))
DETACH_CARD = JobKind("detach_card", Queue.INTENTS, arguments=("card_id",))
# Applies an event and takes it all back: what a replay would change, for whoever is about to ask for one.
REHEARSE_EVENT = JobKind(
    "rehearse_event", Queue.MAINTENANCE, max_attempts=3, is_followed=True, arguments=("inbox_event_id",)
)
DRILL_STEP = JobKind("drill_step", Queue.MAINTENANCE, arguments=("step",))  # load for `manage.py drill`
# Pages of lists: each may take as long as any call, and the lease allows for all of them.
BACKFILL_EVENTS = JobKind(
    "backfill_events", Queue.RECONCILE, lease_seconds=240, arguments=("stripe_account_id",)
)
CHECK_DRIFT = JobKind("check_drift", Queue.RECONCILE, lease_seconds=600, arguments=("stripe_account_id",))
IMPORT_BALANCE = JobKind(
    "import_balance", Queue.RECONCILE, lease_seconds=300, arguments=("stripe_account_id",)
)
READ_PAYOUT = JobKind("read_payout", Queue.RECONCILE, lease_seconds=300, arguments=("payout_row_id",))
SEND_RECEIPT = JobKind("send_receipt", Queue.RECEIPTS, lease_seconds=60, arguments=("order_id",))
RESEND_RECEIPT = JobKind("resend_receipt", Queue.RECEIPTS, lease_seconds=60, arguments=("resend_id",))
SEND_REFUND_RECEIPT = JobKind(
    "send_refund_receipt", Queue.RECEIPTS, lease_seconds=60, arguments=("refund_id",)
)
DELIVER_EVENT = JobKind("deliver_event", Queue.OUTGOING, lease_seconds=60, arguments=("delivery_id",))

CATALOGUE = {kind.name: kind for kind in list(globals().values()) if isinstance(kind, JobKind)}


@dataclass(slots=True, eq=False)
class Lease:
    """A claim of a job. Only the newest claim (the highest fence) may open an attempt or end the job."""

    job_id: int
    public_id: uuid.UUID
    kind: JobKind
    arguments: dict[str, int]
    fence: int
    attempts: int
    business_id: int
    account_id: int | None = None
    priority: int = PERSON_WAITS
    put_offs: int = 0  # so far, through no fault of the job's
    due_at: datetime.datetime | None = None
    request_id: str = ""  # of the request that asked for it, for whoever reads the logs
    traceparent: str = ""  # the same for traces, in W3C's words
    is_done: bool = False  # its end is committed: `complete` need not be asked again


class LeaseLost(Exception):
    """Somebody else has claimed this job since. Nothing was changed; they carry on."""


class TryAgain(Exception):
    """The job is not done and nothing is wrong with it: it waits, and runs again. Its text is shown to people.

    `counts=False`: what kept it is no fault of its own, and no try is used up. `seconds`: when it is worth
    running again; without it, the tries spread out.
    """

    def __init__(self, reason: str = "", *, counts: bool = True, seconds: float | None = None) -> None:
        self.counts, self.seconds = counts, seconds
        super().__init__(reason)


def enqueue(
    kind: JobKind,
    *,
    business_id: int,
    now: datetime.datetime,
    account_id: int | None = None,
    dedup_key: str | None = None,
    priority: int = PERSON_WAITS,
    due_at: datetime.datetime | None = None,
    **arguments: int,
) -> uuid.UUID:
    """Write a job in the transaction at hand and return its public id.

    A waiting job of the same name and key is joined: it keeps the earlier due time (unless it backs off
    after a failure: asking again must not cut that short) and the more urgent priority. Joining locks it, so
    that it cannot be claimed before our change is committed: a wake-up is never swallowed. A *running* job is
    not joined, since it may have read the state before our change.
    """
    (public_id,) = write(
        [
            wanted(
                kind,
                business_id=business_id,
                account_id=account_id,
                dedup_key=dedup_key,
                priority=priority,
                due_at=due_at,
                now=now,
                **arguments,
            )
        ]
    )
    return public_id


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that is about to be written: its row as JSON takes it, and whether its bell rings with the commit."""

    row: dict[str, object]
    queue: str
    is_due: bool


def wanted(
    kind: JobKind,
    *,
    business_id: int,
    now: datetime.datetime,
    account_id: int | None = None,
    dedup_key: str | None = None,
    priority: int = PERSON_WAITS,
    due_at: datetime.datetime | None = None,
    **arguments: int,
) -> Wanted:
    """Return a job for `write`. It carries the ids of the request or event that is at hand now."""
    if set(arguments) != set(kind.arguments):
        raise TypeError(f"{kind.name} takes {kind.arguments}, not {tuple(arguments)}")
    row = {
        "public_id": uuid.uuid4(),
        "name": kind.name,
        "queue": kind.queue,
        "business_id": business_id,
        "account_id": account_id,
        "arguments": arguments,
        "dedup_key": dedup_key,
        "priority": priority,
        "due_at": due_at or now,
        "request_id": str(structlog.contextvars.get_contextvars().get("request_id", "")),
        "traceparent": tracing.traceparent(),
        "created_at": now,
    }
    return Wanted(row, kind.queue, is_due=due_at is None or due_at <= now)


_WRITE = """
INSERT INTO payments_job (public_id, name, queue, business_id, account_id, arguments, dedup_key, priority, state,
                          attempts, put_offs, due_at, fence, worker, last_error, request_id, traceparent, created_at)
SELECT public_id, name, queue, business_id, account_id, arguments, dedup_key, priority, 'waiting',
       0, 0, due_at, 0, '', '', request_id, traceparent, created_at
FROM jsonb_to_recordset(%s::jsonb) AS given(
    public_id uuid, name text, queue text, business_id bigint, account_id bigint, arguments jsonb, dedup_key text,
    priority smallint, due_at timestamptz, request_id text, traceparent text, created_at timestamptz)
ON CONFLICT (name, dedup_key) WHERE state = 'waiting' AND dedup_key IS NOT NULL
DO UPDATE SET due_at = CASE WHEN payments_job.attempts + payments_job.put_offs > 0
                            THEN payments_job.due_at
                            ELSE LEAST(payments_job.due_at, EXCLUDED.due_at) END,
              priority = LEAST(payments_job.priority, EXCLUDED.priority)
RETURNING public_id
"""


def write(jobs: Sequence[Wanted]) -> list[uuid.UUID]:
    """Write jobs, each of another subject, in the transaction at hand; return their public ids, in no order."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("A job is written in the transaction of its change.")
    if not jobs:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [orjson.dumps([job.row for job in jobs]).decode()])
        ids = [uuid.UUID(str(public_id)) for (public_id,) in cursor.fetchall()]
    for queue in sorted({job.queue for job in jobs if job.is_due}):
        ring_on_commit(queue)
    return ids


def enqueue_for_payment(
    kind: JobKind,
    payment: Payment,
    *,
    now: datetime.datetime,
    priority: int = PERSON_WAITS,
    due_at: datetime.datetime | None = None,
) -> uuid.UUID:
    """Write a job that works on one payment; of each kind a payment has one that waits."""
    return enqueue(
        kind,
        business_id=payment.business_id,
        account_id=payment.account_id,
        payment_id=payment.id,
        dedup_key=f"payment:{payment.id}",
        priority=priority,
        due_at=due_at,
        now=now,
    )


def enqueue_for_account(
    kind: JobKind, account: StripeAccount, *, now: datetime.datetime, priority: int = PERSON_WAITS
) -> uuid.UUID:
    """Write a job that works on one Stripe account; of each kind an account has one that waits."""
    return enqueue(
        kind,
        business_id=account.business_id,
        account_id=account.id,
        stripe_account_id=account.id,
        dedup_key=f"account:{account.id}",
        priority=priority,
        now=now,
    )


def of_payment(kind_name: str | OuterRef, payment_id: str) -> QuerySet[Job]:
    """Return the jobs of a payment, as a subquery: `payment_id` names the outer row's field.

    What `enqueue_for_payment` wrote under its key; callers narrow it to the states that they mean.
    """
    key = Concat(Value("payment:"), Cast(OuterRef(payment_id), CharField()), output_field=CharField())
    return Job.objects.filter(name=kind_name, dedup_key=key)


def hold(lease: Lease) -> None:
    """Lock the job until the transaction ends; raise LeaseLost where a newer claim exists."""
    if not locks.running_job(job_id=lease.job_id, fence=lease.fence):
        raise LeaseLost


def complete(lease: Lease, *, now: datetime.datetime) -> bool:
    """Mark the job done, in the transaction of its effect; return whether this claim still held."""
    with connection.cursor() as cursor:  # written out: every job ends with it
        cursor.execute(
            "UPDATE payments_job SET state = %s, finished_at = %s, leased_until = NULL, last_error = ''"
            " WHERE id = %s AND fence = %s AND state = %s",
            [Job.State.DONE.value, now, lease.job_id, lease.fence, Job.State.RUNNING.value],
        )
        was_ours = bool(cursor.rowcount == 1)

    def note() -> None:
        lease.is_done = True

    if was_ours:
        transaction.on_commit(note)
    return was_ours
