"""What is asked of Stripe for a refund, and what came of it.

A refund moves money: its key is used until Stripe answers; a key that Stripe may have forgotten leads to a look
at the refunds of the payment, and only a day after the first send, with nothing found, a new key is taken.
"""

from __future__ import annotations

import datetime

from django.db import transaction

from web.payments import history, jobs, locks
from web.payments.jobs import Lease
from web.payments.models import Attempt, Operation, Refund
from web.payments.operations import attempts
from web.payments.operations.refund_moves import move
from web.payments.operations.refund_news import apply, import_soon
from web.payments.snapshots import Answer, RefundSnapshot, Verdict
from web.payments.states import REFUND_UNDER_WAY, AttemptState, RefundState

# Stripe executes a key once within at least 24 hours. The last send was an hour before that at the latest
# (attempts.KEY_LIFE): what a list does not show then did not happen.
NEW_KEY_AFTER = datetime.timedelta(hours=24)


def may_take_new_key(attempt: Attempt, *, now: datetime.datetime) -> bool:
    """Return whether a refund that a look does not find can be asked for under another key."""
    return now - attempt.first_sent_at > NEW_KEY_AFTER


@transaction.atomic(durable=True)
def begin_submit(
    *, refund_id: int, parameters: dict[str, object], lease: Lease, now: datetime.datetime
) -> Attempt | None:
    """Open (or find) the attempt that makes the refund; None where Stripe has it, or nobody wants it any more."""
    sale, payment, refund = locks.sale_of_refund(refund_id)
    open_attempt = locks.open_attempt(
        operation=Operation.CREATE_REFUND, payment_id=payment.id, refund_id=refund.id
    )
    if refund.state not in REFUND_UNDER_WAY or refund.stripe_refund_id is not None:
        if open_attempt is not None:
            is_made = refund.stripe_refund_id is not None
            attempts.close(open_attempt, AttemptState.SUCCEEDED if is_made else AttemptState.REFUSED, now=now)
        return None
    made = Attempt.objects.filter(
        operation=Operation.CREATE_REFUND, refund=refund, state=AttemptState.SUCCEEDED
    )
    if (
        open_attempt is None and made.exists()
    ):  # Stripe made it, whatever it said of it: look, never ask again
        import_soon(payment, now=now)
        return None
    attempt = attempts.begin(
        payment,
        Operation.CREATE_REFUND,
        found=open_attempt,
        parameters=parameters,
        lease=lease,
        now=now,
        refund=refund,
    )
    if refund.state == RefundState.REQUESTED:
        move(sale, payment, refund, RefundState.SUBMITTING, now=now, actor=history.WORKER)
    return attempt


@transaction.atomic(durable=True)
def conclude(
    *, attempt_id: int, answer: Answer[RefundSnapshot], lease: Lease, now: datetime.datetime
) -> Verdict:
    """Write down what an attempt got, with its effect, and end the job where it is certain.

    A fact is a fact: an answer is applied even when this claim of the job was lost meanwhile.
    """
    refund_id = Attempt.objects.values_list("refund_id", flat=True).get(id=attempt_id)
    assert refund_id is not None
    sale, payment, refund = locks.sale_of_refund(refund_id)
    attempt = locks.attempt(attempt_id)
    verdict = attempts.note(attempt, answer, payment=payment, now=now)
    if answer.snapshot is not None:
        if verdict is Verdict.DONE:
            _bind(refund, answer.snapshot)
        apply(sale, payment, answer.snapshot, now=now, actor=history.WORKER)
    elif verdict is Verdict.UNKNOWN and refund.state == RefundState.SUBMITTING:
        move(sale, payment, refund, RefundState.UNKNOWN, now=now, actor=history.WORKER)
    elif verdict is Verdict.REFUSED and refund.state in REFUND_UNDER_WAY and refund.stripe_refund_id is None:
        refund.failure_code = answer.error_code
        move(
            sale,
            payment,
            refund,
            RefundState.FAILED,
            now=now,
            actor=history.WORKER,
            data={"code": answer.error_code},
        )
        import_soon(payment, now=now)  # refused because of a refund that we do not know, perhaps
    if verdict in (Verdict.DONE, Verdict.REFUSED):
        jobs.complete(lease, now=now)
    return verdict


def _bind(refund: Refund, snapshot: RefundSnapshot) -> None:
    """Let a refund be the one that Stripe made for its attempt, whatever amount the answer shows."""
    is_ours = snapshot.refund_public_id in ("", str(refund.public_id))
    is_waiting = refund.stripe_refund_id is None and refund.state in REFUND_UNDER_WAY
    if not (is_ours and is_waiting):
        return
    if Refund.objects.filter(
        payment_id=refund.payment_id, stripe_refund_id=snapshot.stripe_refund_id
    ).exists():
        return  # an event told of it as of one made at Stripe
    refund.stripe_refund_id = snapshot.stripe_refund_id
    refund.save(update_fields=["stripe_refund_id"])
