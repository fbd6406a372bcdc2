"""Refunds at Stripe: begin (commit what we will ask), call, conclude (commit what came of it).

Each function is safe to run twice and at once, and to die on any line: the next holder of the job finds the open
attempt and asks again with the same key. A refund is never asked for under a second key while the first may
have worked.
"""

from __future__ import annotations

from django.utils import timezone

from tasks.gateway import refunds as gateway
from tasks.gateway.stripe_api import StripeRefused
from web.payments import jobs
from web.payments.jobs import Lease, TryAgain
from web.payments.models import Attempt, Payment, Refund
from web.payments.operations import attempts, bulk_refunds, refund_attempts, refund_news
from web.payments.snapshots import Answer, RefundSnapshot, Verdict


def submit_refund(*, refund_id: int, lease: Lease) -> None:
    """Make the refund at Stripe, or find out whether it was made."""
    refund = Refund.objects.select_related("payment__account", "business").get(id=refund_id)
    if refund.payment.account is None or refund.payment.intent_id is None:
        return  # paid out by hand: nothing for Stripe to do
    if refund.reader_actions.exists():  # the card has to be on a reader: all that is left to do is to look
        import_refunds(payment_id=refund.payment_id, lease=lease)
        return
    attempt = refund_attempts.begin_submit(
        refund_id=refund_id, parameters=_parameters(refund), lease=lease, now=timezone.now()
    )
    if attempt is None:
        return
    answer = _answer(refund, attempt)
    verdict = refund_attempts.conclude(attempt_id=attempt.id, answer=answer, lease=lease, now=timezone.now())
    if verdict is Verdict.UNKNOWN and answer.error_code == NOT_SEEN_YET:
        return  # only time helps: the sweep looks again
    if verdict not in (Verdict.DONE, Verdict.REFUSED):
        raise TryAgain(answer.error_code or verdict.value)


NOT_SEEN_YET = "not_seen_yet"


def _parameters(refund: Refund) -> dict[str, object]:
    """Return what the refund is made with. Our ids are in the metadata, so that any event finds its row."""
    return {
        "payment_intent": refund.payment.intent_id,
        "amount": refund.amount.to_stripe(),
        "reason": "requested_by_customer",
        "metadata": metadata_of(refund),
    }


def metadata_of(refund: Refund) -> dict[str, str]:
    """Return what a refund is recognised by, wherever it shows up."""
    return {
        "refund": str(refund.public_id),
        "payment": str(refund.payment.public_id),
        "business": str(refund.business.business_id),
    }


def _answer(refund: Refund, attempt: Attempt) -> Answer[RefundSnapshot]:
    account = refund.payment.account
    assert account is not None
    if attempts.is_key_old(attempt, now=timezone.now()):
        return _look(refund, attempt)
    answer = gateway.create_refund(account, parameters=attempt.parameters, key=attempt.key)
    if answer.verdict is Verdict.UNKNOWN and answer.is_replay and (answer.http_status or 0) >= 500:
        return _look(refund, attempt)  # Stripe kept a 500 for this key and will repeat it
    return answer


def _look(refund: Refund, attempt: Attempt) -> Answer[RefundSnapshot]:
    """Look whether the refund exists, by our id in its metadata."""
    payment = refund.payment
    assert payment.account is not None
    assert payment.intent_id is not None
    for snapshot in gateway.list_refunds(payment.account, intent_id=payment.intent_id):
        if snapshot.refund_public_id == str(refund.public_id):
            return Answer(Verdict.DONE, snapshot)
    if refund_attempts.may_take_new_key(attempt, now=timezone.now()):
        return Answer(Verdict.NEVER_HAPPENED)
    return Answer(Verdict.UNKNOWN, error_code=NOT_SEEN_YET)


def read_refund(*, refund_id: int, lease: Lease) -> None:
    """Read a refund at Stripe and settle what it shows."""
    refund = Refund.objects.select_related("payment__account").get(id=refund_id)
    account = refund.payment.account
    if account is None or refund.stripe_refund_id is None:
        return
    snapshot = gateway.read_refund(account, stripe_refund_id=refund.stripe_refund_id)
    now = timezone.now()
    refund_news.settle(account_id=account.id, snapshot=snapshot, now=now)
    jobs.complete(lease, now=now)


def import_refunds(*, payment_id: int, lease: Lease) -> None:
    """Read every refund that Stripe has of a payment; the ones made there become rows of ours."""
    payment = Payment.objects.select_related("account").get(id=payment_id)
    if payment.account is None or payment.intent_id is None:
        return
    try:
        found = gateway.list_refunds(payment.account, intent_id=payment.intent_id)
    except StripeRefused:
        return  # no intent like this, or no keys any more: what we have is what there is
    now = timezone.now()
    for snapshot in reversed(found):  # as they were made
        refund_news.settle(account_id=payment.account.id, snapshot=snapshot, now=now)
    jobs.complete(lease, now=now)


def ask_bulk_refund(*, bulk_refund_id: int, lease: Lease) -> None:
    """Ask for the refunds of a few orders of a bulk refund; what is left asks for itself again."""
    bulk_refunds.ask_some(bulk_refund_id=bulk_refund_id, lease=lease, now=timezone.now())
