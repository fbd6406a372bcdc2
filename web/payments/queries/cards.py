"""Saved cards, and the saving of one, as their owner and staff may see them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from web.core.crypto import unseal
from web.core.models import Business, Profile
from web.payments.models import Card, CardSetup, Method, Payment, PaymentSettings
from web.payments.states import CardSetupState

MOST_CHARGES = 10


def are_offered(business: Business) -> bool:
    """Say whether the business keeps cards."""
    return PaymentSettings.objects.filter(business=business, keeps_cards=True).exists()


def cards_of(profile: Profile) -> list[Card]:
    """Return a person's cards, the default one first."""
    return list(Card.objects.filter(profile=profile, removed_at=None).select_related("setup"))


def charges_of(profile: Profile) -> list[Payment]:
    """Return the newest payments of a person's saved cards, as staff see them."""
    payments = Payment.objects.filter(
        business_id=profile.business_id, customer=profile, method=Method.SAVED_CARD
    )
    return list(payments.select_related("order", "card").order_by("-id")[:MOST_CHARGES])


@dataclass(frozen=True, slots=True)
class SetupFollowed:
    """How far the saving of a card is, as its owner may know it."""

    setup: CardSetup

    @property
    def is_final(self) -> bool:
        return self.setup.state in (CardSetupState.SUCCEEDED, CardSetupState.FAILED)

    @property
    def client_secret(self) -> str:
        sealed = self.setup.client_secret_sealed
        return unseal(sealed) if sealed and not self.is_final else ""


def setup_of(profile: Profile, public_id: uuid.UUID) -> SetupFollowed | None:
    """Return a person's own setup; nobody else's."""
    found = CardSetup.objects.filter(profile=profile, public_id=public_id).select_related("account").first()
    return None if found is None else SetupFollowed(found)
