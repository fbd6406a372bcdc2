"""What Stripe tells of refunds: its answers, its events and what a look shows all end in `apply`.

There is one road to "refunded". A refund that somebody made in Stripe's dashboard becomes a row of ours on it.
"""

from __future__ import annotations

import datetime

from django.db import transaction

from web.payments import history, locks
from web.payments.jobs import IMPORT_REFUNDS, NOBODY_WAITS, enqueue_for_payment
from web.payments.locks import Sale
from web.payments.models import Operation, Payment, Refund
from web.payments.operations import attempts, ledger_refunds, receipts
from web.payments.operations.payments import count_refunds, release
from web.payments.operations.refund_moves import announce, move, next_check, tell
from web.payments.snapshots import RefundedSoFar, RefundSnapshot
from web.payments.states import (
    REFUND_EDGES,
    REFUND_UNDER_WAY,
    REFUND_WITHOUT_MONEY,
    AttemptState,
    RefundState,
)


def find(*, account_id: int, snapshot: RefundSnapshot | RefundedSoFar) -> Payment | None:
    """Find the payment that a refund at Stripe is of: by its intent or charge, or by our id in the metadata."""
    payments = Payment.objects.filter(account_id=account_id)
    payment = payments.filter(intent_id=snapshot.intent_id).first() if snapshot.intent_id else None
    if payment is None and snapshot.charge_id:
        payment = payments.filter(charge_id=snapshot.charge_id).first()
    if payment is None and isinstance(snapshot, RefundSnapshot) and snapshot.refund_public_id:
        payment = payments.filter(refunds__public_id=snapshot.refund_public_id).first()
    return payment


@transaction.atomic
def settle(
    *, account_id: int, snapshot: RefundSnapshot, now: datetime.datetime, actor: str = history.STRIPE
) -> Payment | None:
    """Apply what Stripe says about a refund; return its payment, or None where it is not one of ours."""
    found = find(account_id=account_id, snapshot=snapshot)
    if found is None:
        return None
    sale, payment = locks.sale_of_payment(found.id)
    apply(sale, payment, snapshot, now=now, actor=actor)
    return payment


def apply(
    sale: Sale, payment: Payment, snapshot: RefundSnapshot, *, now: datetime.datetime, actor: str
) -> Refund | None:
    """Bring a locked payment's refund to what the snapshot says; one that we do not know is imported."""
    refund = _match(payment, snapshot)
    if refund is None:
        return _import(sale, payment, snapshot, now=now, actor=actor)
    if refund.stripe_refund_id is None:
        refund.stripe_refund_id = snapshot.stripe_refund_id
        refund.save(update_fields=["stripe_refund_id"])
        open_attempt = locks.open_attempt(
            operation=Operation.CREATE_REFUND, payment_id=payment.id, refund_id=refund.id
        )
        if open_attempt is not None:  # an event or a look told us before any answer did
            attempts.close(open_attempt, AttemptState.SUCCEEDED, now=now)
    facts: dict[str, object] = {"stripe": snapshot.stripe_refund_id, "source": snapshot.source.value}
    if refund.state == RefundState.REQUESTED:  # sent, though our row does not know it: a backup was restored
        move(sale, payment, refund, RefundState.SUBMITTING, now=now, actor=actor)
    # Pending, then succeeded, then perhaps failed: what has no edge is older than what we have.
    if (refund.state, snapshot.state) in REFUND_EDGES:
        refund.failure_code = snapshot.failure_code
        if snapshot.failure_code:
            facts["code"] = snapshot.failure_code
        move(sale, payment, refund, snapshot.state, now=now, actor=actor, data=facts)
    return refund


def _match(payment: Payment, snapshot: RefundSnapshot) -> Refund | None:
    """Find the row of a refund at Stripe: by Stripe's id, or by our id in its metadata while we wait for an answer.

    Metadata can be copied: a second refund with our id, or one of another amount, is a refund of its own.
    """
    refunds = locks.refunds(payment.id)
    for refund in refunds:
        if refund.stripe_refund_id == snapshot.stripe_refund_id:
            return refund
    for refund in refunds:
        is_waiting = refund.stripe_refund_id is None and refund.state in REFUND_UNDER_WAY
        if (
            is_waiting
            and str(refund.public_id) == snapshot.refund_public_id
            and refund.amount == snapshot.amount
        ):
            return refund
    return None


def _import(
    sale: Sale, payment: Payment, snapshot: RefundSnapshot, *, now: datetime.datetime, actor: str
) -> Refund | None:
    """Record a refund that was made at Stripe. Never refused: what goes beyond what is left is counted beside it."""
    if snapshot.amount is None or snapshot.amount.amount <= 0:
        return None
    refund = Refund(
        business_id=payment.business_id,
        payment=payment,
        origin=Refund.Origin.STRIPE,
        amount_minor=snapshot.amount.amount,
        currency=snapshot.amount.currency,
        reason=snapshot.reason or "made at Stripe",
        state=snapshot.state,
        state_changed_at=now,
        stripe_refund_id=snapshot.stripe_refund_id,
        failure_code=snapshot.failure_code,
        form_token=snapshot.stripe_refund_id,
        created_at=snapshot.created_at,
    )
    refund.next_check_at = next_check(refund, now=now)
    refund.save(force_insert=True)
    amount = refund.amount_minor
    if refund.state not in REFUND_WITHOUT_MONEY:
        is_done = refund.state == RefundState.SUCCEEDED
        count_refunds(payment, reserved=amount, returned=amount if is_done else 0)
        if is_done:
            receipts.queue_refund_receipt(refund, now=now)
        payment.save(update_fields=["refunded_minor", "refunded_beyond_minor", "returned_minor"])
    tell(
        history.REFUND_IMPORTED, payment, refund, now=now, actor=actor, to_state=refund.state,
        data={"stripe": snapshot.stripe_refund_id, "beyond": payment.refunded_beyond_minor or None},
    )  # fmt: skip
    announce(sale, payment, refund, now=now)
    release(sale, payment, now=now, actor=actor)
    if refund.state not in REFUND_WITHOUT_MONEY and sale.order is not None and sale.is_all_given_back:
        ledger_refunds.take_back(order=sale.order, refund=refund, now=now, actor=actor, is_told=True)
    return refund


@transaction.atomic
def notice(*, account_id: int, snapshot: RefundedSoFar, now: datetime.datetime) -> Payment | None:
    """Compare what a charge says was given back with what we know of; a difference leads to a look at Stripe."""
    found = find(account_id=account_id, snapshot=snapshot)
    if found is None:
        return None
    _sale, payment = locks.sale_of_payment(found.id)
    if snapshot.amount is not None:
        refunds = locks.refunds(payment.id)
        known = sum(
            refund.amount_minor
            for refund in refunds
            if refund.stripe_refund_id and refund.state not in REFUND_WITHOUT_MONEY
        )
        waiting = sum(refund.amount_minor for refund in refunds if refund.state in REFUND_UNDER_WAY)
        if snapshot.amount.amount not in (known, known + waiting):
            import_soon(payment, now=now)
    return payment


def import_soon(payment: Payment, *, now: datetime.datetime) -> None:
    """Queue a look at all refunds that Stripe has of a payment, in the transaction at hand."""
    enqueue_for_payment(IMPORT_REFUNDS, payment, now=now, priority=NOBODY_WAITS)
