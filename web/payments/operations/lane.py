"""A reader's queue: who is next, whose turn it is, and how a place in it ends.

A reader shows one payment at a time, and Stripe lets a newcomer push the earlier one off it without a word. So
the order is ours to keep: one active place per reader (an index in the database refuses a second), first come
first served, and the next one's turn comes in no other way than by `take`. Whether money moved is never decided
here: a place ends because of what its payment's intent says.

Nobody locks a reader who has a sale locked: what comes next is a job of its own (`serve_reader`), written in
the transaction that ends the place before it. A queue therefore goes on by itself after any crash.
"""

from __future__ import annotations

import datetime
import random
import uuid

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef

from web.core.models import Profile
from web.payments import history, jobs, locks
from web.payments.jobs import (
    CANCEL_ON_READER,
    NOBODY_WAITS,
    PERSON_WAITS,
    SERVE_READER,
    Lease,
    enqueue,
)
from web.payments.models import Attempt, Job, Operation, Payment, Reader, ReaderAction, Refund
from web.payments.operations import reader_looks as looks
from web.payments.states import (
    ACTIVE_ACTION,
    LIVE,
    OPEN_ATTEMPT,
    REFUND_WITHOUT_MONEY,
    ActionState,
    AttemptState,
    PaymentState,
    RefundState,
    transition,
)

SALE_TIME = datetime.timedelta(minutes=5)  # a customer who has not presented a card by then has left
CANCEL_AGAIN = datetime.timedelta(seconds=15)  # if its job was given up
CANCEL_AGAIN_AT_MOST = datetime.timedelta(
    minutes=1
)  # a refund on a reader that is off the net: until it is back

# Why a place ended without money, where Stripe has no code of its own for it.
TIMED_OUT = "timed_out"
REPLACED = "replaced"  # another program sent its payment to this reader
DROPPED = "dropped"  # the reader forgot it: restarted, or cleared by hand

ON_READER = (Operation.PROCESS_ON_READER, Operation.REFUND_ON_READER, Operation.CANCEL_ON_READER)

log = structlog.get_logger(__name__)


# --- coming --------------------------------------------------------------------------------------------


def join(
    *,
    reader: Reader,
    payment: Payment,
    holder: Profile | None,
    form_token: str,
    asks_for_tip: bool,
    now: datetime.datetime,
    actor: str,
    refund: Refund | None = None,
) -> ReaderAction:
    """Put a payment (or its refund), whose sale is locked, at the end of the reader's queue; a worker serves it."""
    action = ReaderAction.objects.create(
        business_id=payment.business_id,
        reader=reader,
        payment=payment,
        refund=refund,
        holder=holder,
        form_token=form_token,
        asks_for_tip=asks_for_tip,
        state_changed_at=now,
        queued_at=now,
    )
    if refund is None:
        payment.reader = reader  # where it is taken; a refund may be elsewhere
        payment.save(update_fields=["reader"])
    history.record(
        history.READER_QUEUED,
        business_id=payment.business_id,
        cart_reference=payment.cart_reference,
        payment=payment,
        to_state=action.state,
        actor=actor,
        now=now,
        data={"reader": reader.label, **_named(action)},
    )
    serve(action, now=now)
    return action


def serve(action: ReaderAction, *, now: datetime.datetime, priority: int = PERSON_WAITS) -> None:
    """Queue the service of the action's reader. The key is the action's: two sales never wait for one job's row."""
    enqueue(
        SERVE_READER,
        business_id=action.business_id,
        account_id=action.payment.account_id,
        reader_id=action.reader_id,
        dedup_key=f"action:{action.id}:{action.fence}",
        priority=priority,
        now=now,
    )


