"""A payment that the cardholder's bank takes back. Stripe decides over its status; we follow and show it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business
from web.payments.models.base import currency_field, is_lower_case_currency, minor_field
from web.payments.models.payment import Payment
from web.payments.models.settings import StripeAccount
from web.payments.money import Money


class Dispute(models.Model):
    """A dispute as Stripe last showed it. Not a state machine of ours: whatever Stripe says is stored."""

    class Status(models.TextChoices):
        WARNING_NEEDS_RESPONSE = "warning_needs_response", _("Inquiry: needs an answer")
        WARNING_UNDER_REVIEW = "warning_under_review", _("Inquiry: under review")
        WARNING_CLOSED = "warning_closed", _("Inquiry closed")
        NEEDS_RESPONSE = "needs_response", _("Needs an answer")
        UNDER_REVIEW = "under_review", _("Under review")
        WON = "won", _("Won")
        LOST = "lost", _("Lost")
        PREVENTED = "prevented", _("Prevented")

    OPEN = (
        Status.WARNING_NEEDS_RESPONSE,
        Status.WARNING_UNDER_REVIEW,
        Status.NEEDS_RESPONSE,
        Status.UNDER_REVIEW,
    )

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="disputes")
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="disputes")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="disputes")
    stripe_dispute_id = models.CharField(max_length=64)
    charge_id = models.CharField(max_length=64)
    amount_minor = minor_field()
    currency = currency_field()
    reason = models.CharField(max_length=60, blank=True)  # Stripe's word, such as "fraudulent"
    status = models.CharField(max_length=30)  # Stripe's; one that we do not know is kept and shown as it is
    is_refundable = models.BooleanField(
        default=False
    )  # Stripe still refunds the charge (inquiries, won ones)
    evidence_due_at = models.DateTimeField(null=True)
    # What it took from the business so far: its amount while the money is gone, 0 while it is not.
    taken_minor = minor_field(default=0)
    fee_minor = minor_field(default=0)
    fee_currency = models.CharField(max_length=3, blank=True)  # the account's own: not always the payment's
    entries = models.PositiveSmallIntegerField(default=0)  # balance transactions seen: more of them is newer
    snapshot_at = models.DateTimeField()  # Stripe's time of the newest news applied
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["opened_at", "id"]
        constraints = [
            is_lower_case_currency("a_dispute_has_a_lower_case_currency"),
            models.UniqueConstraint(
                fields=["account", "stripe_dispute_id"], name="a_dispute_is_recorded_once"
            ),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=0) & Q(taken_minor__gte=0),
                name="a_dispute_takes_no_less_than_nothing",
            ),
        ]
        indexes = [
            models.Index(
                fields=["business", "evidence_due_at"],
                condition=Q(closed_at__isnull=True),
                name="dispute_open",
            ),
            models.Index(fields=["payment"], name="dispute_of_payment"),
        ]

    def __str__(self) -> str:
        return self.stripe_dispute_id

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def status_shown(self) -> str:
        """Return Stripe's status in words, or as it is where we know none."""
        return str(dict(self.Status.choices).get(self.status, self.status))
