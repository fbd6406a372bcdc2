"""What becomes of a job's subject once nobody does the job: it is closed, something else picks it up, or nobody does.

Discarding never loses money: where a subject is open and nobody else would take it further, the job is not discarded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.translation import gettext as _

from web.payments import jobs
from web.payments.models import BulkRefund, Job, Order, Payment, ReaderAction, Refund
from web.payments.states import FINAL_ACTION, REFUND_OPEN


@dataclass(frozen=True, slots=True)
class Pickup:
    """Whether a job may be discarded, and what becomes of its subject then, in words."""

    may_discard: bool
    why: str


def _payment(job: Job) -> Pickup:
    payment = Payment.objects.filter(id=job.arguments.get("payment_id")).first()
    if payment is None or payment.is_final:
        return Pickup(True, _("Its payment is over: nothing of it is left to be done."))
    if payment.next_check_at is not None:
        return Pickup(
            True,
            _("Its payment is open: the sweep of silent payments takes it further, at %(at)s next.")
            % {"at": f"{payment.next_check_at:%F %T} UTC"},
        )
    return Pickup(False, _("Its payment is open, and no sweep would take it further: let it run again."))


def _refund(job: Job) -> Pickup:
    refund = Refund.objects.filter(id=job.arguments.get("refund_id")).first()
    if refund is None or refund.state not in REFUND_OPEN:
        return Pickup(True, _("Its refund is over: nothing of it is left to be done."))
    if refund.next_check_at is not None:
        return Pickup(
            True,
            _("Its refund is open: the sweep of silent refunds takes it further, at %(at)s next.")
            % {"at": f"{refund.next_check_at:%F %T} UTC"},
        )
    return Pickup(False, _("Its refund is open, and no sweep would take it further: let it run again."))


def _bulk_refund(job: Job) -> Pickup:
    bulk = BulkRefund.objects.filter(id=job.arguments.get("bulk_refund_id")).first()
    if bulk is None or bulk.finished_at is not None:
        return Pickup(True, _("Every order of it was asked for, or refused."))
    return Pickup(
        False, _("Orders of it still wait to be refunded, and no sweep asks for them: let it run again.")
    )


def _reader_action(job: Job) -> Pickup:
    action = ReaderAction.objects.filter(id=job.arguments.get("reader_action_id")).first()
    if action is None or action.state in FINAL_ACTION:
        return Pickup(True, _("Its place at the reader is over."))
    return Pickup(True, _("Its place at the reader is open: it is looked at until its payment is certain."))


def _receipt(job: Job) -> Pickup:
    number = Order.objects.filter(id=job.arguments.get("order_id")).values_list("number", flat=True).first()
    return Pickup(
        True,
        _(
            "No money hangs on it. The customer gets no receipt of order %(number)s unless staff send it again."
        )
        % {"number": number or "?"},
    )


def _closed(text: Callable[[], str]) -> Callable[[Job], Pickup]:
    return lambda _job: Pickup(True, text())


def _mail(_job: Job) -> Pickup:
    return Pickup(True, _("No money hangs on it. The mail is not sent."))


def _delivery(_job: Job) -> Pickup:
    return Pickup(
        True, _("No money hangs on it. The event is not told unless it is sent again in the settings.")
    )


def _round(_job: Job) -> Pickup:
    return Pickup(True, _("It is due again by itself: beat asks for the next round of this account."))


def _asked_again(_job: Job) -> Pickup:
    return Pickup(True, _("No money hangs on it. Whoever asked for it asks again on their page."))


def _detach(_job: Job) -> Pickup:
    return Pickup(False, _("The customer took the card away, and Stripe would keep it: let it run again."))


_RULES: dict[str, Callable[[Job], Pickup]] = {
    **dict.fromkeys(
        [
            kind.name
            for kind in (
                jobs.CREATE_INTENT,
                jobs.CANCEL_INTENT,
                jobs.READ_INTENT,
                jobs.CAPTURE_INTENT,
                jobs.CHARGE_CARD,
            )
        ],
        _payment,
    ),
    jobs.SUBMIT_REFUND.name: _refund,
    jobs.READ_REFUND.name: _refund,
    jobs.IMPORT_REFUNDS.name: _closed(
        lambda: _("The comparison of the books finds refunds that are missing here, every ten minutes.")
    ),
    jobs.ASK_BULK_REFUND.name: _bulk_refund,
    jobs.SERVE_READER.name: _closed(
        lambda: _("Readers whose queue nobody serves are found again every ten seconds.")
    ),
    jobs.CANCEL_ON_READER.name: _reader_action,
    jobs.DETACH_CARD.name: _detach,
    jobs.REHEARSE_EVENT.name: _asked_again,
    jobs.DRILL_STEP.name: _closed(lambda: _("It is a step of a drill.")),
    **dict.fromkeys(
        [
            kind.name
            for kind in (
                jobs.VERIFY_ACCOUNT,
                jobs.REGISTER_READER,
                jobs.UPDATE_READER,
                jobs.REMOVE_READER,
                jobs.READ_READER,
                jobs.CREATE_CONNECTION_TOKEN,
                jobs.CREATE_CARD_SETUP,
                jobs.READ_CARD_SETUP,
            )
        ],
        _asked_again,
    ),
    **dict.fromkeys(
        [
            kind.name
            for kind in (jobs.BACKFILL_EVENTS, jobs.CHECK_DRIFT, jobs.IMPORT_BALANCE, jobs.READ_PAYOUT)
        ],
        _round,
    ),
    jobs.SEND_RECEIPT.name: _receipt,
    jobs.RESEND_RECEIPT.name: _mail,
    jobs.SEND_REFUND_RECEIPT.name: _mail,
    jobs.DELIVER_EVENT.name: _delivery,
}


def after_discarding(job: Job) -> Pickup:
    """Say what becomes of a job's subject without it. A kind without a rule is not discarded."""
    rule = _RULES.get(job.name)
    if rule is None:
        return Pickup(
            False, _("Nobody has said what becomes of such work without its job: let it run again.")
        )
    return rule(job)


def kinds_with_a_rule() -> frozenset[str]:
    """Return the kinds of jobs for which there is a rule; a test compares them with the catalogue."""
    return frozenset(_RULES)
