"""What we tell other programs: events, the addresses that want them, and how far each is told."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business


class OutgoingEndpoint(models.Model):
    """An address of a business's own programs. Its secret signs what is sent; while it rolls over, two do."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="outgoing_endpoints")
    url = models.CharField(max_length=500)
    events = models.JSONField(default=list)  # names of OutgoingEvent.Kind
    secret_sealed = models.TextField()
    secret_hint = models.CharField(max_length=8)
    previous_secret_sealed = models.TextField(blank=True)
    previous_until = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True)  # no delivery has come through since
    disabled_at = models.DateTimeField(null=True)
    is_disabled_by_failing = models.BooleanField(default=False)  # else by a person
    removed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["business", "url"],
                condition=Q(removed_at__isnull=True),
                name="an_address_is_told_once",
            ),
        ]

    def __str__(self) -> str:
        return self.url

    @property
    def is_on(self) -> bool:
        return self.disabled_at is None and self.removed_at is None


class OutgoingEvent(models.Model):
    """Something that happened, as it was told: written in the transaction of the change, and never again changed."""

    class Kind(models.TextChoices):
        ORDER_PAID = "order.paid", _("An order was paid")
        ORDER_REFUNDED = "order.refunded", _("Money of an order went back")
        REFUND_FAILED = "refund.failed", _("A refund came to nothing")
        PAYMENT_DISPUTED = "payment.disputed", _("A payment is disputed")
        DISPUTE_CLOSED = "dispute.closed", _("A dispute has ended")
        PING = "ping", _("A test")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="outgoing_events")
    kind = models.CharField(max_length=30, choices=Kind)
    subject = models.CharField(max_length=64)  # the order's number, or what else a person looks for
    body = models.TextField()  # exactly what is sent and signed
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="outgoing_event_to_forget")]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class OutgoingDelivery(models.Model):
    """An event on its way to an address."""

    class State(models.TextChoices):
        WAITING = "waiting", _("On its way")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Given up")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    event = models.ForeignKey(OutgoingEvent, on_delete=models.CASCADE, related_name="deliveries")
    endpoint = models.ForeignKey(OutgoingEndpoint, on_delete=models.PROTECT, related_name="deliveries")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    answer_code = models.PositiveSmallIntegerField(null=True)  # of the newest try; null: no answer
    problem = models.CharField(max_length=60, blank=True)  # a code of ours: tasks/outgoing.py
    took_ms = models.PositiveIntegerField(null=True)
    asked_at = models.DateTimeField()  # when it was put on its way, or by a person once more
    tried_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "endpoint"], name="an_event_is_told_to_an_address_once")
        ]
        indexes = [models.Index(fields=["endpoint", "-id"], name="delivery_of_endpoint")]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.endpoint_id}"
