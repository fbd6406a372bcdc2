"""What a customer is buying. A cart becomes an order once it is paid in full, and is then deleted."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from web.core.models import Business, Item, ItemType, Location, Profile
from web.payments.models.base import currency_field, is_lower_case_currency, minor_field, new_token
from web.payments.states import CartState

LARGEST_QUANTITY = 999


class Cart(models.Model):
    """Lines, a tip, and, once somebody wants to pay, the frozen total that payments must add up to."""

    MACHINE = "cart"

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="carts")
    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="carts")
    reference = models.UUIDField(
        default=uuid.uuid4, unique=True, editable=False
    )  # outlives the cart, on its order
    token = models.CharField(
        max_length=40, default=new_token, unique=True, editable=False
    )  # its secret address
    customer = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="carts")
    guest_name = models.CharField(max_length=200, blank=True)
    guest_email = models.EmailField(blank=True)
    language = models.CharField(max_length=5, default="en")
    created_by = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="+")

    currency = currency_field()
    state = models.CharField(max_length=10, choices=CartState, default=CartState.OPEN)
    state_changed_at = models.DateTimeField()
    tip_percent = models.PositiveSmallIntegerField(null=True)  # a preset, recomputed while lines change
    tip_minor = minor_field(default=0)
    discount_percent = models.DecimalField(max_digits=5, decimal_places=2, null=True)  # else an amount
    discount_minor = minor_field(default=0)
    discount_reason = models.CharField(max_length=200, blank=True)
    # What the customer's stored money and service credits shall pay: set aside when the rest is asked for.
    uses_balance = models.BooleanField(default=False)
    uses_credits = models.BooleanField(default=False)
    pays_on_arrival_at = models.DateTimeField(null=True)  # when the customer said that they pay at the desk
    frozen_total_minor = models.BigIntegerField(null=True)
    # The whole price as it was when frozen (pricing.Quote as JSON): later tax changes do not touch a sale.
    frozen_quote = models.JSONField(null=True)
    # Succeeded plus live payments: may never exceed the frozen total (the rule "one total").
    committed_minor = minor_field(default=0)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            is_lower_case_currency("a_cart_has_a_lower_case_currency"),
            models.CheckConstraint(
                condition=Q(committed_minor__gte=0)
                & (Q(committed_minor=0) | Q(committed_minor__lte=F("frozen_total_minor"))),
                name="payments_never_exceed_the_frozen_total",
            ),
            models.CheckConstraint(
                condition=Q(state="frozen", frozen_total_minor__isnull=False)
                | Q(state="open", frozen_total_minor__isnull=True, committed_minor=0),
                name="a_cart_is_frozen_with_its_total",
            ),
            models.CheckConstraint(
                condition=Q(tip_minor__gte=0) & Q(discount_minor__gte=0),
                name="a_cart_takes_no_negative_amounts",
            ),
            models.CheckConstraint(
                condition=Q(discount_percent__isnull=True)
                | Q(discount_percent__gt=0, discount_percent__lte=100, discount_minor=0),
                name="a_discount_is_a_percentage_or_an_amount",
            ),
            models.CheckConstraint(
                condition=Q(discount_percent__isnull=True, discount_minor=0) | ~Q(discount_reason=""),
                name="a_discount_has_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["business", "customer"], name="cart_of_customer"),
            models.Index(
                fields=["business", "pays_on_arrival_at"],
                condition=Q(pays_on_arrival_at__isnull=False),
                name="cart_paid_on_arrival",
            ),
        ]

    def __str__(self) -> str:
        return str(self.reference)


class CartLine(models.Model):
    """So many of an item, at the price that it had when it was put in."""

    cart = models.ForeignKey(Cart, on_delete=models.CASCADE, related_name="lines")
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="+")
    item_type = models.CharField(max_length=24, choices=ItemType)
    description = models.CharField(max_length=200)
    unit_price_minor = minor_field()
    quantity = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(LARGEST_QUANTITY)]
    )
    # The item's, when it was put in: what one piece gives its buyer, and how many credits pay for one.
    gives_minor = minor_field(default=0)
    gives_credits = models.PositiveIntegerField(default=0)
    gives_days = models.PositiveIntegerField(null=True)
    credit_price = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["cart", "item"], name="an_item_has_one_line_in_a_cart"),
            models.CheckConstraint(
                condition=Q(quantity__gte=1, quantity__lte=LARGEST_QUANTITY),
                name="a_line_has_a_sane_quantity",
            ),
            models.CheckConstraint(condition=Q(unit_price_minor__gte=0), name="a_line_has_no_negative_price"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.description}"

    @property
    def amount_minor(self) -> int:
        return self.unit_price_minor * self.quantity
