"""Programs that act for a business: their tokens, and what each key that they sent has led to."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile


class ApiToken(models.Model):
    """A program's right to act for a business. Of the token itself only a hash is kept, and how it begins."""

    class Scope(models.TextChoices):
        READ = "read", _("Read: items, carts, payments, orders and refunds")
        SELL = "sell", _("Sell: fill carts, take payments online and on readers")
        REFUND = "refund", _("Refund: give money back")

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="api_tokens")
    name = models.CharField(max_length=60)
    prefix = models.CharField(max_length=16)  # how the token begins: enough for a person to tell it apart
    secret_hash = models.CharField(max_length=64, unique=True)  # SHA-256: the token has 256 random bits
    scopes = models.JSONField(default=list)
    created_by = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    used_at = models.DateTimeField(null=True)
    # How often it was used in the minute that began then: the limit is a token's own.
    minute_at = models.DateTimeField(null=True)
    calls = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.prefix}…"


class ApiRequest(models.Model):
    """What came of a key: written in the transaction of its effect, so that either both are there or neither.

    No answer is kept: it is drawn again from what the request has made.
    """

    token = models.ForeignKey(ApiToken, on_delete=models.PROTECT, related_name="requests")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)  # SHA-256 of address and body
    subject = models.CharField(max_length=64)  # the public id of what it made or asked for
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["token", "key"], name="a_key_is_used_for_one_request")]
        indexes = [models.Index(fields=["created_at"], name="api_request_to_forget")]

    def __str__(self) -> str:
        return f"{self.token_id} {self.key[:20]}"
