"""Money given back. The row reserves its amount on the payment before anything is sent."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments.models.base import currency_field, is_lower_case_currency, minor_field
from web.payments.models.payment import Payment
from web.payments.states import RefundState


class Refund(models.Model):
    """A refund, whole or in part. Never deleted (a trigger refuses)."""

    MACHINE = "refund"

    class Destination(models.TextChoices):
        METHOD = "method", _("To the original method")
        BALANCE = "balance", _("To the customer's balance")
        CREDITS = "credits", _("As service credits")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="refunds")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    amount_minor = minor_field()
    currency = currency_field()
    destination = models.CharField(max_length=10, choices=Destination, default=Destination.METHOD)
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=12, choices=RefundState, default=RefundState.REQUESTED)
    state_changed_at = models.DateTimeField()
    stripe_refund_id = models.CharField(max_length=64, null=True)
    failure_code = models.CharField(max_length=60, blank=True)
    form_token = models.CharField(max_length=64)
    created_by = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            is_lower_case_currency("a_refund_has_a_lower_case_currency"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="a_refund_gives_something_back"),
            models.UniqueConstraint(
                fields=["payment"],
                condition=Q(state__in=["requested", "submitting"]),
                name="a_payment_has_one_refund_under_way",
            ),
            models.UniqueConstraint(fields=["business", "form_token"], name="a_form_makes_one_refund"),
            models.UniqueConstraint(
                fields=["payment", "stripe_refund_id"], name="a_stripe_refund_is_recorded_once"
            ),
        ]
        indexes = [
            models.Index(
                fields=["stripe_refund_id"],
                condition=Q(stripe_refund_id__isnull=False),
                name="refund_of_stripe_id",
            ),
            models.Index(fields=["business", "state_changed_at"], name="refund_of_business"),
        ]

    def __str__(self) -> str:
        return str(self.public_id)
