"""Disputes: imported and followed from Stripe's events. They move no state of ours; they stop refunds.

The newest news wins. Whole seconds order little, so that a dispute which has ended is never opened again, and more
balance transactions are newer than fewer.
"""

from __future__ import annotations

import datetime

from django.db import transaction

from web.payments import history, locks
from web.payments.described import dispute_facts
from web.payments.models import Dispute, Order, OutgoingEvent, Payment
from web.payments.operations import outgoing
from web.payments.snapshots import DisputeSnapshot


def find(*, account_id: int, snapshot: DisputeSnapshot) -> Payment | None:
    """Find the payment that is disputed, by its intent or its charge."""
    payments = Payment.objects.filter(account_id=account_id)
    payment = payments.filter(intent_id=snapshot.intent_id).first() if snapshot.intent_id else None
    if payment is None and snapshot.charge_id:
        payment = payments.filter(charge_id=snapshot.charge_id).first()
    return payment


@transaction.atomic
def settle(
    *, account_id: int, snapshot: DisputeSnapshot, now: datetime.datetime, actor: str = history.STRIPE
) -> Payment | None:
    """Apply what Stripe says about a dispute; return its payment, or None where it is not one of ours."""
    found = find(account_id=account_id, snapshot=snapshot)
    if found is None:
        return None
    sale, payment = locks.sale_of_payment(found.id)
    dispute = Dispute.objects.filter(
        account_id=account_id, stripe_dispute_id=snapshot.stripe_dispute_id
    ).first()
    if dispute is None:
        dispute = _open(payment, account_id, snapshot)
        before = ""
    elif _is_old(dispute, snapshot):
        return payment
    else:
        before = dispute.status
    if snapshot.entries >= dispute.entries:
        dispute.entries = snapshot.entries
        dispute.taken_minor = dispute.amount_minor if snapshot.is_money_gone else 0
        dispute.fee_minor, dispute.fee_currency = snapshot.fee_minor, snapshot.fee_currency
    dispute.status, dispute.is_refundable = snapshot.status, snapshot.is_refundable
    dispute.evidence_due_at = snapshot.evidence_due_at
    dispute.snapshot_at = max(dispute.snapshot_at, snapshot.occurred_at)
    was_closed = dispute.closed_at is not None
    if snapshot.status not in Dispute.OPEN and not was_closed and _is_known(snapshot.status):
        dispute.closed_at = snapshot.occurred_at
    dispute.save()
    if not before:
        _announce(OutgoingEvent.Kind.PAYMENT_DISPUTED, dispute, payment, sale.order, now=now)
    if dispute.closed_at is not None and not was_closed:
        _announce(OutgoingEvent.Kind.DISPUTE_CLOSED, dispute, payment, sale.order, now=now)
    if before != dispute.status:
        history.record(
            history.DISPUTE_CHANGED if before else history.DISPUTE_OPENED,
            business_id=payment.business_id,
            cart_reference=payment.cart_reference,
            payment=payment,
            actor=actor,
            now=now,
            data={
                "dispute": dispute.stripe_dispute_id,
                "status": dispute.status,
                "reason": dispute.reason,
                "amount": dispute.amount_minor,
                "currency": dispute.currency,
            },
        )
    return payment


def _announce(
    kind: OutgoingEvent.Kind,
    dispute: Dispute,
    payment: Payment,
    order: Order | None,
    *,
    now: datetime.datetime,
) -> None:
    outgoing.announce(
        kind,
        business_id=payment.business_id,
        subject=order.number if order is not None else str(payment.public_id),
        facts=lambda: {"dispute": dispute_facts(dispute, payment, order)},
        now=now,
    )


def _open(payment: Payment, account_id: int, snapshot: DisputeSnapshot) -> Dispute:
    amount = snapshot.amount
    return Dispute(
        business_id=payment.business_id,
        account_id=account_id,
        payment=payment,
        stripe_dispute_id=snapshot.stripe_dispute_id,
        charge_id=snapshot.charge_id,
        amount_minor=amount.amount if amount is not None else payment.amount_received_minor,
        currency=amount.currency if amount is not None else payment.received.currency,
        reason=snapshot.reason,
        snapshot_at=snapshot.occurred_at,
        opened_at=snapshot.opened_at,
    )


def _is_known(status: str) -> bool:
    return status in set(Dispute.Status)


# How far a status is along its way; news of the same second is ordered by it.
_PROGRESS = {
    Dispute.Status.WARNING_NEEDS_RESPONSE: 0,
    Dispute.Status.WARNING_UNDER_REVIEW: 1,
    Dispute.Status.NEEDS_RESPONSE: 2,
    Dispute.Status.UNDER_REVIEW: 3,
}
_ENDED = 4


def _is_old(dispute: Dispute, snapshot: DisputeSnapshot) -> bool:
    """Return whether the news is older than what we have."""
    if snapshot.occurred_at != dispute.snapshot_at:
        return snapshot.occurred_at < dispute.snapshot_at
    progress = _PROGRESS.get(Dispute.Status(dispute.status), _ENDED) if _is_known(dispute.status) else _ENDED
    news = _PROGRESS.get(Dispute.Status(snapshot.status), _ENDED) if _is_known(snapshot.status) else _ENDED
    return news < progress or (news == progress and snapshot.entries < dispute.entries)
