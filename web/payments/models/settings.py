"""How a business takes payments: its settings, its Stripe accounts, and the secrets of its webhook address."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Item


def default_tip_presets() -> list[int]:
    """Return Ruoom's tip presets, in percent."""
    return [15, 20, 25, 30]


class PaymentSettings(models.Model):
    """The payment settings of a business, one-to-one."""

    class Gateway(models.TextChoices):
        NONE = "none", _("No online payments")
        STRIPE = "stripe", "Stripe"

    class CaptureMode(models.TextChoices):
        AUTOMATIC = "automatic", _("At once")
        MANUAL = "manual", _("When staff confirm it")

    business = models.OneToOneField(Business, on_delete=models.PROTECT, related_name="payment_settings")
    gateway = models.CharField(max_length=10, choices=Gateway, default=Gateway.STRIPE)
    refund_policy = models.TextField(blank=True)
    refund_popup = models.BooleanField(default=False)
    guests_may_pay = models.BooleanField(default=True)
    # A customer who has not paid by then has left: the payment is cancelled, and the cart is free once Stripe says so.
    abandoned_after_hours = models.PositiveSmallIntegerField(default=24)
    tip_presets = models.JSONField(default=default_tip_presets)  # whole percents; [] asks for no tip
    # Customers may leave a cart to be paid at the desk; it stays a cart until then.
    pays_on_arrival = models.BooleanField(default=False)
    # When a card presented to a reader is charged; what is authorised only is captured within two days.
    capture_mode = models.CharField(max_length=10, choices=CaptureMode, default=CaptureMode.AUTOMATIC)
    # Behind the account's own prefix on a card's statement: "HANRIVER* YOGA".
    statement_descriptor_suffix = models.CharField(max_length=12, blank=True)
    receipt_header = models.CharField(max_length=300, blank=True)
    receipt_footer = models.TextField(blank=True, max_length=1000)
    receipt_legal = models.TextField(blank=True, max_length=1000)
    reader_asks_for_tip = models.BooleanField(default=False)  # what the till proposes
    # The old, optional way to pay: cards kept at Stripe with their owner's consent.
    keeps_cards = models.BooleanField(default=False)
    # What a fee of the business's policy is sold as; null where it charges none.
    no_show_item = models.ForeignKey(Item, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    late_cancel_item = models.ForeignKey(
        Item, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # What a member of staff may give back in a day without proving again who they are, in the business's currency;
    # null: any amount.
    refund_limit_minor = models.PositiveBigIntegerField(null=True, blank=True)
    # Part of the webhook address: says which business an event is for, before anything is verified.
    webhook_token = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(abandoned_after_hours__gte=1, abandoned_after_hours__lte=168),
                name="a_payment_is_given_up_within_a_week",
            ),
        ]

    def __str__(self) -> str:
        return f"payment settings of {self.business_id}"


class StripeAccount(models.Model):
    """One account at Stripe. Payments, attempts and events belong to their account for life.

    New keys of the same account replace the old ones on this row; keys of another account make a new row
    and retire this one, which keeps its keys for the payments that it still has.
    """

    class State(models.TextChoices):
        UNVERIFIED = (
            "unverified",
            _("Being checked"),
        )  # keys were entered; a worker asks Stripe whose they are
        ACTIVE = "active", _("In use")
        RETIRED = "retired", _("Replaced")
        REFUSED = "refused", _("Refused by Stripe")

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="stripe_accounts")
    account_id = models.CharField(max_length=64, null=True)  # acct_…; null until verified
    is_live = models.BooleanField()  # test and live mode share an account id, and nothing else
    state = models.CharField(max_length=12, choices=State, default=State.UNVERIFIED)
    publishable_key = models.CharField(max_length=255)
    secret_key_sealed = models.TextField()
    secret_key_hint = models.CharField(max_length=8)  # the last four characters, for people
    problem = models.CharField(max_length=200, blank=True)  # why keys were refused, in our words
    # What it may ask of Stripe in a second, where Stripe has granted other limits; null: the defaults of settings.
    calls_per_second = models.PositiveSmallIntegerField(null=True, blank=True)
    calls_per_second_and_endpoint = models.PositiveSmallIntegerField(null=True, blank=True)
    # Since when Stripe does not answer for it: a copy for people of what the breaker knows (tasks/limits).
    silent_since = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    verified_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["business"],
                condition=models.Q(state="active"),
                name="a_business_sells_on_one_account",
            ),
            models.UniqueConstraint(
                fields=["business", "account_id", "is_live"],
                condition=models.Q(account_id__isnull=False),
                name="an_account_has_one_row_per_business",
            ),
            models.CheckConstraint(
                condition=~models.Q(state="active") | models.Q(account_id__isnull=False),
                name="an_active_account_is_verified",
            ),
            models.CheckConstraint(
                condition=(models.Q(calls_per_second=None) | models.Q(calls_per_second__gt=0))
                & (
                    models.Q(calls_per_second_and_endpoint=None)
                    | models.Q(calls_per_second_and_endpoint__gt=0)
                ),
                name="an_account_may_call_stripe",
            ),
        ]

    def __str__(self) -> str:
        return self.account_id or f"unverified …{self.secret_key_hint}"


class WebhookSecret(models.Model):
    """A signing secret of the business's webhook address. Several are active while one rolls over."""

    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="webhook_secrets")
    secret_sealed = models.TextField()
    secret_hint = models.CharField(max_length=8)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)  # null: until it is replaced

    def __str__(self) -> str:
        return f"whsec_…{self.secret_hint}"
