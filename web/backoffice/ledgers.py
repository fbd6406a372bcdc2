"""/credit-balance/ and /credit-services/: what customers have stored, how it came about, and changing it by hand.

Two pages of one kind: the ledger is all that differs. Looking needs the right to see customers, changing a right
of its own.
"""

from __future__ import annotations

import datetime
import secrets

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from web.backoffice.refund_forms import A_DAY
from web.core import errors
from web.core.groups import Group
from web.core.models import Profile
from web.core.tenancy import MemberRequest, may, staff_required
from web.payments.errors import Refusal
from web.payments.models import Ledger
from web.payments.money import Money, MoneyError
from web.payments.operations import ledgers as operations
from web.payments.queries import customers, ledgers

SEES = (Group.CUSTOMERS, Group.CREDITS)
PAGES = {Ledger.MONEY: "payment:credit_balance", Ledger.CREDITS: "payment:credit_services"}
WRONG = 422


class AdjustForm(forms.Form):
    """A change by hand: how much, with a sign, why, and for how long what is added can be used."""

    amount = forms.CharField(
        label=gettext_lazy("Change"),
        max_length=20,
        help_text=gettext_lazy("With a minus sign to take something away."),
        widget=forms.TextInput(attrs={"inputmode": "text", "autocomplete": "off"}),
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=operations.LONGEST_REASON)
    last_day = forms.DateField(
        label=gettext_lazy("Can be used until"),
        required=False,
        validators=A_DAY,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=gettext_lazy("Empty: for ever."),
    )
    form_token = forms.RegexField(r"^[A-Za-z0-9_-]{16,64}$", widget=forms.HiddenInput)

    def __init__(self, *args: object, ledger: Ledger, currency: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.ledger, self.currency = ledger, currency

    def clean_amount(self) -> Money | int:
        """Return money of the business's currency, or whole credits."""
        text = self.cleaned_data["amount"].strip().removeprefix("+").replace("−", "-")  # noqa: RUF001
        if self.ledger == Ledger.MONEY:
            try:
                return Money.parse(text, self.currency)
            except MoneyError as error:
                raise forms.ValidationError(_("This is not an amount.")) from error
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
            raise forms.ValidationError(_("Service credits are whole numbers."))
        return int(text)

    def clean_last_day(self) -> datetime.date | None:
        """Refuse a day that has passed."""
        day: datetime.date | None = self.cleaned_data["last_day"]
        if day is not None and day < timezone.localdate():
            raise forms.ValidationError(_("This day has passed."))
        return day


def _list(request: MemberRequest, ledger: Ledger) -> HttpResponse:
    """Find a customer; without a search, show who has most, and what guests bought that waits for its owner."""
    text = request.GET.get("q", "")[:200].replace("\x00", "").strip()
    context = {
        "ledger": ledger,
        "is_money": ledger == Ledger.MONEY,
        "page": PAGES[ledger],
        "q": text,
        "found": customers.find(request.business, text) if text else [],
        "largest": [] if text else ledgers.largest(request.business, ledger),
        "unclaimed": ledgers.unclaimed(request.business, ledger),
    }
    response = render(request, "backoffice/ledgers.html", context)
    response["Cache-Control"] = "private, no-store"
    return response


def _one(request: MemberRequest, ledger: Ledger, customer_id: int) -> HttpResponse:
    """Show one customer's ledger; a POST changes it or gives them what a guest bought."""
    customer = ledgers.customer(request.business, customer_id)
    if customer is None:
        raise Http404
    currency = request.business.currency
    form = AdjustForm(ledger=ledger, currency=currency, initial={"form_token": secrets.token_urlsafe(24)})
    if request.method == "POST":
        if not may(request, Group.CREDITS):
            return errors.forbidden(request)
        if "claim" in request.POST:
            return _claim(request, ledger, customer)
        form = AdjustForm(request.POST, ledger=ledger, currency=currency)
        if form.is_valid() and _adjusted(request, customer, form):
            messages.success(request, _("The change is written down."))
            return redirect(f"{PAGES[ledger]}_of", customer_id=customer.id)
    return _page(request, ledger, customer, form)


def _adjusted(request: MemberRequest, customer: Profile, form: AdjustForm) -> bool:
    day = form.cleaned_data["last_day"]
    ends = None
    if day is not None:  # to the end of that day, where the business is
        after = day + datetime.timedelta(days=1)
        ends = timezone.make_aware(datetime.datetime.combine(after, datetime.time()))
    try:
        operations.adjust(
            business=request.business,
            customer_id=customer.id,
            change=form.cleaned_data["amount"],
            reason=form.cleaned_data["reason"],
            form_token=form.cleaned_data["form_token"],
            now=timezone.now(),
            staff=request.profile,
            expires_at=ends,
        )
    except Refusal as refusal:
        form.add_error(None, f"{refusal.message} {refusal.next_step}")
        return False
    return True


def _claim(request: MemberRequest, ledger: Ledger, customer: Profile) -> HttpResponse:
    line = request.POST["claim"]
    if not (line.isascii() and line.isdecimal() and len(line) < 19):
        raise Http404
    try:
        operations.claim(
            business=request.business,
            line_id=int(line),
            customer_id=customer.id,
            now=timezone.now(),
            staff=request.profile,
        )
    except Refusal as refusal:
        messages.error(request, f"{refusal.message} {refusal.next_step}")
    else:
        messages.success(request, _("The customer has it now."))
    return redirect(f"{PAGES[ledger]}_of", customer_id=customer.id)


def _page(request: MemberRequest, ledger: Ledger, customer: Profile, form: AdjustForm) -> HttpResponse:
    context = {
        "ledger": ledger,
        "is_money": ledger == Ledger.MONEY,
        "page": PAGES[ledger],
        "customer": customer,
        "account": ledgers.account(request.business, customer, ledger, now=timezone.now()),
        "unclaimed": ledgers.unclaimed(request.business, ledger),
        "form": form,
        "may_change": may(request, Group.CREDITS),
    }
    response = render(request, "backoffice/ledger.html", context, status=WRONG if form.errors else 200)
    response["Cache-Control"] = "private, no-store"
    return response


@require_http_methods(["GET", "HEAD"])
@staff_required(*SEES)
def balances(request: MemberRequest) -> HttpResponse:
    """Show who has money stored."""
    return _list(request, Ledger.MONEY)


@require_http_methods(["GET", "HEAD"])
@staff_required(*SEES)
def services(request: MemberRequest) -> HttpResponse:
    """Show who has service credits."""
    return _list(request, Ledger.CREDITS)


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required(*SEES)
def balance_of(request: MemberRequest, customer_id: int) -> HttpResponse:
    """Show and change one customer's stored money."""
    return _one(request, Ledger.MONEY, customer_id)


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required(*SEES)
def services_of(request: MemberRequest, customer_id: int) -> HttpResponse:
    """Show and change one customer's service credits."""
    return _one(request, Ledger.CREDITS, customer_id)
