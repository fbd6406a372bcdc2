"""What customers have stored: money, per currency, and service credits. Two ledgers, append-only.

An entry is the only thing that changes a balance: a trigger on its insertion moves the balance and checks the
running sums that the entry claims, another refuses every other change of a balance. So a balance is the sum of
its entries by construction. What is free to be spent lies in lots, each with the entry that it came from and,
perhaps, an end; a deferred trigger checks that the lots of a balance add up to what is free.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Profile
from web.payments.models.base import minor_field
from web.payments.models.order import OrderLine
from web.payments.models.payment import Payment
from web.payments.models.refund import Refund


class Ledger(models.TextChoices):
    """The two ledgers that a customer has."""

    MONEY = "money", _("Account balance")
    CREDITS = "credits", _("Service credits")


class EntryKind(models.TextChoices):
    """What an entry tells, and so what it may change."""

    ADJUSTED = "adjusted", _("Adjusted")  # by a person, up or down, with a reason
    SOLD = "sold", _("Bought")  # a gift card, a service pass
    CREDITED = "credited", _("Credited by refund")
    RESERVED = "reserved", _("Set aside")  # for a sale that is being paid
    RELEASED = "released", _("Given back")  # that sale did not come about
    SPENT = "spent", _("Spent")
    TAKEN_BACK = "taken_back", _("Taken back")  # the gift card or pass was refunded
    EXPIRED = "expired", _("Expired")


class LedgerBalance(models.Model):
    """What one customer has in one ledger (and currency). Its row lock is what two tills take turns with."""

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="balances")
    # Erasing the person leaves the books: what was stored then belongs to nobody any more.
    customer = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="balances")
    ledger = models.CharField(max_length=8, choices=Ledger)
    currency = models.CharField(
        max_length=3, blank=True
    )  # of money; "" for service credits, which are whole units
    amount = minor_field(default=0)  # minor units of the currency, or service credits
    reserved = minor_field(default=0)  # of the amount: set aside for sales that are being paid
    entries = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "ledger", "currency"], name="a_customer_has_one_balance_per_currency"
            ),
            models.CheckConstraint(condition=Q(amount__gte=0), name="a_balance_is_never_below_zero"),
            models.CheckConstraint(
                condition=Q(reserved__gte=0, reserved__lte=F("amount")),
                name="no_more_is_set_aside_than_there_is",
            ),
            models.CheckConstraint(
                condition=Q(ledger="money", currency__regex=r"^[a-z]{3}$") | Q(ledger="credits", currency=""),
                name="money_has_a_currency_and_credits_have_none",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.ledger} of {self.customer_id}: {self.amount} {self.currency}"

    @property
    def free(self) -> int:
        """What can be spent, but for lots that have ended and were not yet swept up."""
        return self.amount - self.reserved


class LedgerEntry(models.Model):
    """A line of a ledger. Append-only (triggers refuse); continues the line before it (a trigger checks)."""

    balance = models.ForeignKey(LedgerBalance, on_delete=models.PROTECT, related_name="lines")
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField()  # 1, 2, 3, … within the balance
    kind = models.CharField(max_length=12, choices=EntryKind)
    amount = minor_field(default=0)  # signed
    reserved = minor_field(default=0)  # signed: what it changes of what is set aside
    amount_after = minor_field()
    reserved_after = minor_field()
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=40)  # as in PaymentEvent: "worker", "customer", "staff 12"
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="ledger_entries")
    order_line = models.ForeignKey(
        OrderLine, on_delete=models.PROTECT, null=True, related_name="ledger_entries"
    )
    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, null=True, related_name="ledger_entries")
    form_token = models.CharField(max_length=64, null=True)  # of the form that asked for an adjustment
    lots = models.JSONField(default=dict)  # {lot: amount}: what it took out of which lot, or put back
    at = models.DateTimeField()

    class Meta:
        ordering = ["balance_id", "number"]
        constraints = [
            models.UniqueConstraint(fields=["balance", "number"], name="a_ledger_is_counted_without_gaps"),
            models.UniqueConstraint(fields=["business", "form_token"], name="a_form_makes_one_adjustment"),
            models.UniqueConstraint(
                fields=["payment", "kind"], name="a_payment_sets_aside_and_spends_or_gives_back_once"
            ),
            models.UniqueConstraint(
                fields=["payment"],
                condition=Q(kind__in=["spent", "released"]),
                name="what_is_spent_is_not_given_back",
            ),
            models.UniqueConstraint(
                fields=["order_line"], condition=Q(kind="sold"), name="a_line_is_credited_once"
            ),
            models.UniqueConstraint(
                fields=["refund"], condition=Q(kind="credited"), name="a_refund_is_credited_once"
            ),
            models.UniqueConstraint(
                fields=["refund", "order_line"],
                condition=Q(kind="taken_back"),
                name="a_refund_takes_back_from_a_line_once",
            ),
            models.CheckConstraint(
                condition=(
                    Q(kind__in=["sold", "credited"], amount__gt=0, reserved=0)
                    | Q(kind__in=["taken_back", "expired"], amount__lt=0, reserved=0)
                    | Q(kind="adjusted", reserved=0) & ~Q(amount=0)
                    | Q(kind="reserved", amount=0, reserved__gt=0)
                    | Q(kind="released", amount=0, reserved__lt=0)
                    | Q(kind="spent", amount__lt=0, reserved=F("amount"))
                ),
                name="an_entry_changes_what_its_kind_says",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["reserved", "released", "spent"], payment__isnull=False)
                | Q(kind="sold", order_line__isnull=False)
                | Q(kind__in=["credited", "taken_back"], refund__isnull=False)
                | Q(kind="adjusted") & ~Q(reason="")
                | Q(kind="expired"),
                name="an_entry_says_where_it_comes_from",
            ),
        ]
        indexes = [models.Index(fields=["order_line"], name="entry_of_order_line")]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class LedgerLot(models.Model):
    """What one entry brought, and how much of it has gone. The one that ends soonest is spent first."""

    balance = models.ForeignKey(LedgerBalance, on_delete=models.PROTECT, related_name="lots")
    entry = models.OneToOneField(LedgerEntry, on_delete=models.PROTECT, related_name="lot")
    amount = minor_field()
    taken = minor_field(default=0)  # set aside, spent, taken back or expired
    expires_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gt=0, taken__gte=0, taken__lte=F("amount")),
                name="no_more_goes_from_a_lot_than_came",
            ),
        ]
        indexes = [
            models.Index(
                fields=["balance"], condition=Q(taken__lt=F("amount")), name="lot_with_something_left"
            ),
            models.Index(
                fields=["expires_at"],
                condition=Q(taken__lt=F("amount"), expires_at__isnull=False),
                name="lot_that_ends",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount - self.taken} of {self.amount}"

    @property
    def left(self) -> int:
        return self.amount - self.taken
