"""What payments know about a person, beside their Profile."""

from __future__ import annotations

from django.db import models

from web.core.models import Profile
from web.payments.models.settings import StripeAccount


class ProfilePaymentData(models.Model):
    """The payment data of a Profile, one-to-one. Erasing the person erases this row and nothing else."""

    profile = models.OneToOneField(Profile, on_delete=models.CASCADE, related_name="payment_data")
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, null=True, related_name="+")
    stripe_customer_id = models.CharField(max_length=64, null=True)
    policy_accepted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["account", "stripe_customer_id"], name="a_stripe_customer_is_one_person"
            ),
            models.CheckConstraint(
                condition=models.Q(stripe_customer_id__isnull=True) | models.Q(account__isnull=False),
                name="a_stripe_customer_belongs_to_an_account",
            ),
        ]

    def __str__(self) -> str:
        return f"payment data of {self.profile_id}"
