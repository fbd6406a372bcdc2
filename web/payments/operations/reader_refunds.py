"""Money that goes back with the card on a reader: an Interac card has to be there again.

Such a refund is a place in a reader's queue, like a payment. Whether money went back is never the reader's to say:
the refund at Stripe is, found by our id in its metadata. It is given up only with a listing, made after the reader
was read, that does not show it; and unlike an intent it cannot be cancelled at Stripe: a reader that cannot be
reached and may still show it keeps it, and what it had reserved, until the reader is back or is removed.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from django.db import transaction

from web.payments import history, jobs, locks
from web.payments.jobs import Lease
from web.payments.locks import Sale
from web.payments.models import Attempt, Operation, Payment, ReaderAction, Refund
from web.payments.operations import attempts, lane, reader_attempts
from web.payments.operations.refund_moves import move
from web.payments.operations.refund_news import apply, import_soon
from web.payments.snapshots import Answer, ReaderSnapshot, RefundSnapshot, Verdict
from web.payments.states import ActionState, RefundState


@transaction.atomic(durable=True)
def begin_show(
    *, action_id: int, parameters: dict[str, object], lease: Lease, now: datetime.datetime
) -> Attempt | None:
    """Open (or find) the attempt that asks for the card on the reader; None where that is not wanted any more."""
    sale, payment, refund, action = _locked(action_id, now=now)
    if action.state != ActionState.SENDING:
        return None
    if refund.state == RefundState.REQUESTED:
        move(sale, payment, refund, RefundState.SUBMITTING, now=now, actor=history.WORKER)
    found = locks.open_attempt(
        operation=Operation.REFUND_ON_READER, payment_id=payment.id, refund_id=refund.id
    )
    attempt = attempts.begin(
        payment,
        Operation.REFUND_ON_READER,
        found=found,
        parameters=parameters,
        lease=lease,
        now=now,
        refund=refund,
    )
    action.sent_at = action.sent_at or now
    action.save(update_fields=["sent_at"])
    return attempt


@transaction.atomic(durable=True)
def conclude_show(
    *,
    attempt_id: int,
    action_id: int,
    answer: Answer[ReaderSnapshot],
    lease: Lease,
    now: datetime.datetime,
) -> Verdict:
    """Write down what the reader was said to do. Only "not sent" keeps the job: all else is seen by looks."""
    sale, payment, refund, action = _locked(action_id, now=now)
    verdict = reader_attempts.note_showing(
        locks.attempt(attempt_id), answer, action=action, payment=payment, now=now
    )
    if action.state == ActionState.SENDING and verdict is Verdict.REFUSED:
        _give_up(sale, payment, refund, answer.error_code or "refused", now=now, actor=history.WORKER)
        import_soon(payment, now=now)  # refused because of a refund that we do not know, perhaps
    if verdict is not Verdict.NOT_SENT:
        jobs.complete(lease, now=now)
    return verdict


@transaction.atomic(durable=True)
def conclude_look(
    *,
    action_id: int,
    fence: int,
    reader: ReaderSnapshot | None,
    refunds: Sequence[RefundSnapshot] | None,
    now: datetime.datetime,
) -> None:
    """Apply a look at a refund's place: the reader as it was, and the payment's refunds at Stripe, listed after that.

    `refunds` is None where they were not listed. A look that began before the newest move says what it says of the
    refunds, and nothing else.
    """
    sale, payment, refund, action = _locked(action_id, refunds or (), now=now)
    if action.fence != fence or action.is_final:
        return
    if reader_attempts.is_over(action, payment, now=now):
        reader_attempts.expire(sale, payment, action, now=now)
        return
    on_it = reader is not None and reader_attempts.is_shown(action, reader)
    if action.state == ActionState.CANCELLING:
        seconds = lane.CANCEL_AGAIN.total_seconds() * (1 + action.polls / 4)
        action.next_poll_at = now + min(datetime.timedelta(seconds=seconds), lane.CANCEL_AGAIN_AT_MOST)
        action.save(update_fields=["next_poll_at"])
        lane.cancel_on_reader(action, now=now)
    elif reader is not None and on_it and reader.is_busy:
        reader_attempts.still_on_it(action, now=now)
    elif refunds is None or reader is None or (on_it and reader.action_status != "failed"):
        reader_attempts.look_again(action, now=now)  # not certain enough to end anything
    elif on_it:
        code = reader.failure_code or reader.api_error or "failed"
        _give_up(sale, payment, refund, code, now=now, actor=history.STRIPE)
    elif code := reader_attempts.not_on_it(action, reader, now=now):
        _give_up(sale, payment, refund, code, now=now, actor=history.STRIPE)


@transaction.atomic(durable=True)
def conclude_off(
    *, action_id: int, refunds: Sequence[RefundSnapshot], lease: Lease, now: datetime.datetime
) -> bool:
    """Give a refund up that was taken off its reader, where the refunds that were listed after that allow it.

    Return False while the call that shows it may still be on its way: the reader would show it after it was read.
    """
    sale, payment, refund, action = _locked(action_id, refunds, now=now)
    if action.state == ActionState.CANCELLING:
        if reader_attempts.is_in_flight(action, now=now):
            return False
        if action.cancel_reason == ReaderAction.Reason.DEADLINE:
            _give_up(sale, payment, refund, lane.TIMED_OUT, now=now, actor=history.WORKER)
        else:
            move(sale, payment, refund, RefundState.CANCELLED, now=now, actor=history.WORKER)
    jobs.complete(lease, now=now)
    return True


def _give_up(
    sale: Sale, payment: Payment, refund: Refund, code: str, *, now: datetime.datetime, actor: str
) -> None:
    """Let a refund come to nothing; its place at the reader ends with it."""
    refund.failure_code = code[:60]
    move(sale, payment, refund, RefundState.FAILED, now=now, actor=actor, data={"code": code})


def _locked(
    action_id: int, refunds: Sequence[RefundSnapshot] = (), *, now: datetime.datetime
) -> tuple[Sale, Payment, Refund, ReaderAction]:
    """Lock a refund's place at a reader with its sale and the refund, as they are once Stripe's news are applied."""
    refund_id = ReaderAction.objects.values_list("refund_id", flat=True).get(id=action_id)
    assert refund_id is not None
    sale, payment, refund = locks.sale_of_refund(refund_id)
    for snapshot in reversed(refunds):  # as they were made
        apply(sale, payment, snapshot, now=now, actor=history.STRIPE)
    refund.refresh_from_db()
    refund.payment = payment
    action = locks.action(action_id)
    action.payment, action.refund = payment, refund
    return sale, payment, refund, action
