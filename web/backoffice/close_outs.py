"""/close-out/: count the drawer, see what it should hold and what the cards came to, sign, print."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import get_random_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from web.backoffice import csv_files
from web.core.groups import Group
from web.core.models import Location, Profile
from web.core.tenancy import MemberRequest, get_for_business_or_404, staff_required
from web.payments.errors import Refusal
from web.payments.models import CloseOut, Method, Reader
from web.payments.money import Money, MoneyError, exponent
from web.payments.operations import close_outs as operations
from web.payments.queries import close_outs, finding
from web.payments.templatetags.money import typed

GROUPS = (Group.PURCHASES, Group.STORE)
METHODS = dict(Method.choices)


class CountForm(forms.Form):
    """What was counted. The amount that the page showed goes along: a sale in between must be seen first."""

    opening_float = forms.CharField(label=gettext_lazy("In the drawer before the first sale"), max_length=20)
    counted = forms.CharField(label=gettext_lazy("Counted now, all of it"), max_length=20)
    note = forms.CharField(
        label=gettext_lazy("Note"),
        required=False,
        max_length=500,
        help_text=gettext_lazy(
            "Needed when the drawer holds more or less than it should. It cannot be changed: name no customer."
        ),
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    shown = forms.CharField(widget=forms.HiddenInput, max_length=20)
    form_token = forms.CharField(widget=forms.HiddenInput, max_length=64, min_length=16)

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency
        for name in ("opening_float", "counted"):
            mode = "decimal" if exponent(currency) else "numeric"
            self.fields[name].widget.attrs |= {"inputmode": mode, "autocomplete": "off"}

    def _money(self, name: str) -> Money:
        try:
            return Money.parse(self.cleaned_data[name], self.currency)
        except MoneyError as error:
            raise forms.ValidationError(_("Write an amount such as 120.50.")) from error

    def clean_opening_float(self) -> Money:
        return self._money("opening_float")

    def clean_counted(self) -> Money:
        return self._money("counted")

    def clean_shown(self) -> Money:
        return self._money("shown")


def _scope(request: HttpRequest) -> tuple[Location, Profile | None, Reader | None]:
    """Read whose drawer it is; 404 for what is not of this business."""
    asking: Any = request
    given = request.POST if request.method == "POST" else request.GET
    places = Location.objects.filter(business=asking.business).order_by("id")
    chosen = given.get("location", "")
    if chosen:
        place = get_for_business_or_404(Location, asking.business, pk=chosen)
    else:
        home = asking.profile.default_location
        first = home if home is not None and home.business_id == asking.business.id else places.first()
        if first is None:
            raise Http404
        place = first
    staff = given.get("staff", "")
    person = (
        get_for_business_or_404(Profile, asking.business, pk=staff, role=Profile.Role.STAFF)
        if staff
        else None
    )
    reader = given.get("reader", "")
    machine = get_for_business_or_404(Reader, asking.business, pk=reader) if reader else None
    return place, person, machine


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required(*GROUPS)
def close_out_page(request: MemberRequest) -> HttpResponse:
    """Show what a drawer should hold, and close it when it is counted."""
    location, staff, reader = _scope(request)
    refusal: Refusal | None = None
    if request.method == "POST":
        form = CountForm(request.POST, currency=location.currency)
        if form.is_valid():
            given = form.cleaned_data
            try:
                made = operations.close(
                    business=request.business,
                    location=location,
                    staff=staff,
                    reader_id=reader.id if reader else None,
                    opening_float=given["opening_float"],
                    counted=given["counted"],
                    shown=given["shown"],
                    note=given["note"],
                    form_token=given["form_token"],
                    closed_by=request.profile,
                    now=timezone.now(),
                )
            except Refusal as error:
                refusal = error
            else:
                return redirect("payment:close_out", made.public_id)
    taken = close_outs.takings(
        location,
        staff_id=staff.id if staff else None,
        reader_id=reader.id if reader else None,
        now=timezone.now(),
    )
    if request.method != "POST":
        form = CountForm(
            currency=location.currency,
            initial={
                "opening_float": typed(close_outs.usual_float(location)),
                "form_token": get_random_string(32),
            },
        )
    offered = finding.choices(request.business)
    context = {
        "form": form,
        "refusal": refusal,
        "shown": typed(taken.cash),
        "taken": taken,
        "shares": shares_of(taken.shares, taken.names, location.currency, _reader_names(request.business.id)),
        "location": location,
        "staff": staff,
        "reader": reader,
        "choices": offered,
        "readers": list(Reader.objects.filter(business=request.business).order_by("label", "id")[:200]),
        "newest": close_outs.newest(request.business),
    }
    is_bad = refusal is not None or form.is_bound
    response = render(request, "backoffice/close_outs.html", context, status=422 if is_bad else 200)
    response["Cache-Control"] = "private, no-store"
    return response


@require_safe
@staff_required(*GROUPS)
def close_out(request: MemberRequest, public_id: uuid.UUID) -> HttpResponse:
    """Show one close-out, to be printed and signed."""
    found = close_outs.one(request.business, public_id)
    if found is None:
        raise Http404
    names = close_outs.names({row["staff"] for row in found.totals if row["staff"] is not None})
    shares = [
        close_outs.Share(
            row["method"],
            row["staff"],
            row["reader"],
            row["count"],
            Money(row["sales"], found.currency),
            Money(row["refunds"], found.currency),
        )
        for row in found.totals
    ]
    context = {
        "one": found,
        "shares": shares_of(shares, names, found.currency, _reader_names(request.business.id)),
        "card_difference": Money(found.card_booked_minor - found.card_booked_ours_minor, found.currency),
    }
    return render(request, "backoffice/close_out.html", context)


@require_safe
@staff_required(*GROUPS)
def export(request: MemberRequest) -> StreamingHttpResponse:
    """Send every close-out of the business as CSV, newest first."""
    header = [
        _("Closed"), _("Location"), _("Drawer of"), _("Reader"), _("Closed by"), _("Currency"), _("Float"),
        _("Cash sales"), _("Cash refunds"), _("Expected"), _("Counted"), _("Difference"), _("Card sales"),
        _("Card refunds"), _("Note"),
    ]  # fmt: skip
    name = f"close-outs-{timezone.localdate():%Y-%m-%d}"
    return csv_files.response(name, header, _rows(request.business.id))


def _rows(business_id: int) -> Iterator[list[csv_files.Cell]]:
    zone = timezone.get_current_timezone()
    rows = CloseOut.objects.filter(business_id=business_id).select_related(
        "location", "staff", "closed_by", "reader"
    )
    last: int | None = None
    while True:
        batch = list((rows if last is None else rows.filter(id__lt=last)).order_by("-id")[:200])
        for one in batch:

            def amount(minor: int, currency: str = one.currency) -> csv_files.Cell:
                return Money(minor, currency).major()

            yield [
                f"{one.closed_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
                one.location.name,
                one.staff.name if one.staff else "",
                one.reader.label if one.reader else "",
                one.closed_by.name,
                one.currency.upper(),
                amount(one.float_minor),
                amount(one.cash_sales_minor),
                amount(-one.cash_refunds_minor),
                amount(one.expected_minor),
                amount(one.counted_minor),
                amount(one.difference_minor),
                amount(one.card_sales_minor),
                amount(-one.card_refunds_minor),
                one.note,
            ]
        if len(batch) < 200:
            return
        last = batch[-1].id


def shares_of(
    shares: Any, names: dict[int, str], currency: str, readers: dict[int, str]
) -> list[dict[str, object]]:
    """Return the shares with words for people: by method, then by person and reader."""
    return [
        {
            "method": METHODS.get(share.method, share.method),
            "staff": names.get(share.staff_id, "") if share.staff_id else "",
            "reader": readers.get(share.reader_id, "") if share.reader_id else "",
            "share": share,
        }
        for share in shares
    ]


def _reader_names(business_id: int) -> dict[int, str]:
    return dict(Reader.objects.filter(business_id=business_id).values_list("id", "label"))


def page_url(location_id: int) -> str:
    """Return the address of a location's drawer."""
    return f"{reverse('payment:close_outs')}?location={location_id}"
