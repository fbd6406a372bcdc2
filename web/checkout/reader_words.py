"""What a payment's place at a reader means to the member of staff who holds it, and what to do next."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from web.checkout.words import Words, decline, words_for
from web.payments import refund_words
from web.payments.models import Payment, ReaderAction
from web.payments.operations import lane
from web.payments.states import ActionState, PaymentState

_NOT_CHARGED_AGAIN = _("The customer was not charged. Try again, or take the payment in another way.")

_STATES: dict[str, Words] = {
    ActionState.QUEUED: Words(
        _("Waiting for the reader."), _("Its turn comes by itself. You can take it back meanwhile."), False
    ),
    ActionState.SENDING: Words(_("Sending it to the reader…"), _("Please wait a moment."), False),
    ActionState.WAITING: Words(_("Present card."), _("The reader waits for the customer's card."), False),
    ActionState.PROCESSING: Words(_("Processing…"), _("Do not take the payment again: wait."), None),
    ActionState.CHECKING: Words(
        _("Checking what the reader did."), _("Do not take the payment again: we are checking."), None
    ),
    ActionState.CANCELLING: Words(
        _("Cancelling…"), _("Wait until it is certain: the customer may have paid already."), None
    ),
    ActionState.CANCELLED: Words(_("Taken off the reader."), _NOT_CHARGED_AGAIN, False),
}
_APPROVED = Words(_("Approved."), _("The receipt is ready."), True)
_AUTHORISED = Words(
    _("Approved: the money is set aside."), _("Take it within two days, or it goes back by itself."), None
)

# Why a place ended without money, in words; a card's decline has the words of every decline.
_FAILURES: dict[str, str | Promise] = {
    lane.TIMED_OUT: _("Nobody paid in time."),
    lane.REPLACED: _("Another program took the reader for its own payment."),
    lane.DROPPED: _("The reader does not show it any more: it was cleared or restarted."),
    "terminal_reader_offline": _("The reader is not connected."),
    "customer_canceled": _("The customer cancelled on the reader."),
    "connection_error": _("The reader lost its connection."),
    "resource_missing": _("Stripe does not know this reader any more."),
    "card_present_not_allowed": _("This reader does not take that card."),
}
_NEXT: dict[str, str | Promise] = {
    "terminal_reader_offline": _(
        "The customer was not charged. Check its power and network, or use another reader."
    ),
    "connection_error": _("The customer was not charged. Check its network, or use another reader."),
    "resource_missing": _(
        "The customer was not charged. Use another reader, and look at it in the settings."
    ),
}
_FAILED = _("The reader could not take the payment.")
_DECLINES = frozenset({"card_declined", "card_error", "expired_card", "incorrect_pin", "insufficient_funds"})


def words_for_action(action: ReaderAction, payment: Payment) -> Words:
    """Say how far it is, whether money moved, and what to do next. "Approved" only from a settled payment."""
    if action.refund_id is not None:
        return _refunded(action)
    if action.state == ActionState.SUCCEEDED:
        if payment.state == PaymentState.SUCCEEDED:
            return _APPROVED
        if payment.state == PaymentState.AUTHORISED:
            return _AUTHORISED
        return words_for(payment)
    if action.state == ActionState.FAILED:
        return _failed(action, payment)
    if action.state == ActionState.CANCELLED and payment.state in (
        PaymentState.SUCCEEDED,
        PaymentState.HELD,
    ):
        return words_for(payment)
    return _STATES[action.state]


def _refunded(action: ReaderAction) -> Words:
    moved = action.state == ActionState.SUCCEEDED
    is_certain = action.is_final or action.state == ActionState.QUEUED
    message, next_step = refund_words.at_reader(action.state, action.failure_code)
    return Words(message, next_step, moved if is_certain else None)


def _failed(action: ReaderAction, payment: Payment) -> Words:
    code = action.failure_code
    if payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD):  # paid on another reader since
        return words_for(payment)
    if code in _DECLINES:
        return decline(payment.decline_code or action.api_error or code)
    return Words(_FAILURES.get(code, _FAILED), _NEXT.get(code, _NOT_CHARGED_AGAIN), False)
