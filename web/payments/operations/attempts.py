"""Writes to Stripe: opened before they are sent, concluded by what comes back.

`begin` commits the key and the exact parameters; only then may the gateway call. If the process dies on
any line after that, the next holder of the job finds the open attempt and sends the same key again.
"""

from __future__ import annotations

import datetime

from django.db import transaction

from web.payments import history, jobs, locks
from web.payments.jobs import Lease
from web.payments.locks import Sale
from web.payments.models import Attempt, Operation, Payment
from web.payments.operations.intents import apply, cancel_if_asked, read_soon
from web.payments.operations.payments import finish, move
from web.payments.snapshots import Answer, Verdict
from web.payments.states import AttemptState, PaymentState, transition

# Stripe keeps a key at least 24 hours; a reuse after that would be executed anew.
KEY_LIFE = datetime.timedelta(hours=23)


def is_key_old(attempt: Attempt, *, now: datetime.datetime) -> bool:
    """Return whether Stripe may have forgotten the key: then look before asking again, never a blind POST."""
    return now - attempt.first_sent_at > KEY_LIFE


@transaction.atomic(durable=True)
def begin_create(
    *, payment_id: int, parameters: dict[str, object], lease: Lease, now: datetime.datetime
) -> Attempt | None:
    """Open (or find) the attempt that creates the intent; None where nothing is left to create."""
    _sale, payment = locks.sale_of_payment(payment_id)
    open_attempt = locks.open_attempt(operation=Operation.CREATE_INTENT, payment_id=payment_id)
    if payment.intent_id is not None:
        if open_attempt is not None:  # an event told us of the intent before any answer did
            _close(open_attempt, AttemptState.SUCCEEDED, now=now)
        if not payment.client_secret_sealed and not payment.is_final:
            read_soon(payment, now=now)  # an event does not bring the client secret, a read does
        return None
    if open_attempt is None and payment.state not in (PaymentState.REQUESTED, PaymentState.UNKNOWN):
        return None
    return _begin(payment, Operation.CREATE_INTENT, open_attempt, parameters, lease, now)


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
            _close(open_attempt, AttemptState.SUCCEEDED if is_done else AttemptState.REFUSED, now=now)
        return None
    if payment.intent_id is None:
        if locks.open_attempt(operation=Operation.CREATE_INTENT, payment_id=payment_id) is None:
            jobs.hold(lease)
            move(sale, payment, PaymentState.CANCELLED, now=now, actor=history.WORKER)
            finish(sale, now=now, actor=history.WORKER)
        return None
    return _begin(payment, Operation.CANCEL_INTENT, open_attempt, parameters, lease, now)


def _close(attempt: Attempt, state: AttemptState, *, now: datetime.datetime) -> None:
    transition(attempt, state, now=now)
    attempt.save(update_fields=["state", "state_changed_at"])


def _begin(
    payment: Payment,
    operation: Operation,
    open_attempt: Attempt | None,
    parameters: dict[str, object],
    lease: Lease,
    now: datetime.datetime,
) -> Attempt:
    jobs.hold(lease)
    if open_attempt is not None:
        attempt = open_attempt
        attempt.fence = lease.fence
        if not is_key_old(attempt, now=now):  # with an old key we shall only look
            attempt.sent_at = now
            attempt.sends += 1
        attempt.save(update_fields=["fence", "sent_at", "sends"])
    else:
        assert payment.account_id is not None
        ordinal = Attempt.objects.filter(operation=operation, payment=payment).count() + 1
        attempt = Attempt.objects.create(
            account_id=payment.account_id,
            operation=operation,
            payment=payment,
            key=f"paydesk-{operation}-{payment.public_id}-{ordinal}",
            parameters=parameters,
            fence=lease.fence,
            state_changed_at=now,
            first_sent_at=now,
            sent_at=now,
        )
    _record(
        history.SENT,
        payment,
        now=now,
        data={"operation": operation, "key": attempt.key, "sends": attempt.sends},
    )
    return attempt


@transaction.atomic(durable=True)
def conclude(*, attempt_id: int, answer: Answer, lease: Lease, now: datetime.datetime) -> Verdict:
    """Write down what an attempt got, with its effect on the payment, and end the job where it is certain.

    Returns the verdict that was acted on: a refusal of today's key says nothing of what an earlier send did.
    A fact is a fact: an answer is applied even when this claim of the job was lost meanwhile.
    """
    payment_id = Attempt.objects.values_list("payment_id", flat=True).get(id=attempt_id)
    assert payment_id is not None
    sale, payment = locks.sale_of_payment(payment_id)
    attempt = locks.attempt(attempt_id)
    attempt.request_id, attempt.http_status = answer.request_id, answer.http_status
    attempt.error_code = answer.error_code
    verdict = answer.verdict
    if verdict is Verdict.REFUSED and attempt.sends > 1 and answer.http_status in (401, 403):
        verdict = Verdict.UNKNOWN
    if attempt.state in (AttemptState.SUCCEEDED, AttemptState.REFUSED):
        pass  # another holder of the job was told first
    elif verdict is Verdict.DONE:
        transition(attempt, AttemptState.SUCCEEDED, now=now)
    elif verdict in (Verdict.REFUSED, Verdict.NEVER_HAPPENED):
        transition(attempt, AttemptState.REFUSED, now=now)
    elif verdict is Verdict.UNKNOWN and attempt.state == AttemptState.SENT:
        transition(attempt, AttemptState.UNKNOWN, now=now)
    attempt.save()
    _record(
        history.ANSWERED,
        payment,
        now=now,
        data={
            "operation": attempt.operation,
            "verdict": verdict.value,
            "request": answer.request_id,
            "status": answer.http_status,
            "code": answer.error_code,
            "replayed": answer.is_replay,
        },
    )
    if answer.snapshot is not None:
        apply(sale, payment, answer.snapshot, now=now, actor=history.WORKER)
    elif attempt.operation == Operation.CREATE_INTENT and payment.intent_id is None:
        _no_intent_yet(sale, payment, verdict, answer, now=now)
    if attempt.operation == Operation.CREATE_INTENT and payment.intent_id is not None:
        cancel_if_asked(payment, now=now)  # somebody cancelled while Stripe was making it
    if verdict in (Verdict.DONE, Verdict.REFUSED):
        jobs.complete(lease, now=now)
    return verdict


def _no_intent_yet(
    sale: Sale, payment: Payment, verdict: Verdict, answer: Answer, *, now: datetime.datetime
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


def _record(kind: str, payment: Payment, *, now: datetime.datetime, data: dict[str, object]) -> None:
    history.record(
        kind,
        business_id=payment.business_id,
        cart_reference=payment.cart_reference,
        payment=payment,
        actor=history.WORKER,
        now=now,
        data=data,
    )