@transaction.atomic(durable=True)
def take(*, reader_id: int, lease: Lease, now: datetime.datetime) -> ReaderAction | None:
    """Return what is to be sent to the reader now: the next in the queue, or one whose sender died.

    None where somebody's turn is on, or nobody waits. Raises LeaseLost, and TryAgain while another one sends.
    """
    reader = locks.reader(reader_id)
    active = ReaderAction.objects.filter(reader_id=reader_id, state__in=ACTIVE_ACTION).first()
    if active is not None:
        if active.state != ActionState.SENDING:
            return None
        if _has_a_sender(reader_id, lease, now=now):
            # Two that both left it to the other would both be gone: this one comes back and looks again.
            seconds = random.uniform(1.5, 2.5)  # noqa: S311 - so that two do not keep meeting
            raise jobs.TryAgain("being_sent", counts=False, seconds=seconds)
        jobs.hold(lease)
        return active
    queued = ReaderAction.objects.filter(reader_id=reader_id, state=ActionState.QUEUED)
    for action_id in list(queued.order_by("queued_at", "id").values_list("id", flat=True)):
        action = locks.action(action_id)
        if action.state == ActionState.QUEUED:  # else it left while we waited for it
            jobs.hold(lease)
            action.deadline_at = action.next_poll_at = now + SALE_TIME
            move(action, ActionState.SENDING, now=now, actor=history.WORKER, data={"reader": reader.label})
            return action
    return None


def _has_a_sender(reader_id: int, lease: Lease, *, now: datetime.datetime) -> bool:
    """Say whether another claim of a `serve_reader` job holds: it is the one who sends."""
    others = Job.objects.filter(
        name=SERVE_READER.name, queue=SERVE_READER.queue, state=Job.State.RUNNING, leased_until__gte=now
    )
    return others.filter(arguments__reader_id=reader_id).exclude(id=lease.job_id).exists()


# --- going ---------------------------------------------------------------------------------------------


def move(
    action: ReaderAction,
    to: str,
    *,
    now: datetime.datetime,
    actor: str,
    data: dict[str, object] | None = None,
) -> None:
    """Move a locked action along an edge, with its line of history. Whoever looked before says nothing any more."""
    before = action.state
    cause = transition(action, to, now=now)
    action.fence += 1
    action.save()
    payment = action.payment
    history.record(
        history.READER_MOVED,
        business_id=action.business_id,
        cart_reference=payment.cart_reference,
        payment=payment,
        from_state=before,
        to_state=to,
        cause=cause,
        actor=actor,
        now=now,
        data={**_named(action), **(data or {})},
    )


def _named(action: ReaderAction) -> dict[str, object]:
    """Return what history knows a place by."""
    named: dict[str, object] = {"action": str(action.public_id)}
    return named if action.refund is None else {**named, "refund": str(action.refund.public_id)}


def end(
    action: ReaderAction,
    to: ActionState,
    *,
    now: datetime.datetime,
    actor: str,
    failure_code: str = "",
    api_error: str = "",
) -> None:
    """End a locked action and let the next one's turn come. One that was handed over joins its next queue."""
    action.finished_at, action.next_poll_at = now, None
    action.failure_code, action.api_error = failure_code[:60], api_error[:60]
    move(action, to, now=now, actor=actor, data={"code": failure_code} if failure_code else None)
    _close_attempts(action, is_done=to == ActionState.SUCCEEDED, now=now)
    serve(action, now=now)
    may_go_on = action.payment.state in LIVE - {PaymentState.CANCELLING}
    if to == ActionState.CANCELLED and action.next_reader is not None and may_go_on:
        join(
            reader=action.next_reader,
            payment=action.payment,
            holder=action.holder,
            form_token=uuid.uuid4().hex,
            asks_for_tip=action.asks_for_tip,
            now=now,
            actor=actor,
        )


def _close_attempts(action: ReaderAction, *, is_done: bool, now: datetime.datetime) -> None:
    """End what was asked of the reader and never certainly answered: what came of it is known another way."""
    unanswered = Attempt.objects.select_for_update(no_key=True).filter(
        payment_id=action.payment_id, operation__in=ON_READER, state__in=OPEN_ATTEMPT
    )
    for attempt in unanswered:
        transition(attempt, AttemptState.SUCCEEDED if is_done else AttemptState.REFUSED, now=now)
        attempt.save(update_fields=["state", "state_changed_at"])


def is_on_reader(payment: Payment) -> bool:
    """Say whether a reader shows the payment, or may: then it is taken off there before anything else."""
    return ReaderAction.objects.filter(
        payment=payment, state__in=ACTIVE_ACTION, sent_at__isnull=False
    ).exists()


