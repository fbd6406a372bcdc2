"""Payments on card readers: shown when their turn comes, taken off when asked. Looks at them are in reader_looks.py.

Every function is safe to run twice and at once, and to die on any line: what is committed says where to go on.
"""

from __future__ import annotations

import enum

import structlog
from celery import shared_task
from django.utils import timezone

from tasks import intents, reader_refunds
from tasks.gateway import intents as intent_gateway
from tasks.gateway import readers as gateway
from tasks.gateway.stripe_api import StripeRefused
from tasks.reader_looks import read_reader
from web.payments.jobs import Lease, TryAgain
from web.payments.models import Payment, ReaderAction, StripeAccount
from web.payments.money import Money
from web.payments.operations import lane, reader_attempts, readers, terminal
from web.payments.snapshots import Answer, ReaderSnapshot, Verdict
from web.payments.states import PaymentState

SWEEP_BATCH = 100
AUTHORISING_SECONDS = 2.0  # a bank answers within a few

log = structlog.get_logger(__name__)


# --- showing a payment ---------------------------------------------------------------------------------


def serve_reader(*, reader_id: int, lease: Lease) -> None:
    """Show the next payment of the reader's queue on it, if nobody's turn is on."""
    action = lane.take(reader_id=reader_id, lease=lease, now=timezone.now())
    if action is None:
        return
    if action.refund_id is not None:
        reader_refunds.show(action, lease)
        return
    payment = Payment.objects.select_related("account", "business").get(id=action.payment_id)
    # Also where an event has told of the intent: the call that made it may still count as unanswered.
    intents.create_before_use(payment, lease=lease)
    payment.refresh_from_db()
    if payment.intent_id is None:
        return  # Stripe refused to make it, or it was cancelled meanwhile: its place has ended
    _show(action, payment, lease)


def _show(action: ReaderAction, payment: Payment, lease: Lease) -> None:
    account, reader = payment.account, action.reader
    assert account is not None
    assert reader.stripe_reader_id is not None
    attempt = reader_attempts.begin_process(
        action_id=action.id, parameters=_parameters(action, payment), lease=lease, now=timezone.now()
    )
    if attempt is None:
        return
    parameters = dict(attempt.parameters)
    answer = gateway.process(
        account, reader_id=str(parameters.pop("reader")), parameters=parameters, key=attempt.key
    )
    verdict = reader_attempts.conclude_process(
        attempt_id=attempt.id, action_id=action.id, answer=answer, lease=lease, now=timezone.now()
    )
    if verdict is Verdict.NOT_SENT:
        raise TryAgain(answer.error_code or verdict.value)


def _parameters(action: ReaderAction, payment: Payment) -> dict[str, object]:
    """Return what the reader is told. A tip is asked for of what is paid here, or not at all."""
    amount = Money(payment.amount_minor, payment.currency).to_stripe()
    tip: dict[str, object] = (
        {"tipping": {"amount_eligible": amount}} if action.asks_for_tip else {"skip_tipping": True}
    )
    return {
        "reader": action.reader.stripe_reader_id,
        "payment_intent": payment.intent_id,
        "process_config": {"enable_customer_cancellation": True, **tip},
    }


# --- taking a payment off --------------------------------------------------------------------------------


class _Off(enum.Enum):
    """What became of taking a payment off its reader."""

    OFF = "off"  # a reading or the reader's own answer says so
    NOT_CERTAIN = "not_certain"  # the reader may still show it
    TOO_LATE = "too_late"  # its card is being authorised


def cancel_on_reader(*, reader_action_id: int, lease: Lease) -> None:
    """Take a payment off its reader, and cancel its intent where that is asked for; certain only by the intent."""
    rows = ReaderAction.objects.select_related("reader", "payment", "payment__account", "refund")
    action = rows.get(id=reader_action_id)
    if action.is_final:
        return
    account, payment = action.payment.account, action.payment
    assert account is not None
    taken = _take_off(account, action, lease) if payment.intent_id is not None else _Off.OFF
    if action.refund_id is not None:
        _take_refund_off(account, action, taken, lease)
        return
    payment.refresh_from_db()
    if payment.state == PaymentState.CANCELLING:
        intents.cancel_intent(payment_id=payment.id, lease=lease)  # decides: cancelled, or paid after all
        return
    if taken is _Off.NOT_CERTAIN and not payment.is_final:
        # It can still be paid there: nobody else's turn comes, and no other reader shows it.
        raise TryAgain("reader_not_certain", counts=False, seconds=AUTHORISING_SECONDS)
    if taken is _Off.TOO_LATE:
        # The card is being authorised: what comes of it is the intent's to say.
        raise TryAgain("reader_busy", counts=False, seconds=AUTHORISING_SECONDS)
    intent = None
    if not payment.is_final and payment.intent_id is not None:
        intent = intent_gateway.read_intent(account, intent_id=payment.intent_id)
    is_off = reader_attempts.conclude_off(action_id=action.id, intent=intent, lease=lease, now=timezone.now())
    if not is_off:
        raise TryAgain("not_certain_yet", counts=False, seconds=AUTHORISING_SECONDS)


def _take_refund_off(account: StripeAccount, action: ReaderAction, taken: _Off, lease: Lease) -> None:
    """Give a refund up that was taken off its reader. There is nothing at Stripe that could be cancelled instead."""
    if taken is _Off.NOT_CERTAIN:
        return  # the reader is off the net, and may show it: looks ask again, however long that takes
    if taken is _Off.TOO_LATE:
        raise TryAgain("reader_busy", counts=False, seconds=AUTHORISING_SECONDS)
    if not reader_refunds.taken_off(account, action, lease):
        raise TryAgain("not_certain_yet", counts=False, seconds=AUTHORISING_SECONDS)


def _take_off(account: StripeAccount, action: ReaderAction, lease: Lease) -> _Off:
    """Take our payment off its reader, if it is there.

    Only what is ours: Stripe would take off whatever is there. A reader that cannot be reached keeps it, and
    that is why cancelling never ends with the reader's answer.
    """
    stripe_reader_id = action.reader.stripe_reader_id
    assert stripe_reader_id is not None
    try:
        reader = read_reader(account, stripe_reader_id)
    except (TryAgain, StripeRefused):
        return _Off.NOT_CERTAIN
    if not reader.is_busy or not reader_attempts.is_shown(action, reader):
        return _Off.OFF
    attempt = reader_attempts.begin_cancel(
        action_id=action.id, parameters={"reader": stripe_reader_id}, lease=lease, now=timezone.now()
    )
    if attempt is None:
        return _Off.OFF  # the action has ended meanwhile
    answer: Answer[ReaderSnapshot] = gateway.cancel_action(
        account, reader_id=stripe_reader_id, key=attempt.key
    )
    verdict = reader_attempts.conclude_cancel(attempt_id=attempt.id, answer=answer, now=timezone.now())
    if answer.error_code == reader_attempts.BUSY:
        return _Off.TOO_LATE
    after = answer.snapshot
    is_there = after is not None and after.is_busy and reader_attempts.is_shown(action, after)
    return _Off.OFF if verdict is Verdict.DONE and not is_there else _Off.NOT_CERTAIN


# --- what nothing else would find ------------------------------------------------------------------------


@shared_task(name="paydesk.watch_readers")
def watch_readers(**_: object) -> None:
    """Serve readers whose job was given up, take authorised money before it lapses, forget tokens nobody wanted."""
    now = timezone.now()
    readers.forget_connection_tokens(now=now)
    lane.serve_idle(limit=SWEEP_BATCH, now=now)
    terminal.capture_expiring(limit=SWEEP_BATCH, now=now)
