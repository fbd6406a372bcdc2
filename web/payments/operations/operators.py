"""What whoever is on call does by hand. Each action says before what it would change; each is written down, with why.

`retry`, `discard` and their likes apply to what was shown: the number that the person typed has to be the number
that fits now, or nothing happens.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy

from web.core.logs import redact_text
from web.payments import history, locks
from web.payments.bell import ring_on_commit
from web.payments.errors import Kind, Refusal
from web.payments.jobs import (
    IMPORT_REFUNDS,
    QUEUES,
    READ_INTENT,
    REHEARSE_EVENT,
    Queue,
    enqueue,
    enqueue_for_payment,
)
from web.payments.models import (
    InboxEvent,
    Job,
    OperatorAction,
    Payment,
    QueuePause,
    WorkerDrain,
    WorkerPulse,
)
from web.payments.operations import backlog
from web.payments.queries import jobs_list, pickups
from web.payments.queries.jobs_list import JobFilter
from web.payments.queries.pickups import Pickup
from web.payments.states import PaymentState

LONGEST_REASON = 200
COMMAND = "command"
Action = OperatorAction.Action


class NoReason(Refusal):
    """Whoever looks at this later has to know why."""

    code = "no_reason"
    message = _lazy("Say why.")
    next_step = _lazy("A few words are enough; whoever looks at this later reads them.")


class CountChanged(Refusal):
    """What fits is not what the person saw and typed."""

    code = "count_changed"
    kind = Kind.CONFLICT
    message = _lazy("The number is not how many fit now. Nothing was changed.")
    next_step = _lazy("Look at the list again, and type the number that it shows.")


class NothingFits(Refusal):
    """There is nothing to do it to."""

    code = "nothing_fits"
    kind = Kind.CONFLICT
    message = _lazy("Nothing fits any more. Nothing was changed.")
    next_step = _lazy("Somebody may have done it already: see what was done below.")


class AlreadySo(Refusal):
    """It is as it was to become."""

    code = "already_so"
    kind = Kind.CONFLICT
    message = _lazy("It is so already. Nothing was changed.")
    next_step = _lazy("Reload the page to see how it stands.")


class NoSuchThing(Refusal):
    """There is no queue, worker, event or payment like this."""

    code = "no_such_thing"
    kind = Kind.MISSING
    message = _lazy("There is nothing like this.")


class NotAtStripe(Refusal):
    """The payment has no intent that could be read."""

    code = "not_at_stripe"
    kind = Kind.CONFLICT
    message = _lazy("Stripe has no intent for this payment, so there is nothing to read.")


def actor_of(profile_id: int) -> str:
    """Return how an operator is named in what is written down."""
    return f"operator {profile_id}"


def _record(
    action: OperatorAction.Action,
    *,
    actor: str,
    reason: str,
    now: datetime.datetime,
    subject: str = "",
    number: int = 1,
    changes: dict[str, object] | None = None,
    payment: Payment | None = None,
    business_id: int | None = None,
) -> None:
    OperatorAction.objects.create(
        action=action,
        actor=actor,
        at=now,
        reason=_reason(reason),
        subject=subject[:100],
        number=number,
        changes=changes or {},
        payment=payment,
        business_id=payment.business_id if payment is not None else business_id,
    )


def _reason(text: str) -> str:
    reason = redact_text(" ".join(text.split()))[:LONGEST_REASON]
    if not reason:
        raise NoReason
    return reason


def note_rights(
    *,
    profile_id: int,
    business_id: int,
    before: list[str],
    after: list[str],
    reason: str,
    now: datetime.datetime,
) -> None:
    """Write down that somebody was made an operator, or is none any more."""
    _record(
        Action.RIGHTS_CHANGED,
        actor=COMMAND,
        reason=reason,
        now=now,
        subject=actor_of(profile_id),
        changes={"rights": [before, after]},
        business_id=business_id,
    )


def note_replayed(*, what: str, number: int, is_inbox: bool, reason: str, now: datetime.datetime) -> None:
    """Write down that a command let jobs, or events, run again."""
    _record(
        Action.EVENTS_REPLAYED if is_inbox else Action.JOBS_RETRIED,
        actor=COMMAND,
        reason=reason,
        now=now,
        subject=what,
        number=number,
    )


# --- jobs --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effect:
    """What an action would do to one job. `is_done` is False where the job is left as it is."""

    job: Job
    is_done: bool
    what: str


def retry_effects(wanted: JobFilter) -> list[Effect]:
    """Say what letting dead jobs run again would do to each. Changes nothing."""
    rows = jobs_list.first(wanted)
    keys = {(job.name, job.dedup_key) for job in rows if job.dedup_key is not None}
    waiting = Job.objects.filter(
        state=Job.State.WAITING,
        name__in={name for name, _key in keys},
        dedup_key__in={key for _name, key in keys},
    )
    taken = {(job.name, job.dedup_key): job.id for job in waiting}
    effects = []
    for job in rows:
        twin = None if job.dedup_key is None else taken.get((job.name, job.dedup_key))
        if twin is not None:
            effects.append(
                Effect(job, True, _("joins job %(id)s, which waits to do the same") % {"id": twin})
            )
            continue
        if job.dedup_key is not None:
            taken[job.name, job.dedup_key] = job.id
        effects.append(
            Effect(
                job,
                True,
                _("waits again, due now; its %(tries)s tries are counted anew") % {"tries": job.attempts},
            )
        )
    return effects


@transaction.atomic
def retry(*, wanted: JobFilter, expected: int, reason: str, actor: str, now: datetime.datetime) -> int:
    """Let dead jobs run again; return how many. Their subjects are looked at anew, so a second run is harmless."""
    rows = _locked(wanted)
    if len(rows) != expected:
        raise CountChanged if rows else NothingFits
    backlog.replay(now=now, job_ids=[job.id for job in rows])
    _record_jobs(Action.JOBS_RETRIED, wanted, rows, actor=actor, reason=reason, now=now)
    for queue in {job.queue for job in rows}:
        ring_on_commit(queue)
    return len(rows)


def discard_effects(wanted: JobFilter) -> list[Effect]:
    """Say of each dead job whether it may be discarded, and what becomes of its subject. Changes nothing."""
    effects = []
    for job in jobs_list.first(wanted):
        pickup = pickups.after_discarding(job)
        effects.append(Effect(job, pickup.may_discard, pickup.why))
    return effects


@transaction.atomic
def discard(*, wanted: JobFilter, expected: int, reason: str, actor: str, now: datetime.datetime) -> int:
    """Discard the dead jobs whose subject is over or picked up by something else; return how many.

    `expected` counts those. A job whose subject is open, and that nobody else would take further, stays.
    """
    rows = [job for job in _locked(wanted) if _pickup(job).may_discard]
    if len(rows) != expected:
        raise CountChanged if rows else NothingFits
    Job.objects.filter(id__in=[job.id for job in rows]).update(state=Job.State.DROPPED, finished_at=now)
    _record_jobs(Action.JOBS_DISCARDED, wanted, rows, actor=actor, reason=reason, now=now)
    return len(rows)


def _pickup(job: Job) -> Pickup:
    return pickups.after_discarding(job)


def _locked(wanted: JobFilter) -> list[Job]:
    if wanted.state != Job.State.DEAD:
        return []
    return locks.dead_jobs([job.id for job in jobs_list.first(wanted)])


def _record_jobs(
    action: OperatorAction.Action,
    wanted: JobFilter,
    rows: Sequence[Job],
    *,
    actor: str,
    reason: str,
    now: datetime.datetime,
) -> None:
    payments = {job.arguments.get("payment_id") for job in rows}
    payment_id = payments.pop() if len(payments) == 1 else None
    businesses = {job.business_id for job in rows}
    _record(
        action,
        actor=actor,
        reason=reason,
        now=now,
        subject=wanted.in_words(),
        number=len(rows),
        changes={"jobs": [job.id for job in rows]},
        payment=Payment.objects.filter(id=payment_id).first() if payment_id else None,
        business_id=businesses.pop() if len(businesses) == 1 else None,
    )


# --- queues and workers ------------------------------------------------------------------------------


@transaction.atomic
def pause(*, queue: str, reason: str, actor: str, now: datetime.datetime) -> None:
    """Let nobody take work from a queue until it is resumed, whatever is restarted. What runs ends by itself."""
    if queue not in QUEUES:
        raise NoSuchThing
    _pause, is_new = QueuePause.objects.get_or_create(
        queue=queue, defaults={"reason": _reason(reason), "actor": actor, "paused_at": now}
    )
    if not is_new:
        raise AlreadySo
    _record(Action.QUEUE_PAUSED, actor=actor, reason=reason, now=now, subject=queue)


@transaction.atomic
def resume(*, queue: str, reason: str, actor: str, now: datetime.datetime) -> None:
    """Let work be taken from a queue again, and ring for what waits."""
    if queue not in QUEUES:
        raise NoSuchThing
    deleted, _by_model = QueuePause.objects.filter(queue=queue).delete()
    if not deleted:
        raise AlreadySo
    _record(Action.QUEUE_RESUMED, actor=actor, reason=reason, now=now, subject=queue)
    ring_on_commit(queue)


@transaction.atomic
def drain(*, worker: str, reason: str, actor: str, now: datetime.datetime) -> None:
    """Let a worker take no more work: it finishes what it has, and lives on until somebody stops it."""
    if not WorkerPulse.objects.filter(worker=worker).exists():
        raise NoSuchThing
    _drain, is_new = WorkerDrain.objects.get_or_create(
        worker=worker, defaults={"reason": _reason(reason), "actor": actor, "asked_at": now}
    )
    if not is_new:
        raise AlreadySo
    _record(Action.WORKER_DRAINED, actor=actor, reason=reason, now=now, subject=worker)


@transaction.atomic
def take_back(*, worker: str, reason: str, actor: str, now: datetime.datetime) -> None:
    """Let a drained worker take work again."""
    deleted, _by_model = WorkerDrain.objects.filter(worker=worker).delete()
    if not deleted:
        raise AlreadySo
    _record(Action.WORKER_RETURNED, actor=actor, reason=reason, now=now, subject=worker)


# --- events and payments -----------------------------------------------------------------------------


@transaction.atomic
def rehearse_event(*, event_id: int, reason: str, actor: str, now: datetime.datetime) -> uuid.UUID:
    """Have a worker apply an event and take it all back, to see what it would change; return the job to follow."""
    event = _event(event_id)
    job = enqueue(
        REHEARSE_EVENT,
        business_id=event.account.business_id,
        account_id=None,  # nothing is asked of Stripe
        inbox_event_id=event.id,
        dedup_key=f"event:{event.id}",
        now=now,
    )
    _record(
        Action.EVENT_REHEARSED,
        actor=actor,
        reason=reason,
        now=now,
        subject=event.event_id,
        payment=event.payment,
        business_id=event.account.business_id,
    )
    return job


@transaction.atomic
def replay_event(*, event_id: int, reason: str, actor: str, now: datetime.datetime) -> None:
    """Let an event be applied once more, by the road that all events go. What it says already changes nothing."""
    event = _event(event_id)
    moved = (
        InboxEvent.objects.filter(id=event.id)
        .exclude(state=InboxEvent.State.RECEIVED)
        .update(state=InboxEvent.State.RECEIVED, tries=0, due_at=now, settled_at=None, error="")
    )
    if not moved:
        raise AlreadySo
    _record(
        Action.EVENTS_REPLAYED,
        actor=actor,
        reason=reason,
        now=now,
        subject=event.event_id,
        changes={"state": [event.state, "received"]},
        payment=event.payment,
        business_id=event.account.business_id,
    )
    ring_on_commit(Queue.WEBHOOKS)


def _event(event_id: int) -> InboxEvent:
    event = InboxEvent.objects.select_related("account", "payment").filter(id=event_id).first()
    if event is None:
        raise NoSuchThing
    return event


def read_effect(payment: Payment) -> str:
    """Say what reading a payment at Stripe would ask for. Changes nothing."""
    if not payment.intent_id:
        raise NotAtStripe
    if payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD):
        return _("Its money is here, so its refunds are read: what Stripe has and we do not is brought in.")
    return _("Its intent is read, and what Stripe says of it is settled as any other news.")


@transaction.atomic
def read_payment(*, payment: Payment, reason: str, actor: str, now: datetime.datetime) -> None:
    """Have a worker read a payment at Stripe: its intent, or where its money is here, its refunds."""
    read_effect(payment)
    is_paid = payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD)
    kind = IMPORT_REFUNDS if is_paid else READ_INTENT
    enqueue_for_payment(kind, payment, now=now)
    _record(
        Action.PAYMENT_READ,
        actor=actor,
        reason=reason,
        now=now,
        subject=payment.intent_id or "",
        changes={"state": payment.state, "job": kind.name},
        payment=payment,
    )
    history.record(
        history.READ_ASKED,
        business_id=payment.business_id,
        cart_reference=payment.cart_reference,
        payment=payment,
        actor=actor,
        now=now,
    )
