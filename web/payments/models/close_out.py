"""The end of a shift: what should be in the drawer, what was counted, and what the cards came to."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q

from web.core.models import Business, Location, Profile
from web.payments.models.base import currency_field, is_lower_case_currency, minor_field
from web.payments.models.payment import Payment
from web.payments.models.reader import Reader
from web.payments.models.refund import Refund


class CloseOut(models.Model):
    """A count of the cash, signed once. A trigger refuses every change: a mistake is told by the next one.

    It takes in the payments and refunds of its location (of one member of staff, or of one reader, where it is
    theirs) that no earlier close-out took in: each is closed out once, however many drawers there are.
    """

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="close_outs")
    location = models.ForeignKey(Location, on_delete=models.PROTECT, related_name="close_outs")
    staff = models.ForeignKey(Profile, on_delete=models.PROTECT, null=True, related_name="close_outs")
    reader = models.ForeignKey(Reader, on_delete=models.PROTECT, null=True, related_name="close_outs")
    currency = currency_field()
    since = models.DateTimeField()  # nothing older was looked at
    closed_at = models.DateTimeField()
    closed_by = models.ForeignKey(Profile, on_delete=models.PROTECT, related_name="+")

    float_minor = minor_field()  # what lay in the drawer before the first sale
    cash_sales_minor = minor_field()
    cash_refunds_minor = minor_field()
    expected_minor = minor_field()
    counted_minor = minor_field()
    difference_minor = minor_field()
    card_sales_minor = minor_field()
    card_refunds_minor = minor_field()
    # Stripe's own sum of those card payments that it had already booked, and how many they were.
    card_booked_minor = minor_field()
    card_booked_ours_minor = minor_field()  # the same payments' sum with us: a difference is Stripe's or ours
    card_count = models.PositiveIntegerField()
    card_booked_count = models.PositiveIntegerField()
    totals = models.JSONField()  # by method, member of staff and reader, for the printed page
    note = models.CharField(max_length=500, blank=True)
    form_token = models.CharField(max_length=64)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["business", "form_token"], name="a_form_closes_one_shift"),
            is_lower_case_currency("a_close_out_has_a_lower_case_currency"),
            models.CheckConstraint(
                condition=Q(expected_minor=F("float_minor") + F("cash_sales_minor") - F("cash_refunds_minor"))
                & Q(difference_minor=F("counted_minor") - F("expected_minor")),
                name="a_close_out_adds_up",
            ),
            models.CheckConstraint(
                condition=Q(float_minor__gte=0, counted_minor__gte=0), name="a_drawer_holds_no_negative_cash"
            ),
            models.CheckConstraint(
                condition=Q(difference_minor=0) | ~Q(note=""), name="a_difference_is_explained"
            ),
        ]
        indexes = [models.Index(fields=["location", "-closed_at"], name="close_out_newest_first")]

    def __str__(self) -> str:
        return f"close-out {self.public_id}"


class CloseOutLine(models.Model):
    """A payment or a refund that a close-out took in."""

    close_out = models.ForeignKey(CloseOut, on_delete=models.PROTECT, related_name="lines")
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="+")
    refund = models.ForeignKey(Refund, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["payment"], name="a_payment_is_closed_out_once"),
            models.UniqueConstraint(fields=["refund"], name="a_refund_is_closed_out_once"),
            models.CheckConstraint(
                condition=Q(payment__isnull=False, refund__isnull=True)
                | Q(payment__isnull=True, refund__isnull=False),
                name="a_close_out_line_is_of_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return f"line of {self.close_out_id}"
