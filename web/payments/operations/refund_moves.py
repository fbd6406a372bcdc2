"""Moving a refund: its state, its payment's sums, its lines and its history change together, here and nowhere else.

Everything here but the sweep runs inside the caller's transaction, on a sale that the caller has locked.
"""

from __future__ import annotations

import datetime

from django.db import transaction

from web.payments import history, locks
from web.payments.described import order_facts, refund_facts
from web.payments.jobs import NOBODY_WAITS, PERSON_WAITS, READ_REFUND, SUBMIT_REFUND, JobKind, enqueue
from web.payments.locks import Sale
from web.payments.models import OutgoingEvent, Payment, ReaderAction, Refund
from web.payments.operations import lane, ledger_refunds, outgoing, receipts
from web.payments.operations.payments import count_refunds, release
from web.payments.states import REFUND_OPEN, REFUND_WITHOUT_MONEY, ActionState, RefundState, transition


def move(
    sale: Sale,
    payment: Payment,
    refund: Refund,
    to: str,
    *,
    now: datetime.datetime,
    actor: str,
    data: dict[str, object] | None = None,
) -> None:
    """Move a refund to a state, with its payment's sums, its lines, its history, and what follows for the cart."""
    before = refund.state
    cause = transition(refund, to, now=now)
    amount = refund.amount_minor
    if to in REFUND_WITHOUT_MONEY:
        count_refunds(payment, reserved=-amount, returned=-amount if before == RefundState.SUCCEEDED else 0)
        _give_lines_back(refund, payment)
        ledger_refunds.put_back(refund=refund, now=now, actor=actor)
    elif to == RefundState.SUCCEEDED:
        count_refunds(payment, returned=amount)
        receipts.queue_refund_receipt(refund, now=now)
    refund.checks = 0
    refund.next_check_at = next_check(refund, now=now)
    refund.save()
    payment.save(update_fields=["refunded_minor", "refunded_beyond_minor", "returned_minor"])
    tell(
        history.REFUND_MOVED, payment, refund, now=now, actor=actor, from_state=before, to_state=to, cause=cause,
        data=data,
    )  # fmt: skip
    announce(sale, payment, refund, now=now)
    lane.follow_refund(payment, refund, now=now, actor=actor)
    release(sale, payment, now=now, actor=actor)


def announce(sale: Sale, payment: Payment, refund: Refund, *, now: datetime.datetime) -> None:
    """Tell the business's programs of a refund that has come to its end, with the money or without."""
    if refund.state == RefundState.SUCCEEDED and sale.order is not None:
        kind = OutgoingEvent.Kind.ORDER_REFUNDED
    elif refund.state == RefundState.FAILED:
        kind = OutgoingEvent.Kind.REFUND_FAILED
    else:
        return
    order = sale.order
    outgoing.announce(
        kind,
        business_id=payment.business_id,
        subject=order.number if order is not None else str(refund.public_id),
        facts=lambda: {
            "refund": refund_facts(refund, payment, order),
            "order": order_facts(order) if order is not None else None,
        },
        now=now,
    )


def call_off(
    sale: Sale,
    payment: Payment,
    refund: Refund,
    place: ReaderAction,
    *,
    now: datetime.datetime,
    actor: str,
) -> None:
    """Withdraw a refund whose turn at its reader has not come; ask for one to be taken off that is there."""
    place.payment, place.refund = payment, refund
    if place.state == ActionState.QUEUED:
        move(sale, payment, refund, RefundState.CANCELLED, now=now, actor=actor)
    elif place.is_active and place.state != ActionState.CANCELLING:
        lane.ask_off(place, ReaderAction.Reason.ASKED, now=now, actor=actor)


def _give_lines_back(refund: Refund, payment: Payment) -> None:
    """Let the lines of a refund that came to nothing be given back again."""
    given = {one.order_line_id: one for one in refund.lines.all()}
    if not given or payment.order_id is None:
        return
    for line in locks.order_lines(payment.order_id):
        if line.id in given:
            line.refunded_quantity -= given[line.id].quantity
            line.refunded_minor -= given[line.id].amount_minor
            line.save(update_fields=["refunded_quantity", "refunded_minor"])


def tell(
    kind: str,
    payment: Payment,
    refund: Refund,
    *,
    now: datetime.datetime,
    actor: str,
    from_state: str = "",
    to_state: str = "",
    cause: str = "",
    data: dict[str, object] | None = None,
) -> None:
    """Write a line of a refund\'s history: which one, how much, and never the words that a person typed."""
    history.record(
        kind,
        business_id=payment.business_id,
        cart_reference=payment.cart_reference,
        payment=payment,
        actor=actor,
        now=now,
        from_state=from_state,
        to_state=to_state,
        cause=cause,
        data={
            "refund": str(refund.public_id),
            "amount": refund.amount_minor,
            "currency": refund.currency,
            **(data or {}),
        },
    )


def enqueue_for(
    kind: JobKind,
    refund: Refund,
    payment: Payment,
    *,
    now: datetime.datetime,
    priority: int = PERSON_WAITS,
) -> None:
    """Queue what takes a refund further, in the transaction at hand."""
    enqueue(
        kind,
        business_id=refund.business_id,
        account_id=payment.account_id,
        refund_id=refund.id,
        dedup_key=f"refund:{refund.id}",
        priority=priority,
        now=now,
    )


def next_check(refund: Refund, *, now: datetime.datetime) -> datetime.datetime | None:
    """Say when a sweep takes the refund further if nothing is heard: soon while it has no certain answer."""
    if refund.state not in REFUND_OPEN:
        return None
    is_pending = refund.state == RefundState.PENDING
    first, longest = (300, 6 * 3600) if is_pending else (15, 3600)  # seconds; a bank takes hours or days
    return now + datetime.timedelta(seconds=min(first * 2 ** min(refund.checks, 10), longest))


@transaction.atomic
def check_again(*, limit: int, now: datetime.datetime) -> int:
    """Queue the next step for refunds that have been silent for too long; return how many."""
    due = list(
        Refund.objects.select_for_update(skip_locked=True, no_key=True, of=("self",))
        .select_related("payment")
        .filter(next_check_at__lte=now)
        .order_by("next_check_at")[:limit]
    )
    for refund in due:
        refund.checks = min(refund.checks + 1, 1000)
        refund.next_check_at = next_check(refund, now=now)
        refund.save(update_fields=["checks", "next_check_at"])
        kind = SUBMIT_REFUND if refund.stripe_refund_id is None else READ_REFUND
        enqueue_for(kind, refund, refund.payment, now=now, priority=NOBODY_WAITS)
    return len(due)
