"""The search box and the filters of /purchases/: what an address says, and how a person sees it."""

from __future__ import annotations

import datetime
import zoneinfo
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, ItemType
from web.payments.models import Method
from web.payments.queries.finding import LONGEST_SEARCH, Choices, Filters, Status

STATUSES = (
    (Status.PAID, _("Paid")),
    (Status.PARTLY_REFUNDED, _("Partly refunded")),
    (Status.REFUNDED, _("Refunded")),
    (Status.DISPUTED, _("Disputed")),
)


class PurchaseFilters(forms.Form):
    """A form that is sent by GET: its address can be kept, sent on, and exported."""

    q = forms.CharField(label=_("Search"), required=False, max_length=LONGEST_SEARCH)
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label=_("Until"), required=False, widget=forms.DateInput(attrs={"type": "date"}))
    type = forms.ChoiceField(label=_("Type"), required=False)
    method = forms.ChoiceField(label=_("Method"), required=False)
    status = forms.ChoiceField(label=_("Status"), required=False)
    staff = forms.ChoiceField(label=_("Sold by"), required=False)
    location = forms.ChoiceField(label=_("Location"), required=False)
    reader = forms.ChoiceField(label=_("Card reader"), required=False)

    def __init__(self, data: QueryDict, choices: Choices, **kwargs: Any) -> None:
        super().__init__(data, auto_id="filter-%s", **kwargs)
        nothing = [("", _("All"))]
        self._offer("type", [*nothing, *ItemType.choices])
        self._offer("method", [*nothing, *Method.choices])
        self._offer("status", [*nothing, *STATUSES])
        self._offer("staff", [*nothing, *((str(person.id), person.name) for person in choices.staff)])
        self._offer("location", [*nothing, *((str(place.id), place.name) for place in choices.locations)])
        if choices.readers:
            self._offer("reader", [*nothing, *((str(one.id), one.label) for one in choices.readers)])
        else:
            del self.fields["reader"]

    def _offer(self, name: str, choices: list[Any]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    def clean(self) -> dict[str, Any]:
        """Refuse a period that ends before it begins."""
        cleaned = super().clean() or self.cleaned_data
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error("until", _("This is before the first day."))
        return cleaned

    def filters(self, business: Business) -> Filters:
        """Return what was asked for; days are the business's own. What was refused narrows nothing."""
        self.is_valid()
        given = self.cleaned_data
        since, until = given.get("since"), given.get("until")
        return Filters(
            text=given.get("q", ""),
            since=_midnight(business, since) if since else None,
            before=_midnight(business, until, days=1) if until else None,
            item_type=given.get("type", ""),
            method=given.get("method", ""),
            status=given.get("status", ""),
            staff_id=int(given["staff"]) if given.get("staff") else None,
            location_id=int(given["location"]) if given.get("location") else None,
            reader_id=int(given["reader"]) if given.get("reader") else None,
        )

    @property
    def narrowing(self) -> bool:
        """Say whether a filter beside the search box is set: the disclosure is then open."""
        return any(self.data.get(name) for name in self.fields if name != "q")


def _midnight(business: Business, day: datetime.date, days: int = 0) -> datetime.datetime | None:
    """Return when a day begins for the business; None for a day beyond the calendar."""
    try:
        moved = day + datetime.timedelta(days=days)
        midnight = datetime.datetime.combine(
            moved, datetime.time.min, tzinfo=zoneinfo.ZoneInfo(business.time_zone)
        )
        return midnight.astimezone(datetime.UTC)
    except OverflowError:
        return None
