"""Mails beyond the first receipt: a receipt sent again, and the receipt of a refund."""

from __future__ import annotations

from django.db import models

from web.core.models import Business
from web.payments.models.order import Order
from web.payments.models.refund import Refund


class ReceiptResend(models.Model):
    """A receipt that somebody asked to be sent again: the row that limits, audits and is sent once."""

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="+")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="resends")
    sent_to = models.EmailField(blank=True)
    form_token = models.CharField(max_length=64)
    asked_by = models.CharField(max_length=40)  # as in a sale's history
    asked_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["business", "form_token"], name="a_form_sends_one_receipt"),
        ]
        indexes = [models.Index(fields=["business", "asked_at"], name="resend_of_business")]

    def __str__(self) -> str:
        return f"receipt of {self.order_id} again"


class RefundReceipt(models.Model):
    """The receipt of a refund: rendered once, kept as it was, sent by mail where there is an address."""

    refund = models.OneToOneField(Refund, on_delete=models.PROTECT, related_name="receipt")
    language = models.CharField(max_length=5)
    subject = models.CharField(max_length=200)
    html = models.TextField()
    text = models.TextField()
    rendered_at = models.DateTimeField()
    sent_to = models.EmailField(blank=True)
    sent_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"receipt of refund {self.refund_id}"
