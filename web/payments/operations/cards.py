"""Saving cards for later, with their owner's consent; choosing one, removing one. No money moves here.

A card is a fact of Stripe's: it is ours only once Stripe says that its bank agreed. Removing is certain at
once for us (nobody charges it any more); a worker then takes it from the customer at Stripe.
"""

from __future__ import annotations

import datetime
import uuid

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.core.crypto import seal
from web.core.models import Business, Profile
from web.payments import locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import CREATE_CARD_SETUP, DETACH_CARD, READ_CARD_SETUP, JobKind, enqueue
from web.payments.models import Card, CardSetup, Payment, PaymentSettings, ProfilePaymentData
from web.payments.operations.intents import account_in_use
from web.payments.snapshots import SavedCard, SetupSnapshot
from web.payments.states import CardSetupState, transition

MOST_CARDS = 10  # of one person: more are an accident, or somebody trying out stolen ones
FINAL = frozenset({CardSetupState.SUCCEEDED, CardSetupState.FAILED})


class CardsNotOffered(Refusal):
    code, kind = "cards_not_offered", Kind.MISSING
    message = _("This business does not keep cards.")
    next_step = _("Nothing was saved and nothing was charged.")


class ConsentMissing(Refusal):
    code = "consent_missing"
    message = _("A card is saved only if its owner agrees.")
    next_step = _("Nothing was saved. Tick the box if you agree, and try again.")


class TooManyCards(Refusal):
    code, kind = "too_many_cards", Kind.CONFLICT
    message = _("No more cards can be saved.")
    next_step = _("Nothing was saved. Remove a card that is no longer used, then try again.")


class CardNotFound(Refusal):
    code, kind = "card_not_found", Kind.MISSING
    message = _("We cannot find this card.")
    next_step = _("Nothing was charged by this. Open the list of cards again.")


def offered(business: Business) -> PaymentSettings:
    """Return the settings of a business that keeps cards; CardsNotOffered for the others."""
    settings = PaymentSettings.objects.filter(business=business, keeps_cards=True).first()
    if settings is None:
        raise CardsNotOffered
    return settings


@transaction.atomic
def request_setup(
    *, profile: Profile, form_token: str, consent: str, agrees: bool, now: datetime.datetime
) -> CardSetup:
    """Ask for a card to be saved; a worker makes the setup intent. The same form again gets the same row.

    `consent` is the text that the page showed and its owner agreed to: it is kept with the card.
    """
    offered(profile.business)
    account, _settings = account_in_use(profile.business)
    repeated = CardSetup.objects.filter(business=profile.business, form_token=form_token).first()
    if repeated is not None:
        if repeated.profile_id != profile.id:
            raise CardNotFound
        return repeated
    if not agrees:
        raise ConsentMissing
    if Card.objects.filter(profile=profile, removed_at=None).count() >= MOST_CARDS:
        raise TooManyCards
    setup, is_new = CardSetup.objects.get_or_create(
        business=profile.business,
        form_token=form_token,
        defaults={
            "account": account,
            "profile": profile,
            "state_changed_at": now,
            "consented_at": now,
            "consent": consent,
            "created_at": now,
        },
    )
    if is_new:
        _enqueue_for(CREATE_CARD_SETUP, setup, now=now)
    return setup


def _enqueue_for(kind: JobKind, setup: CardSetup, *, now: datetime.datetime) -> None:
    enqueue(
        kind,
        business_id=setup.business_id,
        account_id=setup.account_id,
        card_setup_id=setup.id,
        dedup_key=f"card setup:{setup.id}",
        now=now,
    )


@transaction.atomic
def request_read(*, setup: CardSetup, now: datetime.datetime) -> None:
    """Ask for the setup intent to be read: somebody came back from the card form, and no event has."""
    if setup.state not in FINAL:
        _enqueue_for(READ_CARD_SETUP if setup.setup_intent_id else CREATE_CARD_SETUP, setup, now=now)


# --- what comes back ------------------------------------------------------------------------------------


@transaction.atomic
def remember_customer(*, setup: CardSetup, stripe_customer_id: str) -> None:
    """Keep which customer of the account this person is."""
    ProfilePaymentData.objects.update_or_create(
        profile_id=setup.profile_id,
        defaults={"account_id": setup.account_id, "stripe_customer_id": stripe_customer_id},
    )


