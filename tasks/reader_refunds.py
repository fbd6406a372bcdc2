"""Refunds with the card on a reader: shown there, looked at, taken off; for terminal.py and reader_looks.py.

Every function is safe to run twice and at once, and to die on any line: what is committed says where to go on.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.utils import timezone

from tasks.gateway import readers as gateway
from tasks.gateway import refunds as refund_gateway
from tasks.refunds import metadata_of
from web.payments.jobs import Lease, TryAgain
from web.payments.models import Payment, ReaderAction, Refund, StripeAccount
from web.payments.operations import reader_refunds
from web.payments.snapshots import ReaderSnapshot, RefundSnapshot, Verdict


def show(action: ReaderAction, lease: Lease) -> None:
    """Ask for the card that paid on the reader whose turn it is."""
    assert action.refund_id is not None
    refund = Refund.objects.select_related("payment__account", "business").get(id=action.refund_id)
    account = refund.payment.account
    assert account is not None
    attempt = reader_refunds.begin_show(
        action_id=action.id, parameters=_parameters(action, refund), lease=lease, now=timezone.now()
    )
    if attempt is None:
        return
    parameters = dict(attempt.parameters)
    answer = gateway.refund(
        account, reader_id=str(parameters.pop("reader")), parameters=parameters, key=attempt.key
    )
    verdict = reader_refunds.conclude_show(
        attempt_id=attempt.id, action_id=action.id, answer=answer, lease=lease, now=timezone.now()
    )
    if verdict is Verdict.NOT_SENT:
        raise TryAgain(answer.error_code or verdict.value)


def _parameters(action: ReaderAction, refund: Refund) -> dict[str, object]:
    """Return what the reader is told. Our ids are in the metadata, so that its screen and any event find the row."""
    return {
        "reader": action.reader.stripe_reader_id,
        "payment_intent": refund.payment.intent_id,
        "amount": refund.amount.to_stripe(),
        "metadata": metadata_of(refund),
        "refund_payment_config": {"enable_customer_cancellation": True},
    }


def listed(account: StripeAccount, payment: Payment) -> list[RefundSnapshot]:
    """Return the payment's refunds at Stripe; raise StripeUnreachable or StripeRefused."""
    assert payment.intent_id is not None
    return refund_gateway.list_refunds(account, intent_id=payment.intent_id)


def looked(
    action: ReaderAction, reader: ReaderSnapshot | None, refunds: Sequence[RefundSnapshot] | None
) -> None:
    """Apply a look at a refund's place at a reader."""
    reader_refunds.conclude_look(
        action_id=action.id, fence=action.fence, reader=reader, refunds=refunds, now=timezone.now()
    )


def taken_off(account: StripeAccount, action: ReaderAction, lease: Lease) -> bool:
    """Give a refund up that its reader does not show any more, unless it was made; return whether that is certain."""
    return reader_refunds.conclude_off(
        action_id=action.id, refunds=listed(account, action.payment), lease=lease, now=timezone.now()
    )
