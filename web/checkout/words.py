"""What a payment's state means to the person who pays: what happened, whether money moved, what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from web.payments.models import Payment
from web.payments.states import PaymentState


@dataclass(frozen=True, slots=True)
class Words:
    """`money_moved` is None while that is not certain."""

    message: str | Promise
    next: str | Promise
    money_moved: bool | None


_STATES: dict[str, Words] = {
    PaymentState.REQUESTED: Words(_("Preparing your payment…"), _("Please wait a moment."), False),
    PaymentState.UNKNOWN: Words(
        _("We are checking with the bank."), _("Do not pay again: we are checking."), None
    ),
    PaymentState.AWAITING: Words(
        _("Ready to pay."), _("Confirm the payment. Nothing was charged yet."), False
    ),
    PaymentState.PROCESSING: Words(
        _("Your bank is working on it."), _("Do not pay again: we are checking."), None
    ),
    PaymentState.AUTHORISED: Words(
        _("Your card is authorised."), _("Do not pay again: the business completes the payment."), None
    ),
    PaymentState.RESERVED: Words(
        _("Set aside for this order."),
        _("It is used once the rest is paid, and given back otherwise."),
        False,
    ),
    PaymentState.CANCELLING: Words(
        _("Cancelling…"), _("Please wait until it is certain. Do not pay again yet."), None
    ),
    PaymentState.SUCCEEDED: Words(_("Paid. Thank you!"), _("Your receipt is ready."), True),
    PaymentState.HELD: Words(
        _("Your money has come in and is being checked."),
        _("Do not pay again. The front desk will complete the sale or give the money back."),
        True,
    ),
    PaymentState.CANCELLED: Words(
        _("The payment was cancelled."),
        _("You were not charged. You can change the order or pay again."),
        False,
    ),
    PaymentState.FAILED: Words(
        _("The payment could not be started."),
        _("You were not charged. Try again; if it fails again, ask at the front desk."),
        False,
    ),
}

_ELSEWHERE = Words(
    _("This order is being paid on another device."),
    _("Wait until it is paid there, or cancel that payment to pay here."),
    False,
)

# Stripe does not answer for this business: what waits for it waits, and carries on by itself.
_STRIPE_IS_SILENT: dict[str, Words] = {
    PaymentState.REQUESTED: Words(
        _("The card service does not answer just now. Your payment is kept and starts by itself."),
        _("You have not been charged. Wait here or come back later; do not pay twice."),
        False,
    ),
    PaymentState.UNKNOWN: Words(
        _("The card service does not answer just now. We keep asking what became of your payment."),
        _("Do not pay again: as soon as it answers, this page shows the result."),
        None,
    ),
    PaymentState.CANCELLING: Words(
        _("The card service does not answer just now. The cancellation is kept."),
        _("Do not pay again until it is certain."),
        None,
    ),
}

_TRY_ANOTHER = _("You were not charged. Try another card, or ask your bank.")
# Stripe's decline codes that a person can act on. Never "lost" or "stolen": that is the bank's to say.
_DECLINES: dict[str, Words] = {
    "insufficient_funds": Words(
        _("The card does not have enough money."), _("You were not charged. Try another card."), False
    ),
    "expired_card": Words(_("The card has expired."), _("You were not charged. Try another card."), False),
    "incorrect_cvc": Words(
        _("The card's security code is not right."),
        _("You were not charged. Check the code and try again."),
        False,
    ),
    "incorrect_number": Words(
        _("The card number is not right."), _("You were not charged. Check the number and try again."), False
    ),
    "incorrect_zip": Words(
        _("The postal code does not match the card."),
        _("You were not charged. Check the code and try again."),
        False,
    ),
    "processing_error": Words(
        _("The bank could not process the card just now."),
        _("You were not charged. Try again in a minute."),
        False,
    ),
    "authentication_required": Words(
        _("Your bank wants you to confirm this payment."),
        _("You were not charged. Try again and confirm with your bank."),
        False,
    ),
    "payment_intent_authentication_failure": Words(
        _("The confirmation with your bank did not succeed."),
        _("You were not charged. Try again, or use another card."),
        False,
    ),
    "card_velocity_exceeded": Words(_("The card's limit is reached."), _TRY_ANOTHER, False),
    "withdrawal_count_limit_exceeded": Words(_("The card's limit is reached."), _TRY_ANOTHER, False),
    "currency_not_supported": Words(_("The card does not take this currency."), _TRY_ANOTHER, False),
}
_DECLINED = Words(_("Your bank declined the card."), _TRY_ANOTHER, False)


def words_for(payment: Payment, *, is_payer: bool = True, is_stripe_silent: bool | None = None) -> Words:
    """Say what the payment's state means to its payer, or to somebody on another device.

    `is_stripe_silent`: of the payment's account; None where the account is to be asked.
    """
    if payment.state == PaymentState.DECLINED and is_payer:
        return decline(payment.decline_code or payment.failure_code)
    if not is_payer and payment.state in (
        PaymentState.REQUESTED,
        PaymentState.AWAITING,
        PaymentState.DECLINED,
    ):
        return _ELSEWHERE
    if payment.state in _STRIPE_IS_SILENT:
        if is_stripe_silent is None:
            is_stripe_silent = payment.account is not None and payment.account.silent_since is not None
        if is_stripe_silent:
            return _STRIPE_IS_SILENT[payment.state]
    return _STATES[payment.state]


def decline(code: str) -> Words:
    """Say why a card was declined, as far as a person can do something about it."""
    return _DECLINES.get(code, _DECLINED)