@transaction.atomic
def refuse(*, setup_id: int, failure_code: str, now: datetime.datetime) -> None:
    """Note that a card will not be saved: Stripe refused the setup intent, or took the card away again."""
    setup = locks.card_setup(setup_id)
    if setup.state not in FINAL:
        setup.failure_code = failure_code
        _move(setup, CardSetupState.FAILED, now=now)


def find(*, account_id: int, snapshot: SetupSnapshot) -> Payment | None:
    """A setup intent is about no payment."""
    return None


@transaction.atomic
def settle(*, account_id: int, snapshot: SetupSnapshot, now: datetime.datetime) -> Payment | None:
    """Apply what Stripe says about a setup intent. It is about no payment: always None.

    News of a success that does not show the card leads to a read, which does.
    """
    rows = CardSetup.objects.filter(account_id=account_id)
    found = rows.filter(setup_intent_id=snapshot.setup_intent_id).first()
    if found is None and snapshot.setup_public_id:
        found = rows.filter(public_id=snapshot.setup_public_id).first()
    if found is None:
        return None
    setup = locks.card_setup(found.id)
    if setup.state in FINAL:
        return None
    setup.setup_intent_id = setup.setup_intent_id or snapshot.setup_intent_id
    setup.failure_code = snapshot.failure_code
    if snapshot.client_secret:
        setup.client_secret_sealed = seal(snapshot.client_secret)
    if snapshot.is_succeeded and snapshot.card is None:
        setup.save()
        _enqueue_for(READ_CARD_SETUP, setup, now=now)
    elif snapshot.is_succeeded and snapshot.card is not None:
        _move(setup, CardSetupState.SUCCEEDED, now=now)
        _keep(setup, snapshot.card, now=now)
    elif snapshot.is_cancelled:
        _move(setup, CardSetupState.FAILED, now=now)
    elif setup.state == CardSetupState.REQUESTED:
        _move(setup, CardSetupState.AWAITING, now=now)
    else:
        setup.save()
    return None


def _move(setup: CardSetup, to: CardSetupState, *, now: datetime.datetime) -> None:
    transition(setup, to, now=now)
    if to in FINAL:
        setup.client_secret_sealed = ""
    setup.save()


def _keep(setup: CardSetup, card: SavedCard, *, now: datetime.datetime) -> None:
    """Write the card; a person's first one is their default."""
    kept = locks.cards_of(setup.profile_id)
    Card.objects.get_or_create(
        account_id=setup.account_id,
        payment_method_id=card.payment_method_id,
        defaults={
            "business_id": setup.business_id,
            "profile_id": setup.profile_id,
            "setup": setup,
            "stripe_customer_id": card.customer_id,
            "brand": card.brand,
            "last4": card.last4,
            "expires_year": card.expires_year,
            "expires_month": card.expires_month,
            "is_default": not any(one.is_default for one in kept),
            "created_at": now,
        },
    )


# --- the list -------------------------------------------------------------------------------------------


@transaction.atomic
def make_default(*, profile: Profile, card_id: uuid.UUID) -> Card:
    """Let a card be the one that is charged unless another is chosen."""
    kept = locks.cards_of(profile.id)
    chosen = _chosen(kept, card_id)
    for card in kept:
        if card.is_default and card.id != chosen.id:
            card.is_default = False
            card.save(update_fields=["is_default"])
    if not chosen.is_default:
        chosen.is_default = True
        chosen.save(update_fields=["is_default"])
    return chosen


@transaction.atomic
def remove(*, profile: Profile, card_id: uuid.UUID, now: datetime.datetime) -> Card:
    """Remove a card: from now on nobody can charge it; a worker takes it from the customer at Stripe.

    Removing it again changes nothing. The newest of the others becomes the default.
    """
    gone = Card.objects.filter(profile=profile, public_id=card_id).exclude(removed_at=None).first()
    if gone is not None:
        return gone
    kept = locks.cards_of(profile.id)
    card = _chosen(kept, card_id)
    was_default = card.is_default
    card.is_default, card.removed_at = False, now
    card.save(update_fields=["is_default", "removed_at"])
    others = [one for one in kept if one.id != card.id]
    if was_default and others:
        others[-1].is_default = True
        others[-1].save(update_fields=["is_default"])
    enqueue(
        DETACH_CARD,
        business_id=card.business_id,
        account_id=card.account_id,
        card_id=card.id,
        dedup_key=f"card:{card.id}",
        now=now,
    )
    return card


def _chosen(kept: list[Card], card_id: uuid.UUID) -> Card:
    card = next((one for one in kept if one.public_id == card_id), None)
    if card is None:
        raise CardNotFound
    return card
