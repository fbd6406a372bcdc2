"""Saved cards: the old, optional way to pay. Only what Stripe shows of a card is kept, never a number."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments.models.settings import StripeAccount
from web.payments.states import CardSetupState


class CardSetup(models.Model):
    """A customer's wish to save a card, with the consent given: a setup intent at Stripe, followed to its end."""

    MACHINE = "cardsetup"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="+")
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="card_setups")
    form_token = models.CharField(max_length=64)  # of the form that asked; a repeat finds this row
    state = models.CharField(max_length=12, choices=CardSetupState, default=CardSetupState.REQUESTED)
    state_changed_at = models.DateTimeField()
    setup_intent_id = models.CharField(max_length=64, null=True)
    client_secret_sealed = models.TextField(blank=True)  # erased when final
    failure_code = models.CharField(max_length=60, blank=True)  # Stripe's code of the last try
    consented_at = models.DateTimeField()
    consent = models.TextField()  # the words that the customer agreed to
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["business", "form_token"], name="a_form_saves_one_card"),
            models.UniqueConstraint(
                fields=["account", "setup_intent_id"], name="a_setup_intent_belongs_to_one_setup"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["requested", "awaiting"]) | Q(client_secret_sealed=""),
                name="a_final_setup_keeps_no_client_secret",
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)


class Card(models.Model):
    """A card that its owner agreed to have kept at Stripe: what people need to recognise it, and Stripe's ids."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="cards")
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="cards")
    profile = models.ForeignKey(Profile, on_delete=models.CASCADE, related_name="cards")
    setup = models.OneToOneField(CardSetup, on_delete=models.RESTRICT, related_name="card")
    stripe_customer_id = models.CharField(max_length=64)
    payment_method_id = models.CharField(max_length=64)
    brand = models.CharField(max_length=20)
    last4 = models.CharField(max_length=4)
    expires_year = models.PositiveSmallIntegerField()
    expires_month = models.PositiveSmallIntegerField()
    is_default = models.BooleanField(default=False)
    removed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-is_default", "-id"]
        verbose_name = _("card")
        constraints = [
            models.UniqueConstraint(fields=["account", "payment_method_id"], name="a_card_is_saved_once"),
            models.UniqueConstraint(
                fields=["profile"], condition=Q(is_default=True), name="a_person_has_one_default_card"
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(removed_at__isnull=True),
                name="a_removed_card_is_no_default",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.brand} {self.last4}"
