"""Online payments at Stripe: begin (commit what we will ask), call, conclude (commit what came of it).

Each function is safe to run twice and at once, and to die on any line: the next holder of the job finds
the open attempt and asks again with the same key.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db.models import QuerySet
from django.utils import timezone

from tasks.gateway import intents as gateway
from web.core.compiled import compiled
from web.payments import jobs
from web.payments.jobs import Lease, TryAgain
from web.payments.models import Attempt, Method, Payment, PaymentSettings
from web.payments.money import Money
from web.payments.operations import attempts, intent_attempts, reader_attempts, settling
from web.payments.snapshots import Answer, IntentSnapshot, Verdict
from web.payments.states import PaymentState

IntentWrite = Callable[..., Answer[IntentSnapshot]]  # (account, intent_id, parameters, key)


def create_intent(*, payment_id: int, lease: Lease) -> None:
    """Create the payment's intent at Stripe."""
    payment = _payment(payment_id)
    attempt = intent_attempts.begin_create(
        payment_id=payment_id, parameters=_parameters(payment), lease=lease, now=timezone.now()
    )
    if attempt is not None:
        _create(payment, attempt, lease)


@compiled
def _with_account(payment_id: int) -> QuerySet[Payment]:
    return Payment.objects.select_related("account", "business").filter(id=payment_id)


def _payment(payment_id: int) -> Payment:
    """Return a payment with its account and business."""
    (payment,) = _with_account.all(payment_id=payment_id)
    return payment


def _parameters(payment: Payment) -> dict[str, object]:
    """Return what the intent is created with. Our ids are in the metadata, so that any event finds its payment."""
    return {
        "amount": Money(payment.amount_minor, payment.currency).to_stripe(),
        "currency": payment.currency,
        **_ways(payment),
        **_on_the_statement(payment),
        "metadata": {
            "payment": str(payment.public_id),
            "cart": str(payment.cart_reference),
            "business": str(payment.business.business_id),
        },
    }


def _on_the_statement(payment: Payment) -> dict[str, object]:
    """Say what stands on the card's statement behind the account's own prefix, where the business wants it."""
    suffix = PaymentSettings.objects.filter(business_id=payment.business_id).values_list(
        "statement_descriptor_suffix", flat=True
    )
    chosen = suffix.first()
    return {"statement_descriptor_suffix": chosen} if chosen else {}


def _ways(payment: Payment) -> dict[str, object]:
    """Say how it may be paid. One on a reader with a card held to it, and in Canada with Interac too."""
    if payment.method == Method.SAVED_CARD:
        assert payment.card is not None
        return {"customer": payment.card.stripe_customer_id, "allowed_payment_method_types": ["card"]}
    if payment.method != Method.TERMINAL:
        return {"automatic_payment_methods": {"enabled": True}}
    cards = ["card_present", *(["interac_present"] if payment.currency == "cad" else [])]
    capture = {"capture_method": "manual"} if payment.is_captured_later else {}
    return {"allowed_payment_method_types": cards, **capture}


def create_before_use(payment: Payment, *, lease: Lease) -> None:
    """Create the intent of a payment that is about to be shown somewhere, as a part of the job at hand.

    Raises TryAgain until Stripe has answered for certain.
    """
    attempt = intent_attempts.begin_create(
        payment_id=payment.id, parameters=_parameters(payment), lease=lease, now=timezone.now()
    )
    if attempt is not None:
        _create(payment, attempt, lease, is_last=False)


def _create(payment: Payment, attempt: Attempt, lease: Lease, *, is_last: bool = True) -> None:
    account = payment.account
    assert account is not None
    if attempts.is_key_old(attempt, now=timezone.now()):
        answer = _look(payment, attempt)
    else:
        answer = gateway.create_intent(account, parameters=attempt.parameters, key=attempt.key)
        if _is_stuck(answer):
            answer = _look(payment, attempt)
    _conclude(attempt, answer, lease, is_last=is_last)


def _is_stuck(answer: Answer[IntentSnapshot]) -> bool:
    """Return whether Stripe kept a 500 for this key: it will repeat that for ever, so look instead."""
    return answer.verdict is Verdict.UNKNOWN and answer.is_replay and (answer.http_status or 0) >= 500


