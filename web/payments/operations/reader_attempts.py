"""What is asked of a reader at Stripe, and what looks at it show: shown, taken off, paid, or nothing of ours.

A reader's word is never taken for money: only the intent ends a payment. A place that ended on the reader is
given up only with a reading of the intent, made after the reader's, that shows it open.
"""

from __future__ import annotations

import dataclasses
import datetime

from django.db import transaction

from web.payments import history, jobs, locks
from web.payments.jobs import Lease
from web.payments.locks import Sale
from web.payments.models import Attempt, Operation, Payment, Reader, ReaderAction, Refund
from web.payments.operations import attempts, lane
from web.payments.operations import reader_looks as looks
from web.payments.operations.payments import move
from web.payments.operations.settling import apply
from web.payments.snapshots import Answer, IntentSnapshot, ReaderSnapshot, Verdict
from web.payments.states import CANCELLABLE, ActionState, AttemptState, PaymentState

BUSY = "terminal_reader_busy"
TIMEOUT = "terminal_reader_timeout"
INVALID_STATE = "intent_invalid_state"
# Refusals that do not say what became of the payment: the reader and the intent are read before anything else.
UNCERTAIN = frozenset({BUSY, TIMEOUT, INVALID_STATE})

# Payments that can be put before a customer (again). One that is processing, authorised or final cannot.
PRESENTABLE = (PaymentState.AWAITING, PaymentState.DECLINED)
IN_FLIGHT = datetime.timedelta(seconds=40)  # a call that was sent may reach the reader for as long
SEND_AGAIN_AFTER = datetime.timedelta(seconds=2)  # while somebody else's payment is on the reader


# --- showing it ------------------------------------------------------------------------------------------


@transaction.atomic(durable=True)
def begin_process(
    *, action_id: int, parameters: dict[str, object], lease: Lease, now: datetime.datetime
) -> Attempt | None:
    """Open (or find) the attempt that shows the payment on the reader; None where it is not to be shown any more."""
    sale, payment, action = locked(action_id)
    if action.state != ActionState.SENDING or payment.state not in PRESENTABLE:
        return None
    found = locks.open_attempt(operation=Operation.PROCESS_ON_READER, payment_id=payment.id)
    if payment.state == PaymentState.DECLINED:
        move(sale, payment, PaymentState.AWAITING, now=now, actor=history.WORKER)
    attempt = attempts.begin(
        payment, Operation.PROCESS_ON_READER, found=found, parameters=parameters, lease=lease, now=now
    )
    action.sent_at = action.sent_at or now
    action.save(update_fields=["sent_at"])
    return attempt


@transaction.atomic(durable=True)
def conclude_process(
    *,
    attempt_id: int,
    action_id: int,
    answer: Answer[ReaderSnapshot],
    lease: Lease,
    now: datetime.datetime,
) -> Verdict:
    """Write down what the reader was said to do. Only "not sent" keeps the job: all else is seen by looks."""
    _sale, payment, action = locked(action_id)
    attempt = locks.attempt(attempt_id)
    verdict = note_showing(attempt, answer, action=action, payment=payment, now=now)
    if action.state == ActionState.SENDING and verdict is Verdict.REFUSED:
        lane.end(
            action,
            ActionState.FAILED,
            now=now,
            actor=history.WORKER,
            failure_code=answer.error_code or "refused",
        )
    if verdict is not Verdict.NOT_SENT:
        jobs.complete(lease, now=now)
    return verdict


def note_showing(
    attempt: Attempt,
    answer: Answer[ReaderSnapshot],
    *,
    action: ReaderAction,
    payment: Payment,
    now: datetime.datetime,
) -> Verdict:
    """Write down what showing it got: it is there, or it is to be looked at. A refusal is the caller's to act on."""
    if answer.error_code in UNCERTAIN and answer.verdict is Verdict.REFUSED:
        # Stripe answered for certain, and the reader did not.
        answer = dataclasses.replace(answer, verdict=Verdict.UNKNOWN)
    verdict = attempts.note(attempt, answer, payment=payment, now=now)
    if action.state != ActionState.SENDING:
        return verdict
    seen = answer.snapshot
    if verdict is Verdict.DONE and seen is not None and seen.is_busy and is_shown(action, seen):
        note_shown(action, now=now)
    elif verdict in (Verdict.DONE, Verdict.UNKNOWN):
        action.failure_code = answer.error_code
        action.next_poll_at = now
        lane.move(
            action, ActionState.CHECKING, now=now, actor=history.WORKER, data={"code": answer.error_code}
        )
        looks.ring()
    return verdict


