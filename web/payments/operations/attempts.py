"""Writes to Stripe: opened before they are sent, noted by what comes back. The engine under every such write.

`begin` commits the key and the exact parameters; only then may the gateway call. If the process dies on
any line after that, the next holder of the job finds the open attempt and sends the same key again. What an
answer does to a payment or a refund is its own module's (intent_attempts.py, refunds.py).
"""

from __future__ import annotations

import datetime
from typing import Any

from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Value, When

from web.payments import history, jobs
from web.payments.jobs import Lease
from web.payments.models import Attempt, Job, Operation, Payment, Refund
from web.payments.snapshots import Answer, Verdict
from web.payments.states import OPEN_ATTEMPT, AttemptState, transition

# Stripe keeps a key at least 24 hours; a reuse after that would be executed anew.
KEY_LIFE = datetime.timedelta(hours=23)


def is_key_old(attempt: Attempt, *, now: datetime.datetime) -> bool:
    """Return whether Stripe may have forgotten the key: then look before asking again, never a blind POST."""
    return now - attempt.first_sent_at > KEY_LIFE


def close(attempt: Attempt, state: AttemptState, *, now: datetime.datetime) -> None:
    """End a locked attempt whose outcome became known another way than by its answer."""
    transition(attempt, state, now=now)
    attempt.save(update_fields=["state", "state_changed_at"])


def begin(
    payment: Payment,
    operation: Operation,
    *,
    found: Attempt | None,
    parameters: dict[str, object],
    lease: Lease,
    now: datetime.datetime,
    refund: Refund | None = None,
) -> Attempt:
    """Send the open attempt `found` once more, or open a new one; in the caller's transaction, before the call.

    The payment (and the refund, where it is about one) is locked by the caller. Raises LeaseLost.
    """
    jobs.hold(lease)
    if found is not None:
        attempt = found
        attempt.fence = lease.fence
        if not is_key_old(attempt, now=now):  # with an old key we shall only look
            attempt.sent_at = now
            attempt.sends += 1
        attempt.save(update_fields=["fence", "sent_at", "sends"])
    else:
        assert payment.account_id is not None
        ordinal = Attempt.objects.filter(operation=operation, payment=payment, refund=refund).count() + 1
        subject = payment.public_id if refund is None else refund.public_id
        attempt = Attempt.objects.create(
            account_id=payment.account_id,
            operation=operation,
            payment=payment,
            refund=refund,
            key=f"paydesk-{operation}-{subject}-{ordinal}",
            parameters=parameters,
            fence=lease.fence,
            state_changed_at=now,
            first_sent_at=now,
            sent_at=now,
        )
    record(
        history.SENT,
        payment,
        now=now,
        data={"operation": operation, "key": attempt.key, "sends": attempt.sends},
    )
    return attempt


def note(attempt: Attempt, answer: Answer[Any], *, payment: Payment, now: datetime.datetime) -> Verdict:
    """Write down what a locked attempt got; return the verdict to act on.

    A refusal of today's key says nothing of what an earlier send did.
    """
    attempt.request_id, attempt.http_status = answer.request_id, answer.http_status
    attempt.error_code = answer.error_code
    verdict = answer.verdict
    if verdict is Verdict.REFUSED and attempt.sends > 1 and answer.http_status in (401, 403):
        verdict = Verdict.UNKNOWN
    if verdict is Verdict.NOT_SENT and answer.http_status is None:
        attempt.sends -= 1  # it never left: no budget, no connection
    if attempt.state in (AttemptState.SUCCEEDED, AttemptState.REFUSED):
        pass  # another holder of the job was told first
    elif verdict is Verdict.DONE:
        transition(attempt, AttemptState.SUCCEEDED, now=now)
    elif verdict in (Verdict.REFUSED, Verdict.NEVER_HAPPENED):
        transition(attempt, AttemptState.REFUSED, now=now)
    elif verdict is Verdict.UNKNOWN and attempt.state == AttemptState.SENT:
        transition(attempt, AttemptState.UNKNOWN, now=now)
    attempt.save()
    record(
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
    return verdict


def record(kind: str, payment: Payment, *, now: datetime.datetime, data: dict[str, object]) -> None:
    """Write a line of what a worker did with Stripe into the history of the payment's sale."""
    history.record(
        kind,
        business_id=payment.business_id,
        cart_reference=payment.cart_reference,
        payment=payment,
        actor=history.WORKER,
        now=now,
        data=data,
    )


# What follows an attempt up that nobody works on any more: its own job, which finds it open.
_FOLLOWED_UP_BY = {
    Operation.CREATE_INTENT: jobs.CREATE_INTENT,
    Operation.CANCEL_INTENT: jobs.CANCEL_INTENT,
    Operation.CONFIRM_INTENT: jobs.CHARGE_CARD,
    Operation.CAPTURE_INTENT: jobs.CAPTURE_INTENT,
}
FORGOTTEN_AFTER = datetime.timedelta(minutes=15)


@transaction.atomic
def follow_up(*, limit: int, now: datetime.datetime) -> int:
    """Queue again open attempts on intents whose job is gone (dead, say); return how many.

    A payment that is not final is looked at by its own sweep; this finds what was left open beside it. Refunds
    and readers have sweeps of their own.
    """
    job_name = Case(*(When(operation=one, then=Value(kind.name)) for one, kind in _FOLLOWED_UP_BY.items()))
    at_work = jobs.of_payment(OuterRef("job_name"), "payment_id").filter(
        state__in=[Job.State.WAITING, Job.State.RUNNING]
    )
    forgotten = (
        Attempt.objects.filter(
            state__in=OPEN_ATTEMPT,
            operation__in=list(_FOLLOWED_UP_BY),
            sent_at__lt=now - FORGOTTEN_AFTER,
        )
        .annotate(job_name=job_name)
        .exclude(Exists(at_work))
        .select_related("payment")
        .order_by("sent_at")[:limit]
    )
    number = 0
    for attempt in forgotten:
        assert attempt.payment is not None
        kind = _FOLLOWED_UP_BY[Operation(attempt.operation)]
        jobs.enqueue_for_payment(kind, attempt.payment, now=now, priority=jobs.NOBODY_WAITS)
        number += 1
    return number
