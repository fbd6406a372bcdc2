"""How a sale's history is told: each kind of line in words, and the time between two of them."""

from __future__ import annotations

import datetime

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from web.payments import history
from web.payments.models import PaymentEvent
from web.payments.money import Money
from web.payments.states import ActionState, PaymentState, RefundState
from web.payments.templatetags.money import money

register = template.Library()

KINDS: dict[str, str | Promise] = {
    history.REQUESTED: gettext_lazy("Payment requested"),
    history.REPEATED: gettext_lazy("Asked for again; the same payment was given"),
    history.SENT: gettext_lazy("Sent to Stripe"),
    history.ANSWERED: gettext_lazy("Stripe answered"),
    history.READ: gettext_lazy("Read at Stripe"),
    history.READ_ASKED: gettext_lazy("Somebody on call asked for it to be read at Stripe"),
    history.WEBHOOK: gettext_lazy("Stripe reported"),
    history.STALE: gettext_lazy("Older news from Stripe, kept and not applied"),
    history.ORDER_MADE: gettext_lazy("Order made"),
    history.RECEIPT_SENT: gettext_lazy("Receipt sent"),
    history.POLICY_ACCEPTED: gettext_lazy("Refund policy accepted"),
    history.REFUND_REQUESTED: gettext_lazy("Refund asked for"),
    history.REFUND_IMPORTED: gettext_lazy("Refund made at Stripe"),
    history.PAYMENT_RELEASED: gettext_lazy("The payment was given back: its cart is free of it"),
    history.PAYMENT_ATTACHED: gettext_lazy("Held money put onto its cart"),
    history.DISPUTE_OPENED: gettext_lazy("Disputed by the cardholder"),
    history.DISPUTE_CHANGED: gettext_lazy("The dispute changed"),
    history.CART_REOPENED: gettext_lazy("The cart can be changed again"),
    history.CUSTOMER_CHOSEN: gettext_lazy("Another customer was chosen"),
    history.READER_QUEUED: gettext_lazy("Put into the queue of a reader"),
    history.CAPTURE_ASKED: gettext_lazy("Asked for the money that was set aside"),
}
ACTORS: dict[str, str | Promise] = {
    history.CUSTOMER: gettext_lazy("customer"),
    history.WORKER: gettext_lazy("worker"),
    history.STRIPE: "Stripe",
}
STATES: dict[str, str | Promise] = dict(PaymentState.choices)
MOVES: dict[str, tuple[dict[str, str | Promise], str | Promise]] = {
    history.MOVED: (STATES, "%(before)s → %(after)s"),
    history.REFUND_MOVED: (dict(RefundState.choices), gettext_lazy("Refund: %(before)s → %(after)s")),
    history.READER_MOVED: (dict(ActionState.choices), gettext_lazy("Reader: %(before)s → %(after)s")),
}
MINUTE = 60
TOLD_ELSEWHERE = frozenset({"currency", "lag_ms", "received_at"})


@register.filter
def told(event: PaymentEvent) -> str:
    """Tell what a line says; a kind without words is shown by its name."""
    if event.kind in MOVES:
        states, words = MOVES[event.kind]
        before, after = (
            states.get(event.from_state, event.from_state),
            states.get(event.to_state, event.to_state),
        )
        return str(words) % {"before": before, "after": after}
    return str(KINDS.get(event.kind, event.kind))


@register.filter
def who(actor: str) -> str:
    """Say who it was: a name stands as it is, what is no person in words."""
    return str(ACTORS.get(actor, actor))


@register.filter
def facts(event: PaymentEvent) -> list[tuple[str, str]]:
    """Return a line's facts for people: amounts as money, and nothing that is told elsewhere."""
    currency = event.data.get("currency")
    told = []
    for name, value in event.data.items():
        if name in TOLD_ELSEWHERE or value in (None, "", False):
            continue
        is_amount = name in ("amount", "total") and isinstance(value, int) and isinstance(currency, str)
        told.append((name, money(Money(value, currency)) if is_amount else str(value)))
    return told


@register.filter
def span(duration: datetime.timedelta) -> str:
    """Write a duration as people on call read it: 12 ms, 1.4 s, 3 min."""
    seconds = duration.total_seconds()
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    if abs(seconds) < MINUTE:
        return f"{seconds:.1f} s"
    return f"{seconds / MINUTE:.0f} min"


@register.filter
def apart(duration: datetime.timedelta) -> str:
    """Write how long after the line before it."""
    return _("+%(span)s") % {"span": span(duration)}