def note_shown(action: ReaderAction, *, now: datetime.datetime) -> None:
    """It is certain that the reader has a locked action: it is looked at from now on."""
    action.shown_at = action.shown_at or now
    action.failure_code, action.polls = "", 0
    action.next_poll_at = now + looks.next_look(action)
    lane.move(action, ActionState.WAITING, now=now, actor=history.WORKER)


# --- looking ---------------------------------------------------------------------------------------------


def is_shown(action: ReaderAction, reader: ReaderSnapshot) -> bool:
    """Say whether what the reader shows, or showed last, is this action's payment or refund."""
    if action.refund is not None:
        return reader.shows_refund(action.refund.public_id)
    return reader.shows(action.payment.intent_id)


def needs_more(action: ReaderAction, reader: ReaderSnapshot | None) -> bool:
    """Say whether the reader's word is not enough: everything but "it is on the reader, and nobody paid yet"."""
    on_it = reader is not None and reader.is_busy and is_shown(action, reader)
    return not on_it or action.state in (ActionState.PROCESSING, ActionState.CANCELLING, ActionState.SENDING)


@transaction.atomic(durable=True)
def conclude_look(
    *,
    action_id: int,
    fence: int,
    reader: ReaderSnapshot | None,
    intent: IntentSnapshot | None,
    now: datetime.datetime,
) -> None:
    """Apply a look at an action: the reader as it was, and the intent as it was after that, where it was read.

    `reader` is None where it could not be read. A look that began before the newest move or news says what it
    says of the intent, and nothing else.
    """
    sale, payment, action = locked(action_id)
    is_current = action.fence == fence and not action.is_final
    if intent is not None:
        apply(sale, payment, intent, now=now, actor=history.STRIPE)
        action.refresh_from_db()
        action.payment = payment
    if not is_current or action.is_final:
        return
    if is_over(action, payment, now=now):
        expire(sale, payment, action, now=now)
        return
    on_it = reader is not None and is_shown(action, reader)
    if action.state == ActionState.CANCELLING:
        action.next_poll_at = now + lane.CANCEL_AGAIN
        action.save(update_fields=["next_poll_at"])
        lane.cancel_on_reader(action, now=now)  # its job was given up, or still tries: then this one joins it
    elif reader is not None and on_it and reader.is_busy:
        still_on_it(action, now=now)
    elif intent is None or reader is None or payment.state not in PRESENTABLE:
        look_again(action, now=now)  # not certain enough to end anything
    elif on_it and reader.action_status == "failed" and not _is_of_an_earlier_showing(action):
        lane.end(
            action,
            ActionState.FAILED,
            now=now,
            actor=history.STRIPE,
            failure_code=reader.failure_code or reader.api_error or "failed",
            api_error=reader.api_error,
        )
    elif on_it and reader.action_status != "failed":
        look_again(action, now=now)  # "succeeded", and it is open: a contradiction; the intent decides
    elif code := not_on_it(action, reader, now=now):
        lane.end(action, ActionState.FAILED, now=now, actor=history.STRIPE, failure_code=code)


def _is_of_an_earlier_showing(action: ReaderAction) -> bool:
    """Say whether an outcome on the reader may be that of an earlier place of this payment there.

    A reader keeps its last outcome. Until this showing is known to have reached it, that says nothing of it.
    """
    earlier = ReaderAction.objects.filter(
        payment_id=action.payment_id,
        reader_id=action.reader_id,
        state=ActionState.FAILED,
        id__lt=action.id,
    )
    return action.shown_at is None and earlier.exists()


def _open_showing(action: ReaderAction) -> Attempt | None:
    """Lock the attempt that shows the action on its reader, where nobody knows yet whether it arrived."""
    operation = Operation.PROCESS_ON_READER if action.refund_id is None else Operation.REFUND_ON_READER
    return locks.open_attempt(operation=operation, payment_id=action.payment_id, refund_id=action.refund_id)


def still_on_it(action: ReaderAction, *, now: datetime.datetime) -> None:
    """It is on the reader, and nobody has presented a card yet."""
    if action.state == ActionState.CHECKING:
        attempt = _open_showing(action)
        if attempt is not None:
            attempts.close(attempt, AttemptState.SUCCEEDED, now=now)
        note_shown(action, now=now)
    else:
        look_again(action, now=now)