def follow(payment: Payment, *, now: datetime.datetime, actor: str) -> None:
    """Draw the consequence of a payment's new state for its place at a reader. Its sale is locked."""
    action = locks.unfinished_action(payment.id)
    if action is None:
        return
    action.payment = payment
    was_sent = action.is_active and action.sent_at is not None
    if payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD, PaymentState.AUTHORISED):
        end(action, ActionState.SUCCEEDED, now=now, actor=actor)
    elif payment.state == PaymentState.FAILED:
        end(
            action,
            ActionState.FAILED,
            now=now,
            actor=actor,
            failure_code=payment.failure_code or "intent_refused",
        )
    elif payment.state == PaymentState.CANCELLED:
        if was_sent and action.state != ActionState.CANCELLING:
            ask_off(
                action, ReaderAction.Reason.INTENT_ENDED, now=now, actor=actor
            )  # it is still on the reader
        else:
            end_cancelled(action, now=now, actor=actor)
    elif payment.state == PaymentState.CANCELLING:
        if action.is_active and action.state != ActionState.CANCELLING:
            reason = ReaderAction.Reason(action.cancel_reason or ReaderAction.Reason.ASKED)
            ask_off(action, reason, now=now, actor=actor)
    elif payment.state == PaymentState.PROCESSING:
        if action.state in (ActionState.SENDING, ActionState.WAITING, ActionState.CHECKING) and was_sent:
            action.next_poll_at = now + looks.next_look(action)
            move(action, ActionState.PROCESSING, now=now, actor=actor)
    elif payment.state == PaymentState.DECLINED:
        looks.look_soon(action, now=now)


def follow_refund(payment: Payment, refund: Refund, *, now: datetime.datetime, actor: str) -> None:
    """Draw the consequence of a refund's new state for its place at a reader. Its sale is locked."""
    is_at_reader = ReaderAction.objects.filter(refund=refund).exists()
    action = locks.unfinished_action_of(refund.id) if is_at_reader else None
    if action is None:
        return
    action.payment, action.refund = payment, refund
    if refund.state not in REFUND_WITHOUT_MONEY:
        if refund.stripe_refund_id is not None:  # the bank may take its time: the card is not needed any more
            end(action, ActionState.SUCCEEDED, now=now, actor=actor)
    elif refund.state == RefundState.CANCELLED and action.state in (
        ActionState.QUEUED,
        ActionState.SENDING,
        ActionState.CANCELLING,
    ):
        end_cancelled(action, now=now, actor=actor)
    else:
        end(action, ActionState.FAILED, now=now, actor=actor, failure_code=refund.failure_code or "refused")


def end_cancelled(action: ReaderAction, *, now: datetime.datetime, actor: str) -> None:
    """End a locked action that cannot be paid any more: its payment is cancelled, or it was taken off."""
    if action.state == ActionState.CANCELLING and action.cancel_reason == ReaderAction.Reason.DEADLINE:
        end(action, ActionState.FAILED, now=now, actor=actor, failure_code=TIMED_OUT)
    else:
        end(action, ActionState.CANCELLED, now=now, actor=actor)


def ask_off(action: ReaderAction, reason: ReaderAction.Reason, *, now: datetime.datetime, actor: str) -> None:
    """Ask for an active, locked action to be taken off its reader. It is certain only once its intent says so."""
    action.cancel_reason = reason
    action.next_poll_at = now + CANCEL_AGAIN
    move(action, ActionState.CANCELLING, now=now, actor=actor, data={"reason": reason.value})
    cancel_on_reader(action, now=now)


def cancel_on_reader(action: ReaderAction, *, now: datetime.datetime, priority: int = PERSON_WAITS) -> None:
    """Queue taking the action off its reader."""
    enqueue(
        CANCEL_ON_READER,
        business_id=action.business_id,
        account_id=action.payment.account_id,
        reader_action_id=action.id,
        dedup_key=f"action:{action.id}",
        priority=priority,
        now=now,
    )


# --- going on whatever happened ---------------------------------------------------------------------------


def serve_idle(*, limit: int, now: datetime.datetime) -> int:
    """Queue service for readers that have a queue and nobody's turn: their job was given up. Return how many."""
    active = ReaderAction.objects.filter(reader_id=OuterRef("reader_id"), state__in=ACTIVE_ACTION)
    stale = now - datetime.timedelta(seconds=15)
    forgotten = (
        ReaderAction.objects.filter(state=ActionState.QUEUED, queued_at__lt=stale)
        .exclude(Exists(active))
        .select_related("payment")
        .order_by("reader_id", "queued_at", "id")
        .distinct("reader_id")[:limit]
    )
    number = 0
    for action in forgotten:
        with transaction.atomic():
            serve(action, now=now, priority=NOBODY_WAITS)
        number += 1
    return number
