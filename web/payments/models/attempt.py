"""A write to Stripe, recorded before it is sent: what we asked for, under which key, and what came of it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from web.payments.models.payment import Payment
from web.payments.models.refund import Refund
from web.payments.models.settings import StripeAccount
from web.payments.states import OPEN_ATTEMPT, AttemptState


class Operation(models.TextChoices):
    """The writes that we make."""

    CREATE_INTENT = "create_intent"
    CANCEL_INTENT = "cancel_intent"
    CONFIRM_INTENT = "confirm_intent"
    CREATE_REFUND = "create_refund"
    CAPTURE_INTENT = "capture_intent"
    PROCESS_ON_READER = "process_on_reader"
    REFUND_ON_READER = "refund_on_reader"
    CANCEL_ON_READER = "cancel_on_reader"


class Attempt(models.Model):
    """One idempotency key and the exact parameters that it was made for. Sent again until Stripe answers."""

    MACHINE = "attempt"

    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="attempts")
    operation = models.CharField(max_length=20, choices=Operation)
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="attempts")
    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, null=True, related_name="attempts")
    key = models.CharField(max_length=255, unique=True)
    parameters = models.JSONField()  # nothing secret: it is shown to whoever is on call
    fence = models.BigIntegerField()  # of the job that sent it last
    state = models.CharField(max_length=12, choices=AttemptState, default=AttemptState.SENT)
    state_changed_at = models.DateTimeField()
    first_sent_at = models.DateTimeField()
    sent_at = models.DateTimeField()
    sends = models.PositiveSmallIntegerField(default=1)
    request_id = models.CharField(max_length=64, blank=True)  # Stripe's, of the last answer
    http_status = models.PositiveSmallIntegerField(null=True)
    error_code = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["operation", "payment"],
                condition=Q(state__in=sorted(OPEN_ATTEMPT), refund__isnull=True),
                name="a_payment_has_one_open_attempt_per_operation",
            ),
            models.UniqueConstraint(
                fields=["operation", "refund"],
                condition=Q(state__in=sorted(OPEN_ATTEMPT), refund__isnull=False),
                name="a_refund_has_one_open_attempt_per_operation",
            ),
            models.CheckConstraint(
                condition=Q(payment__isnull=False) | Q(refund__isnull=False),
                name="an_attempt_is_for_something",
            ),
        ]
        indexes = [
            models.Index(
                fields=["state_changed_at"],
                condition=~(Q(state__in=sorted(OPEN_ATTEMPT)) | Q(parameters={})),
                name="attempt_parameters_kept",  # until they are past their time (operations/keeping.py)
            ),
            # What Stripe's support asks for, and what its dashboard shows.
            models.Index(fields=["request_id"], condition=~Q(request_id=""), name="attempt_of_request"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.key}"