def look_again(action: ReaderAction, *, now: datetime.datetime) -> None:
    """Plan the next look at a locked action."""
    action.next_poll_at = now + looks.next_look(action)
    action.save(update_fields=["next_poll_at"])


def not_on_it(action: ReaderAction, reader: ReaderSnapshot, *, now: datetime.datetime) -> str:
    """The reader shows nothing of ours and no money moved: never got there, or did not stay there.

    Return why it has to end; "" where it goes on.
    """
    if action.state != ActionState.CHECKING:
        action.next_poll_at = now + looks.next_look(action)
        lane.move(action, ActionState.CHECKING, now=now, actor=history.STRIPE)
    elif action.shown_at is not None:
        return lane.REPLACED if reader.is_busy else lane.DROPPED
    elif reader.is_busy:
        action.failure_code = BUSY  # somebody else's payment: wait for it to end, until the deadline
        action.next_poll_at = now + SEND_AGAIN_AFTER
        action.save(update_fields=["failure_code", "next_poll_at"])
    else:
        attempt = _open_showing(action)
        if attempt is not None:
            attempts.close(attempt, AttemptState.REFUSED, now=now)  # sent again under a new key
        action.next_poll_at = action.deadline_at
        lane.move(action, ActionState.SENDING, now=now, actor=history.WORKER)
        lane.serve(action, now=now)
    return ""


def is_over(action: ReaderAction, payment: Payment, *, now: datetime.datetime) -> bool:
    """Say whether the sale's time is over and nobody has given it up yet. One on its way to another reader too."""
    if action.deadline_at is None or now < action.deadline_at:
        return False
    is_moving = action.cancel_reason == ReaderAction.Reason.HANDED_OVER and payment.state in CANCELLABLE
    return action.state != ActionState.CANCELLING or is_moving


def expire(sale: Sale, payment: Payment, action: ReaderAction, *, now: datetime.datetime) -> None:
    """Give the sale up: nobody paid in time. Whether that is true is the intent's to say, once it is cancelled."""
    action.cancel_reason = ReaderAction.Reason.DEADLINE
    action.save(update_fields=["cancel_reason"])
    if action.state == ActionState.CANCELLING:  # its job finds that the intent is to be cancelled now
        action.next_poll_at = now + lane.CANCEL_AGAIN
        action.save(update_fields=["next_poll_at"])
        lane.cancel_on_reader(action, now=now)
    if payment.state in CANCELLABLE:
        move(
            sale, payment, PaymentState.CANCELLING, now=now, actor=history.WORKER
        )  # lane.follow does the rest
    elif payment.state != PaymentState.CANCELLING:
        lane.ask_off(action, ReaderAction.Reason.DEADLINE, now=now, actor=history.WORKER)


def put_off_look(*, action_id: int, fence: int, now: datetime.datetime) -> None:
    """Look again a little later: Stripe could not be asked. Past the deadline the cancellation is begun."""
    with transaction.atomic(durable=True):
        sale, payment, action = locked(action_id)
        if action.fence != fence or action.is_final:
            return
        if is_over(action, payment, now=now):
            expire(sale, payment, action, now=now)
        else:
            look_again(action, now=now)


# --- taking it off -----------------------------------------------------------------------------------------


@transaction.atomic(durable=True)
def begin_cancel(
    *, action_id: int, parameters: dict[str, object], lease: Lease, now: datetime.datetime
) -> Attempt | None:
    """Open (or find) the attempt that takes the payment off its reader; None where that is not wanted any more."""
    _sale, payment, action = locked(action_id)
    if action.state != ActionState.CANCELLING:
        return None
    found = locks.open_attempt(operation=Operation.CANCEL_ON_READER, payment_id=payment.id)
    return attempts.begin(
        payment, Operation.CANCEL_ON_READER, found=found, parameters=parameters, lease=lease, now=now
    )


@transaction.atomic(durable=True)
def conclude_cancel(*, attempt_id: int, answer: Answer[ReaderSnapshot], now: datetime.datetime) -> Verdict:
    """Write down what taking it off got. Nothing follows from it: what became of the payment is its intent's to say."""
    payment_id = Attempt.objects.values_list("payment_id", flat=True).get(id=attempt_id)
    assert payment_id is not None
    _sale, payment = locks.sale_of_payment(payment_id)
    return attempts.note(locks.attempt(attempt_id), answer, payment=payment, now=now)


