"""Saved cards at Stripe. None of this moves money: each step runs again with the same key until it is answered."""

from __future__ import annotations

from django.utils import timezone

from tasks.gateway import cards as gateway
from tasks.gateway.stripe_api import StripeRefused
from web.payments.jobs import Lease
from web.payments.models import Card, CardSetup, ProfilePaymentData
from web.payments.operations import cards


def create_card_setup(*, card_setup_id: int, lease: Lease) -> None:
    """Make the setup intent, and first the customer at Stripe where the person is none yet."""
    setup = CardSetup.objects.select_related("account", "business").get(id=card_setup_id)
    if setup.setup_intent_id is not None or setup.state in cards.FINAL:
        return
    metadata = {"business": str(setup.business.business_id)}
    try:
        snapshot = gateway.create_setup_intent(
            setup.account,
            parameters={
                "customer": _customer(setup, metadata),
                "usage": "off_session",
                "allowed_payment_method_types": ["card"],
                "metadata": {**metadata, "card_setup": str(setup.public_id)},
            },
            key=f"paydesk-card_setup-{setup.public_id}",
        )
    except StripeRefused as refusal:
        cards.refuse(setup_id=setup.id, failure_code=refusal.code, now=timezone.now())
        return
    cards.settle(account_id=setup.account_id, snapshot=snapshot, now=timezone.now())


def _customer(setup: CardSetup, metadata: dict[str, str]) -> str:
    """Return the person's customer at the account; dying after it was made finds it again by its key.

    Should Stripe have forgotten the key, a second customer comes to be, which nobody sees and nothing is on.
    """
    known = ProfilePaymentData.objects.filter(
        profile_id=setup.profile_id, account_id=setup.account_id
    ).first()
    if known is not None and known.stripe_customer_id:
        return known.stripe_customer_id
    customer_id = gateway.create_customer(
        setup.account,
        parameters={"metadata": {**metadata, "profile": str(setup.profile_id)}},
        key=f"paydesk-customer-{setup.account_id}-{setup.profile_id}",
    )
    cards.remember_customer(setup=setup, stripe_customer_id=customer_id)
    return customer_id


def read_card_setup(*, card_setup_id: int, lease: Lease) -> None:
    """Read the setup intent and apply what it shows."""
    setup = CardSetup.objects.select_related("account").get(id=card_setup_id)
    if setup.setup_intent_id is None or setup.state in cards.FINAL:
        return
    snapshot = gateway.read_setup_intent(setup.account, setup_intent_id=setup.setup_intent_id)
    if snapshot.is_succeeded and snapshot.card is None:  # saved, and taken from its customer again since
        cards.refuse(setup_id=setup.id, failure_code="card_gone", now=timezone.now())
        return
    cards.settle(account_id=setup.account_id, snapshot=snapshot, now=timezone.now())


def detach_card(*, card_id: int, lease: Lease) -> None:
    """Take a removed card from its customer at Stripe."""
    card = Card.objects.select_related("account").get(id=card_id)
    gateway.detach(card.account, payment_method_id=card.payment_method_id)
