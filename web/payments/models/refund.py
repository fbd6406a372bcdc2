"""Money given back. The row reserves its amount on the payment before anything is sent."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Item, Profile
from web.payments.models.base import currency_field, is_lower_case_currency, minor_field
from web.payments.models.order import Order, OrderLine
from web.payments.models.payment import Payment
from web.payments.money import Money
from web.payments.states import REFUND_OPEN, REFUND_UNDER_WAY, RefundState


class BulkRefund(models.Model):
    """One decision for many orders: all that sold an item, such as a class that does not take place.

    A job asks for one order after the other. Whatever dies, asking again finds what was asked for already: each
    order's form token is derived from this row's id, and only lines of the item are given back.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="bulk_refunds")
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="+")
    item_name = models.CharField(max_length=200)  # as it was called then
    reason = models.CharField(max_length=500)
    form_token = models.CharField(max_length=64)
    created_by = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)  # every order was asked for, or refused

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["business", "form_token"], name="a_form_makes_one_bulk_refund")
        ]

    def __str__(self) -> str:
        return str(self.public_id)


class BulkRefundOrder(models.Model):
    """An order of a bulk refund, and how far it is: written when the decision is made, so that progress is exact."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        ASKED = "asked", _("Asked for")
        REFUSED = "refused", _("Refused")  # `code` says why; resuming asks again

    bulk = models.ForeignKey(BulkRefund, on_delete=models.PROTECT, related_name="orders")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    code = models.CharField(max_length=60, blank=True)  # of the refusal
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["bulk", "order"], name="a_bulk_refund_names_an_order_once")
        ]
        indexes = [
            models.Index(fields=["bulk", "id"], condition=Q(state="waiting"), name="bulk_refund_waiting")
        ]

    def __str__(self) -> str:
        return f"{self.bulk_id} {self.order_id}"


class Refund(models.Model):
    """A refund, whole or in part, of one payment. Never deleted (a trigger refuses)."""

    MACHINE = "refund"

    class Destination(models.TextChoices):
        METHOD = "method", _("To the original method")
        BALANCE = "balance", _("To the customer's balance")
        CREDITS = "credits", _("As service credits")

    class Origin(models.TextChoices):
        PAYDESK = "paydesk", _("Asked for here")
        STRIPE = "stripe", _("Made at Stripe")

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="refunds")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds")
    bulk = models.ForeignKey(BulkRefund, on_delete=models.PROTECT, null=True, related_name="refunds")
    origin = models.CharField(max_length=8, choices=Origin, default=Origin.PAYDESK, db_default=Origin.PAYDESK)
    amount_minor = minor_field()
    currency = currency_field()
    destination = models.CharField(max_length=10, choices=Destination, default=Destination.METHOD)
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=12, choices=RefundState, default=RefundState.REQUESTED)
    state_changed_at = models.DateTimeField()
    stripe_refund_id = models.CharField(max_length=64, null=True)
    failure_code = models.CharField(max_length=60, blank=True)
    form_token = models.CharField(max_length=64)  # of the form that asked; a repeat finds this refund
    next_check_at = models.DateTimeField(null=True)  # when a sweep takes it further; null once final
    checks = models.PositiveSmallIntegerField(default=0, db_default=0)
    created_by = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        constraints = [
            is_lower_case_currency("a_refund_has_a_lower_case_currency"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="a_refund_gives_something_back"),
            models.CheckConstraint(condition=~Q(reason=""), name="a_refund_has_a_reason"),
            models.CheckConstraint(
                condition=Q(next_check_at__isnull=True) | Q(state__in=sorted(REFUND_OPEN)),
                name="a_final_refund_waits_for_nothing",
            ),
            models.CheckConstraint(
                condition=~Q(origin="stripe") | Q(stripe_refund_id__isnull=False),
                name="a_refund_made_at_stripe_has_its_id",
            ),
            models.UniqueConstraint(
                fields=["payment"],
                condition=Q(state__in=sorted(REFUND_UNDER_WAY)),
                name="a_payment_has_one_refund_under_way",
            ),
            # One for each payment of the sale: an order that was paid in two ways is given back in two ways.
            models.UniqueConstraint(
                fields=["business", "form_token", "payment"], name="a_form_makes_one_refund"
            ),
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
            models.Index(
                fields=["next_check_at"],
                condition=Q(next_check_at__isnull=False),
                name="refund_due_for_a_check",
            ),
            models.Index(
                fields=["state_changed_at"],
                condition=Q(state__in=sorted(REFUND_UNDER_WAY)),
                name="refund_ours_to_move",
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class RefundLine(models.Model):
    """Which line of the order a refund is for: so many of it, with their share of discount and taxes.

    Where an order was paid in several ways, a line may be given back partly in each: the first has the quantity.
    """

    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, related_name="lines")
    order_line = models.ForeignKey(OrderLine, on_delete=models.PROTECT, related_name="refund_lines")
    quantity = models.PositiveSmallIntegerField()
    amount_minor = minor_field()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["refund", "order_line"], name="a_refund_names_a_line_once"),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=0) & (Q(quantity__gt=0) | Q(amount_minor__gt=0)),
                name="a_refund_line_gives_something_back",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of line {self.order_line_id}"