@transaction.atomic(durable=True)
def conclude_off(
    *, action_id: int, intent: IntentSnapshot | None, lease: Lease, now: datetime.datetime
) -> bool:
    """End an action that was taken off its reader while its payment lives on, or had ended already.

    Return False where the intent, as it was read after that, does not allow it yet: the bank is working on it.
    Also while the call that shows it may still be on its way: the reader would show it after it was read.
    """
    sale, payment, action = locked(action_id)
    if intent is not None:
        apply(sale, payment, intent, now=now, actor=history.STRIPE)
        action.refresh_from_db()
        action.payment = payment
    may_end = payment.is_final or (payment.state in PRESENTABLE and not is_in_flight(action, now=now))
    if action.state == ActionState.CANCELLING and may_end:
        lane.end_cancelled(action, now=now, actor=history.WORKER)
    if action.state == ActionState.CANCELLING:
        return False
    jobs.complete(lease, now=now)
    return True


def is_in_flight(action: ReaderAction, *, now: datetime.datetime) -> bool:
    """Say whether it was sent to its reader just now and nobody knows yet whether it arrived."""
    attempt = _open_showing(action)
    return attempt is not None and now - attempt.sent_at < IN_FLIGHT


# --- authorised first, taken later ---------------------------------------------------------------------------


@transaction.atomic(durable=True)
def begin_capture(
    *, payment_id: int, parameters: dict[str, object], lease: Lease, now: datetime.datetime
) -> Attempt | None:
    """Open (or find) the attempt that takes authorised money; None where nothing is left to take."""
    _sale, payment = locks.sale_of_payment(payment_id)
    found = locks.open_attempt(operation=Operation.CAPTURE_INTENT, payment_id=payment_id)
    if payment.state != PaymentState.AUTHORISED:
        if found is not None and payment.is_final:
            is_done = payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD)
            attempts.close(found, AttemptState.SUCCEEDED if is_done else AttemptState.REFUSED, now=now)
        return None
    return attempts.begin(
        payment, Operation.CAPTURE_INTENT, found=found, parameters=parameters, lease=lease, now=now
    )


# --- what readers tell -----------------------------------------------------------------------------------------


def find(*, account_id: int, snapshot: ReaderSnapshot) -> Payment | None:
    """Find the payment that a reader's news is about, by its intent or by its refund; None for another program's."""
    if snapshot.refund_public_id:
        return Payment.objects.filter(
            account_id=account_id, refunds__public_id=snapshot.refund_public_id
        ).first()
    if not snapshot.intent_id:
        return None
    return Payment.objects.filter(account_id=account_id, intent_id=snapshot.intent_id).first()


@transaction.atomic
def hear(*, account_id: int, snapshot: ReaderSnapshot, now: datetime.datetime) -> Payment | None:
    """Take a reader's news as a reason to look: an event may be old, and its outcome is the intent's to say."""
    found = find(account_id=account_id, snapshot=snapshot)
    if found is None:
        return None
    _sale, payment = locks.sale_of_payment(found.id)
    action = locks.unfinished_action(payment.id)
    if snapshot.refund_public_id:
        refund = Refund.objects.get(payment=payment, public_id=snapshot.refund_public_id)
        action = locks.unfinished_action_of(refund.id)
    if action is not None and not snapshot.is_busy:
        looks.look_soon(action, now=now)
    return payment


def note_reader(*, reader_id: int, snapshot: ReaderSnapshot, now: datetime.datetime) -> None:
    """Keep how a reader was last seen, for people. One statement, with nothing else locked."""
    seen: dict[str, object] = {"read_at": now}
    if snapshot.is_online is not None:
        seen["is_online"] = snapshot.is_online
    if snapshot.last_seen_at is not None:
        seen["last_seen_at"] = snapshot.last_seen_at
    for name in ("device_type", "serial_number"):
        if getattr(snapshot, name):
            seen[name] = getattr(snapshot, name)
    Reader.objects.filter(id=reader_id).update(**seen)


def locked(action_id: int) -> tuple[Sale, Payment, ReaderAction]:
    """Lock an action with its sale."""
    payment_id = ReaderAction.objects.values_list("payment_id", flat=True).get(id=action_id)
    sale, payment = locks.sale_of_payment(payment_id)
    action = locks.action(action_id)
    action.payment = payment
    return sale, payment, action