def _conclude(
    attempt: Attempt, answer: Answer[IntentSnapshot], lease: Lease, *, is_last: bool = True
) -> None:
    verdict = intent_attempts.conclude(
        attempt_id=attempt.id, answer=answer, lease=lease, is_last=is_last, now=timezone.now()
    )
    if verdict not in (Verdict.DONE, Verdict.REFUSED):
        raise TryAgain(answer.error_code or verdict.value)


def _look(payment: Payment, attempt: Attempt) -> Answer[IntentSnapshot]:
    """Look whether the intent exists. If not, a new key is safe: an unconfirmed intent moves no money."""
    assert payment.account is not None
    snapshot = gateway.look_for_intent(
        payment.account,
        payment_public_id=str(payment.public_id),
        since=attempt.first_sent_at,
        until=attempt.sent_at,
    )
    return Answer(Verdict.NEVER_HAPPENED) if snapshot is None else Answer(Verdict.DONE, snapshot)


def cancel_intent(*, payment_id: int, lease: Lease) -> None:
    """Cancel the payment's intent at Stripe, if it has one and Stripe has not ended it already."""
    attempt = intent_attempts.begin_cancel(
        payment_id=payment_id,
        parameters={"cancellation_reason": "requested_by_customer"},
        lease=lease,
        now=timezone.now(),
    )
    payment = _payment(payment_id)
    if attempt is None:
        if payment.state == PaymentState.CANCELLING and payment.intent_id is None:
            # Stripe may have an intent that we do not know: learn of it (which queues its cancellation).
            create_intent(payment_id=payment_id, lease=lease)
        return
    assert payment.account is not None
    assert payment.intent_id is not None
    answer = None
    if not attempts.is_key_old(attempt, now=timezone.now()):
        answer = gateway.cancel_intent(
            payment.account, intent_id=payment.intent_id, parameters=attempt.parameters, key=attempt.key
        )
    if answer is None or _is_stuck(answer):
        # The intent itself says what became of it. Still open, a sweep cancels it with a new key: a second
        # cancellation moves no money.
        answer = Answer(Verdict.REFUSED, gateway.read_intent(payment.account, intent_id=payment.intent_id))
    _conclude(attempt, answer, lease)


def capture_intent(*, payment_id: int, lease: Lease) -> None:
    """Take a payment's authorised money at Stripe; its order is made with that."""
    attempt = reader_attempts.begin_capture(
        payment_id=payment_id, parameters={}, lease=lease, now=timezone.now()
    )
    if attempt is not None:
        settle_once(payment_id, attempt, gateway.capture_intent, lease=lease)


def settle_once(payment_id: int, attempt: Attempt, write: IntentWrite, *, lease: Lease) -> None:
    """Send a write that an intent can take only once (a capture, a confirmation), and conclude with its answer.

    Where the key is too old to be sent, or Stripe keeps a 500 for it, the intent itself says what became of it.
    """
    payment = _payment(payment_id)
    account, intent_id = payment.account, payment.intent_id
    assert account is not None
    assert intent_id is not None
    answer = None
    if not attempts.is_key_old(attempt, now=timezone.now()):
        answer = write(account, intent_id=intent_id, parameters=attempt.parameters, key=attempt.key)
    if answer is None or _is_stuck(answer):
        answer = Answer(Verdict.REFUSED, gateway.read_intent(account, intent_id=intent_id))
    _conclude(attempt, answer, lease)


def read_intent(*, payment_id: int, lease: Lease) -> None:
    """Read the payment's intent at Stripe and settle what it shows."""
    payment = _payment(payment_id)
    if payment.intent_id is None or payment.account is None:
        return
    if payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD):
        return  # the money is here; of one that ended without money, somebody has reason to ask
    snapshot = gateway.read_intent(payment.account, intent_id=payment.intent_id)
    now = timezone.now()
    settling.settle(account_id=payment.account.id, snapshot=snapshot, now=now)
    jobs.complete(lease, now=now)
