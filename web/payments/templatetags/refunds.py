"""What templates say about refunds and disputes: Stripe's codes in words, and what can be done with held money."""

from __future__ import annotations

import secrets

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from web.payments import refund_words
from web.payments.errors import Refusal
from web.payments.models import Cart, Dispute, Payment, Reader, ReaderAction, Refund
from web.payments.money import Money
from web.payments.operations import refunds
from web.payments.queries import held
from web.payments.queries.readers import refund_readers
from web.payments.states import RefundState

register = template.Library()

# Stripe's codes: of a refusal, and of a refund that the bank sent back.
FAILURES: dict[str, str | Promise] = {
    "charge_already_refunded": _("The payment was already given back at Stripe."),
    "charge_disputed": _("The cardholder disputes the payment."),
    "expired_or_canceled_card": _("The bank sent it back: the card has expired or was cancelled."),
    "lost_or_stolen_card": _("The bank sent it back: the card was lost or stolen."),
    "declined": _("The bank sent it back."),
    "insufficient_funds": _("The balance at Stripe did not suffice."),
}
DISPUTES: dict[str, str | Promise] = {
    "fraudulent": _("The cardholder says that it was not them"),
    "product_not_received": _("The cardholder says that nothing came"),
    "product_unacceptable": _("The cardholder says that it was not as described"),
    "duplicate": _("The cardholder says that it was paid twice"),
    "credit_not_processed": _("The cardholder waits for a refund"),
    "subscription_canceled": _("The cardholder had cancelled"),
    "general": _("The cardholder does not say why"),
}
STATES = dict(RefundState.choices)


def _all(base: type[Refusal]) -> list[type[Refusal]]:
    return [one for kind in base.__subclasses__() for one in (kind, *_all(kind))]


@register.filter
def why_failed(refund: Refund) -> str:
    """Say why a refund failed; a code without words is shown as it is."""
    code = refund.failure_code
    return str(FAILURES.get(code) or refund_words.FAILURES.get(code, code))


@register.filter
def place_at_reader(refund: Refund) -> ReaderAction | None:
    """Return the refund's place in a reader's queue while it has one; its payment's card has to be there."""
    places = [place for place in refund.reader_actions.all() if not place.is_final]
    return places[0] if places else None


@register.filter
def said_at_reader(place: ReaderAction) -> str:
    """Say how far a refund at a reader is, and what to do next."""
    message, next_step = refund_words.at_reader(place.state, place.failure_code)
    return f"{message} {next_step}"


@register.filter
def readers_for(payment: Payment) -> list[Reader]:
    """Return the readers at which the card of a payment can be given its money back; none where it need not be."""
    return refund_readers([payment])


@register.filter
def why_disputed(dispute: Dispute) -> str:
    """Say why a payment is disputed, in words where we have them."""
    return str(DISPUTES.get(dispute.reason, dispute.reason))


@register.filter
def why_refused(code: str) -> str:
    """Say why an order of a bulk refund was refused."""
    kinds = {kind.code: kind.message for kind in _all(Refusal) if kind.__module__ == refunds.__name__}
    return str(kinds.get(code, code))


@register.filter
def refund_state(state: str) -> str:
    """Return a refund's state in words."""
    return str(STATES.get(state, state))


@register.filter
def fits_its_cart(payment: Payment) -> bool:
    """Say whether held money can complete its sale."""
    return held.may_attach(payment)


@register.filter
def paid_of(cart: Cart) -> Money:
    """Return what came in for a cart that is paid in part."""
    return Money(cart.committed_minor, cart.currency)


@register.simple_tag
def new_form_token() -> str:
    """Return what makes a form's repeats harmless."""
    return secrets.token_urlsafe(24)
