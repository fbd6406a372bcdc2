"""The forms that ask for money to be given back: how much, for what, where to, and why."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Item
from web.payments.models import Order, OrderLine, Refund
from web.payments.money import Money, MoneyError
from web.payments.operations.refund_shares import Items, Part, Percent, Share, Whole
from web.payments.operations.refunds import LONGEST_REASON

# Days for which there is a midnight in every time zone: the calendar's first and last day have none.
A_DAY = (MinValueValidator(datetime.date(1900, 1, 1)), MaxValueValidator(datetime.date(9000, 1, 1)))


def reason_field() -> forms.CharField:
    """Describe why money is given back: always said, and kept in the history."""
    return forms.CharField(
        label=_("Reason"),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Kept in the history; the customer does not see it."),
    )


class RefundForm(forms.Form):
    """A refund of an order: all that is left, an amount, a percentage, or items."""

    WHOLE, AMOUNT, PERCENT, ITEMS = "whole", "amount", "percent", "items"

    how = forms.ChoiceField(label=_("How much"), widget=forms.RadioSelect)
    amount = forms.CharField(
        label=_("Amount"),
        max_length=20,
        required=False,
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )
    percent = forms.DecimalField(
        label=_("Percent of what was paid"),
        min_value=Decimal("0.01"),
        max_value=Decimal(100),
        max_digits=5,
        decimal_places=2,
        required=False,
    )
    destination = forms.ChoiceField(label=_("Where to"), widget=forms.RadioSelect)
    units = forms.IntegerField(
        label=_("Service credits"), min_value=1, max_value=1000, required=False,
        help_text=_("How many, where they are given instead of money."),
    )  # fmt: skip
    reason = reason_field()

    def __init__(self, *args: Any, order: Order, left: Money, left_shown: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.left = left
        self.lines: list[OrderLine] = list(order.lines.all())
        choices: list[tuple[str, Any]] = [
            (self.WHOLE, _("All that is left: %(left)s") % {"left": left_shown}),
            (self.AMOUNT, _("An amount")),
            (self.PERCENT, _("A percentage")),
        ]
        for line in self.lines:
            rest = line.quantity - line.refunded_quantity
            self.fields[f"line_{line.id}"] = forms.IntegerField(
                label=line.description,
                min_value=0,
                max_value=rest,
                required=False,
                initial=0,
                disabled=not rest,
            )
        if any(line.quantity > line.refunded_quantity for line in self.lines):
            choices.append((self.ITEMS, _("Items, with their share of taxes and discount")))
        self._field("how").choices = choices
        places = [Refund.Destination.METHOD]
        if order.customer_id is not None:  # only a customer with an account has a balance
            places += [Refund.Destination.BALANCE, Refund.Destination.CREDITS]
        self._field("destination").choices = [(place.value, place.label) for place in places]
        self.initial.setdefault("how", self.WHOLE)
        self.initial.setdefault("destination", Refund.Destination.METHOD.value)

    def _field(self, name: str) -> forms.ChoiceField:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        return field

    @property
    def line_fields(self) -> list[tuple[OrderLine, forms.BoundField]]:
        """Each line of the order with the field that says how many of it are given back."""
        return [(line, self[f"line_{line.id}"]) for line in self.lines]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        how = cleaned.get("how")
        if how == self.AMOUNT:
            try:
                cleaned["money"] = Money.parse(cleaned.get("amount") or "", self.left.currency)
            except MoneyError:
                self.add_error("amount", _("Enter an amount such as 12.50."))
        elif how == self.PERCENT and not cleaned.get("percent") and "percent" not in self.errors:
            self.add_error("percent", _("Enter a percentage from 0.01 to 100."))
        if cleaned.get("destination") == Refund.Destination.CREDITS and not cleaned.get("units"):
            self.add_error("units", _("Say how many service credits are given."))
        if how == self.ITEMS and not any(cleaned.get(f"line_{line.id}") for line in self.lines):
            self.add_error("how", _("Say how many of which item."))
        return cleaned

    @property
    def share(self) -> Share:
        """What was asked for; the form is valid."""
        cleaned = self.cleaned_data
        if cleaned["how"] == self.AMOUNT:
            return Part(cleaned["money"])
        if cleaned["how"] == self.PERCENT:
            return Percent(cleaned["percent"])
        if cleaned["how"] == self.ITEMS:
            return Items({line.id: cleaned.get(f"line_{line.id}") or 0 for line in self.lines})
        return Whole()


class BulkForm(forms.Form):
    """A refund of one item to everybody who bought it."""

    item: forms.ModelChoiceField[Item] = forms.ModelChoiceField(queryset=Item.objects.none(), label=_("Item"))
    since = forms.DateField(
        label=_("Bought from"),
        required=False,
        validators=A_DAY,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    until = forms.DateField(
        label=_("Bought until"),
        required=False,
        validators=A_DAY,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason = reason_field()

    def __init__(self, *args: Any, business: Business, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["item"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Item.objects.filter(business=business).order_by("name", "id")

    @property
    def period(self) -> dict[str, datetime.datetime | None]:
        """The days as times in the business's zone, the last day included; the form is valid."""
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        return {
            "since": _midnight(since) if since else None,
            "until": _midnight(until + datetime.timedelta(days=1)) if until else None,
        }


def _midnight(day: datetime.date) -> datetime.datetime:
    return timezone.make_aware(datetime.datetime.combine(day, datetime.time.min))
