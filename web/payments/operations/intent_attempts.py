"""What is asked of Stripe for an online payment: its intent created, its intent cancelled, and what came of it."""

from __future__ import annotations

import datetime

from django.db import transaction

from web.payments import history, jobs, locks
from web.payments.jobs import Lease
from web.payments.locks import Sale
from web.payments.models import Attempt, Method, Operation, Payment
from web.payments.operations import attempts
from web.payments.operations.intents import cancel_if_asked, read_soon
from web.payments.operations.payments import finish, move
from web.payments.operations.settling import apply
from web.payments.snapshots import Answer, IntentSnapshot, Verdict
from web.payments.states import AttemptState, PaymentState


@transaction.atomic(durable=True)
def begin_create(
    *, payment_id: int, parameters: dict[str, object], lease: Lease, now: datetime.datetime
) -> Attempt | None:
    """Open (or find) the attempt that creates the intent; None where nothing is left to create."""
    _sale, payment = locks.sale_of_payment(payment_id)
    open_attempt = locks.open_attempt(operation=Operation.CREATE_INTENT, payment_id=payment_id)
    if payment.intent_id is not None:
        if open_attempt is not None:  # an event told us of the intent before any answer did
            attempts.close(open_attempt, AttemptState.SUCCEEDED, now=now)
        wants_secret = payment.method == Method.ONLINE and not payment.client_secret_sealed
        if wants_secret and not payment.is_final:
            read_soon(payment, now=now)  # an event does not bring the client secret, a read does
        return None
    if open_attempt is None and payment.state not in (PaymentState.REQUESTED, PaymentState.UNKNOWN):
        return None
    return attempts.begin(
        payment, Operation.CREATE_INTENT, found=open_attempt, parameters=parameters, lease=lease, now=now
    )


@transaction.atomic(durable=True)
def begin_cancel(
    *, payment_id: int, parameters: dict[str, object], lease: Lease, now: datetime.datetime
) -> Attempt | None:
    """Open (or find) the attempt that cancels; None where there is nothing (more) to cancel at Stripe.

    A payment that was never sent is cancelled here and now. One whose creation has no certain answer has
    to be created first (the caller sees `intent_id` None and an open attempt of `create_intent`).
    """
    sale, payment = locks.sale_of_payment(payment_id)
    open_attempt = locks.open_attempt(operation=Operation.CANCEL_INTENT, payment_id=payment_id)
    if payment.state != PaymentState.CANCELLING:
        if open_attempt is not None and payment.is_final:  # an event told us of the end before any answer did
            is_done = payment.state == PaymentState.CANCELLED
            attempts.close(open_attempt, AttemptState.SUCCEEDED if is_done else AttemptState.REFUSED, now=now)
        return None
    if payment.intent_id is None:
        if locks.open_attempt(operation=Operation.CREATE_INTENT, payment_id=payment_id) is None:
            jobs.hold(lease)
            move(sale, payment, PaymentState.CANCELLED, now=now, actor=history.WORKER)
            finish(sale, now=now, actor=history.WORKER)
        return None
    return attempts.begin(
        payment, Operation.CANCEL_INTENT, found=open_attempt, parameters=parameters, lease=lease, now=now
    )


@transaction.atomic(durable=True)
def conclude(
    *,
    attempt_id: int,
    answer: Answer[IntentSnapshot],
    lease: Lease,
    now: datetime.datetime,
    is_last: bool = True,
) -> Verdict:
    """Write down what an attempt got, with its effect on the payment, and end the job where it is certain.

    The job goes on after this where `is_last` is false.

    Returns the verdict that was acted on. A fact is a fact: an answer is applied even when this claim of the
    job was lost meanwhile.
    """
    payment_id = Attempt.objects.values_list("payment_id", flat=True).get(id=attempt_id)
    assert payment_id is not None
    sale, payment = locks.sale_of_payment(payment_id)
    attempt = locks.attempt(attempt_id)
    verdict = attempts.note(attempt, answer, payment=payment, now=now)
    if answer.snapshot is not None:
        apply(sale, payment, answer.snapshot, now=now, actor=history.WORKER)
    elif attempt.operation == Operation.CREATE_INTENT and payment.intent_id is None:
        _no_intent_yet(sale, payment, verdict, answer, now=now)
    if attempt.operation == Operation.CREATE_INTENT and payment.intent_id is not None:
        cancel_if_asked(payment, now=now)  # somebody cancelled while Stripe was making it
    if is_last and verdict in (Verdict.DONE, Verdict.REFUSED):
        jobs.complete(lease, now=now)
    return verdict


def _no_intent_yet(
    sale: Sale, payment: Payment, verdict: Verdict, answer: Answer[IntentSnapshot], *, now: datetime.datetime
) -> None:
    if verdict is Verdict.UNKNOWN and payment.state == PaymentState.REQUESTED:
        move(sale, payment, PaymentState.UNKNOWN, now=now, actor=history.WORKER)
    elif verdict is Verdict.REFUSED and not payment.is_final:
        payment.failure_code = answer.error_code
        move(
            sale,
            payment,
            PaymentState.FAILED,
            now=now,
            actor=history.WORKER,
            data={"code": answer.error_code},
        )
        finish(sale, now=now, actor=history.WORKER)
