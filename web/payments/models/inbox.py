"""What Stripe told us, stored once before anything is done about it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.payments.models.payment import Payment
from web.payments.models.settings import StripeAccount


class InboxEvent(models.Model):
    """An event of a webhook. Kept 35 days: longer than Stripe can send it again."""

    class State(models.TextChoices):
        RECEIVED = "received", _("Received")
        APPLIED = "applied", _("Applied")
        IGNORED = "ignored", _("Not for us")
        DEAD = "dead", _("Given up")

    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="inbox")
    event_id = models.CharField(max_length=64)
    event_type = models.CharField(max_length=80)
    object_id = models.CharField(max_length=64)
    occurred_at = models.DateTimeField()  # Stripe's `created`, in whole seconds
    received_at = models.DateTimeField()
    payload = models.JSONField()  # the event as sent, without client secrets
    state = models.CharField(max_length=10, choices=State, default=State.RECEIVED)
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField()
    error = models.CharField(max_length=200, blank=True)
    settled_at = models.DateTimeField(null=True)
    payment = models.ForeignKey(Payment, on_delete=models.SET_NULL, null=True, related_name="inbox")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "event_id"], name="an_event_is_stored_once")
        ]
        indexes = [
            models.Index(fields=["due_at", "id"], condition=Q(state="received"), name="inbox_due"),
            models.Index(fields=["received_at"], name="inbox_age"),
            models.Index(fields=["state"], condition=Q(state="dead"), name="inbox_dead"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"
