"""Charging a saved card: begin (commit what we will ask), call, conclude (commit what came of it).

Two writes: the intent is created without moving money, then confirmed with the card. Safe to run twice and at once:
an intent is paid once only, and a lost answer is asked for again with the same key.
"""

from __future__ import annotations

from django.utils import timezone

from tasks import intents
from tasks.gateway import intents as gateway
from web.payments.jobs import Lease
from web.payments.models import Payment
from web.payments.operations import saved_cards


def charge_card(*, payment_id: int, lease: Lease) -> None:
    """Create the payment's intent where it has none, and charge the card."""
    payment = Payment.objects.select_related("account", "business", "card").get(id=payment_id)
    intents.create_before_use(payment, lease=lease)
    attempt = saved_cards.begin_confirm(payment_id=payment_id, lease=lease, now=timezone.now())
    if attempt is not None:
        intents.settle_once(payment_id, attempt, gateway.confirm_intent, lease=lease)
    saved_cards.give_up(payment_id=payment_id, now=timezone.now())
