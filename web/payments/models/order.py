"""What was bought and paid: a snapshot that later changes of items, taxes or people do not touch."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.models import F, Q

from web.core.models import Business, Item, ItemType, Location, Profile
from web.payments.models.base import currency_field, is_lower_case_currency, minor_field, new_token

_NUMBER_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # nothing that is read or heard for something else


def new_order_number() -> str:
    """Return a number that people can read aloud: 30**8 of them, unique within the business."""
    letters = "".join(secrets.choice(_NUMBER_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


class Order(models.Model):
    """Made from a cart only once its payment is complete; never deleted (a trigger refuses)."""

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="orders")
    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="orders")
    number = models.CharField(max_length=9, default=new_order_number)
    cart_reference = models.UUIDField()
    token = models.CharField(
        max_length=40, default=new_token, unique=True
    )  # the cart's: its address keeps working
    customer = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="orders")
    customer_name = models.CharField(max_length=200, blank=True)
    customer_email = models.EmailField(blank=True)
    language = models.CharField(max_length=5, default="en")
    created_by = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="+")

    currency = currency_field()
    subtotal_minor = minor_field()
    discount_minor = minor_field()
    discount_reason = models.CharField(max_length=200, blank=True, db_default="")
    sales_tax_name = models.CharField(max_length=60, blank=True)
    sales_tax_rate = models.DecimalField(max_digits=7, decimal_places=4, default=0)
    sales_tax_minor = minor_field()
    additional_tax_name = models.CharField(max_length=60, blank=True)
    additional_tax_rate = models.DecimalField(max_digits=7, decimal_places=4, default=0)
    additional_tax_minor = minor_field()
    tip_minor = minor_field()
    total_minor = minor_field()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cart_reference"], name="a_cart_becomes_one_order"),
            models.UniqueConstraint(fields=["business", "number"], name="an_order_number_is_used_once"),
            is_lower_case_currency("an_order_has_a_lower_case_currency"),
            models.CheckConstraint(
                condition=Q(
                    total_minor=F("subtotal_minor")
                    - F("discount_minor")
                    + F("sales_tax_minor")
                    + F("additional_tax_minor")
                    + F("tip_minor")
                ),
                name="an_order_adds_up",
            ),
            models.CheckConstraint(condition=Q(total_minor__gte=0), name="an_order_has_no_negative_total"),
        ]
        indexes = [
            models.Index(fields=["business", "-created_at", "-id"], name="order_newest_first"),
            models.Index(fields=["customer", "-created_at"], name="order_of_customer"),
            # Names and addresses are searched by `order_words`, an index on an expression (migration 0007).
            models.Index(fields=["business", "total_minor", "-created_at"], name="order_of_amount"),
        ]

    def __str__(self) -> str:
        return self.number


class OrderLine(models.Model):
    """A line as it was sold."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="lines")
    item = models.ForeignKey(Item, on_delete=models.SET_NULL, null=True, related_name="+")
    item_type = models.CharField(max_length=24, choices=ItemType)
    description = models.CharField(max_length=200)
    unit_price_minor = minor_field()
    quantity = models.PositiveSmallIntegerField()
    amount_minor = minor_field()
    discount_minor = minor_field()
    sales_tax_minor = minor_field()
    additional_tax_minor = minor_field()
    # What refunds by item have reserved of this line, under its sale's lock (a failed one gives it back).
    refunded_quantity = models.PositiveSmallIntegerField(default=0, db_default=0)
    refunded_minor = minor_field(default=0, db_default=0)
    # What one piece gave its buyer: stored money, service credits, and for how many days.
    gives_minor = minor_field(default=0, db_default=0)
    gives_credits = models.PositiveIntegerField(default=0, db_default=0)
    gives_days = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_minor=F("unit_price_minor") * F("quantity")), name="an_order_line_adds_up"
            ),
            models.CheckConstraint(
                condition=Q(refunded_quantity__lte=F("quantity"))
                & Q(refunded_minor__gte=0)
                & Q(
                    refunded_minor__lte=F("amount_minor")
                    - F("discount_minor")
                    + F("sales_tax_minor")
                    + F("additional_tax_minor")
                ),
                name="no_more_of_a_line_is_given_back_than_was_sold",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.description}"

    @property
    def total_minor(self) -> int:
        """What the line cost with its share of discount and taxes."""
        return self.amount_minor - self.discount_minor + self.sales_tax_minor + self.additional_tax_minor


class Receipt(models.Model):
    """The receipt of an order: rendered once, kept as it was, sent by mail where there is an address."""

    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="receipt")
    language = models.CharField(max_length=5)
    subject = models.CharField(max_length=200)
    html = models.TextField()
    text = models.TextField()
    rendered_at = models.DateTimeField()
    sent_to = models.EmailField(blank=True)
    sent_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"receipt of {self.order_id}"
