"""Who changed or took out what, and when: settings, exports, receipts sent again, people erased."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from web.core.models import Business


class AuditEntry(models.Model):
    """One action of a person (or of a command). Append-only: a trigger refuses changes and deletion."""

    class Action(models.TextChoices):
        SETTINGS_CHANGED = "settings.changed", _("Settings changed")
        TAXES_CHANGED = "taxes.changed", _("Taxes changed")
        KEYS_ENTERED = "keys.entered", _("Stripe keys entered")
        KEYS_TESTED = "keys.tested", _("Connection tested")
        KEYS_DECIDED = "keys.decided", _("Stripe answered about the keys")
        WEBHOOK_SECRET_ADDED = "webhook.secret_added", _("Webhook secret added")
        LIMITS_CHANGED = "limits.changed", _("Limits changed")
        TOKEN_MADE = "token.made", _("API token made")
        TOKEN_REVOKED = "token.revoked", _("API token revoked")
        ENDPOINT_CHANGED = "endpoint.changed", _("Outgoing webhook changed")
        PURCHASES_EXPORTED = "purchases.exported", _("Purchases exported")
        RECONCILIATION_EXPORTED = "reconciliation.exported", _("Reconciliation exported")
        SAFETY_CHANGED = "safety.changed", _("Security changed")
        SECOND_FACTOR_REMOVED = "second_factor.removed", _("Second factor removed")
        RECEIPT_RESENT = "receipt.resent", _("Receipt sent again")
        PERSON_ERASED = "person.erased", _("Personal data erased")
        BULK_REFUND_ASKED = "bulk_refund.asked", _("Refund of many orders asked for")
        BULK_REFUND_RESUMED = "bulk_refund.resumed", _("Refund of many orders resumed")
        READER_CHANGED = "reader.changed", _("Card reader changed")
        SHIFT_CLOSED = "shift.closed", _("Shift closed")
        DRIFT_NOTED = "drift.noted", _("Difference looked into")

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="audit")
    action = models.CharField(max_length=40, choices=Action)
    subject = models.CharField(max_length=100, blank=True)  # what it was about: a place, an order's number
    # Field -> [before, after]; a secret is named by its last characters only, a person by no more than an id.
    changes = models.JSONField(default=dict)
    actor = models.CharField(max_length=40)  # "staff 12", "command", "worker": as in a sale's history
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["business", "-at", "-id"], name="audit_newest_first")]

    def __str__(self) -> str:
        return f"{self.at:%F %H:%M} {self.action}"
