"""What Stripe did with the money after the sale: balance transactions with their fees, and payouts to the bank.

These rows are Stripe's, copied: they are brought in, matched with ours, and never decide about a payment.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.payments.models.base import currency_field, is_lower_case_currency, minor_field
from web.payments.models.dispute import Dispute
from web.payments.models.payment import Payment
from web.payments.models.refund import Refund
from web.payments.models.settings import StripeAccount


class Payout(models.Model):
    """Money on its way from Stripe to the bank. `paid` is not the end: the bank may send it back."""

    class Status(models.TextChoices):
        PENDING = "pending", _("Pending")
        IN_TRANSIT = "in_transit", _("On its way")
        PAID = "paid", _("Paid")
        FAILED = "failed", _("Failed")
        CANCELLED = "canceled", _("Cancelled")

    # How far a payout is: news that would take it back is old news.
    RANK = {Status.PENDING: 0, Status.IN_TRANSIT: 1, Status.PAID: 2, Status.FAILED: 3, Status.CANCELLED: 3}

    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="payouts")
    payout_id = models.CharField(max_length=64)
    status = models.CharField(max_length=12, choices=Status)
    amount_minor = minor_field()  # negative where Stripe takes money from the bank
    currency = currency_field()
    is_automatic = models.BooleanField()  # only these can be listed line by line
    failure_code = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField()
    arrives_on = models.DateField()
    is_reconcilable = models.BooleanField(default=False)  # Stripe says that its lines are complete
    lines_read_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "payout_id"], name="a_payout_is_stored_once"),
            is_lower_case_currency("a_payout_has_a_lower_case_currency"),
        ]
        indexes = [
            models.Index(fields=["account", "-created_at", "-id"], name="payout_newest_first"),
            models.Index(
                fields=["created_at"],
                condition=Q(is_reconcilable=True, lines_read_at__isnull=True),
                name="payout_to_be_read",
            ),
        ]

    def __str__(self) -> str:
        return self.payout_id


class BalanceEntry(models.Model):
    """One of Stripe's balance transactions: what a charge, a refund, a dispute or a payout did to the balance."""

    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, related_name="balance_entries")
    entry_id = models.CharField(max_length=64)  # txn_…
    kind = models.CharField(max_length=40)  # Stripe's type: charge, refund, adjustment, payout, …
    category = models.CharField(max_length=60)  # Stripe's reporting category
    source_id = models.CharField(max_length=64, blank=True)  # ch_…, re_…, dp_…, po_…
    amount_minor = minor_field()
    fee_minor = minor_field()
    net_minor = minor_field()
    currency = currency_field()  # of the balance: not the charge's where Stripe converted
    created_at = models.DateTimeField()
    available_at = models.DateTimeField()
    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, null=True, related_name="entries")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="balance_entries")
    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, null=True, related_name="balance_entries")
    dispute = models.ForeignKey(Dispute, on_delete=models.PROTECT, null=True, related_name="balance_entries")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "entry_id"], name="a_balance_entry_is_stored_once"),
            is_lower_case_currency("a_balance_entry_has_a_lower_case_currency"),
            models.CheckConstraint(
                condition=Q(net_minor=models.F("amount_minor") - models.F("fee_minor")),
                name="a_balance_entry_adds_up",
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-created_at", "-id"], name="balance_newest_first"),
            models.Index(fields=["source_id"], name="balance_of_source"),
        ]

    def __str__(self) -> str:
        return self.entry_id


class BalanceCursor(models.Model):
    """How far an account's balance transactions have been read."""

    account = models.OneToOneField(StripeAccount, on_delete=models.PROTECT, related_name="balance_cursor")
    read_until = models.DateTimeField()  # Stripe's time of the newest entry that was stored
    read_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"balance of {self.account_id} until {self.read_until:%F %H:%M}"
