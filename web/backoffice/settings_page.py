"""/settings/: how the business takes payments. One small form per matter; what went wrong stands beside it."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from web.backoffice.forms import (
    ChargingForm,
    ErasureForm,
    FeesForm,
    GatewayForm,
    KeysForm,
    PolicyForm,
    ReceiptTextsForm,
    TaxesForm,
    TipsForm,
    WebhookSecretForm,
)
from web.core.groups import Group
from web.core.models import Location
from web.core.tenancy import MemberRequest, get_for_business_or_404, staff_required
from web.payments import history
from web.payments.errors import Refusal
from web.payments.models import StripeAccount
from web.payments.operations import accounts, business_settings, erasure
from web.payments.queries import audits, followed, sales


def _page(request: MemberRequest, **bound: forms.BaseForm) -> HttpResponse:
    """Draw the page; `bound` holds the form that was sent and refused, under its name."""
    settings = accounts.settings_of(request.business)
    shown = followed.accounts(request.business)
    places = sales.locations(request.business)
    context = {
        "settings": settings,
        "accounts": [(account, followed.account_check(request.business, account)) for account in shown],
        "is_checking": any(account.state == StripeAccount.State.UNVERIFIED for account in shown),
        "webhook_url": request.build_absolute_uri(
            reverse("payment:stripe-webhook", args=[settings.webhook_token])
        ),
        "webhook_secrets": followed.webhook_secrets(request.business, now=timezone.now()),
        "keys": bound.get("keys") or KeysForm(),
        "webhook": bound.get("webhook") or WebhookSecretForm(),
        "taxes": [
            (place, bound.get(f"taxes_{place.id}") or TaxesForm(instance=place, prefix=f"place{place.id}"))
            for place in places
        ],
        "tips": bound.get("tips")
        or TipsForm(initial={"tip_presets": ", ".join(str(percent) for percent in settings.tip_presets)}),
        "policy": bound.get("policy") or PolicyForm(instance=settings),
        "gateway": bound.get("gateway") or GatewayForm(instance=settings),
        "charging": bound.get("charging") or ChargingForm(instance=settings),
        "fees": bound.get("fees") or _fees_form(request),
        "receipts": bound.get("receipts") or ReceiptTextsForm(instance=settings),
        "erasing": bound.get("erasing") or ErasureForm(),
        "history": audits.newest(request.business),
    }
    response = render(request, "backoffice/settings.html", context, status=422 if bound else 200)
    response["Cache-Control"] = "private, no-store"
    return response


def _done(request: MemberRequest, message: str, section: str) -> HttpResponse:
    messages.success(request, message)
    return redirect(f"{reverse('payment:settings')}#{section}")


@require_safe
@staff_required(Group.SETTINGS)
def settings_page(request: MemberRequest) -> HttpResponse:
    """Show every setting as it is."""
    return _page(request)


@require_safe
@staff_required(Group.SETTINGS)
def account_state(request: MemberRequest) -> HttpResponse:
    """Draw the state of the Stripe accounts alone: the page asks again while a check is under way."""
    shown = followed.accounts(request.business)
    context = {
        "accounts": [(account, followed.account_check(request.business, account)) for account in shown],
        "is_checking": any(account.state == StripeAccount.State.UNVERIFIED for account in shown),
    }
    response = render(request, "backoffice/_accounts.html", context)
    response["Cache-Control"] = "private, no-store"
    return response


@require_POST
@staff_required(Group.SETTINGS)
def save_keys(request: MemberRequest) -> HttpResponse:
    """Store a pair of keys; a worker asks Stripe whose they are."""
    form = KeysForm(request.POST)
    if not form.is_valid():
        return _page(request, keys=form)
    try:
        business_settings.enter_keys(
            business=request.business, actor=_actor(request), now=timezone.now(), **form.cleaned_data
        )
    except Refusal as refusal:
        return _page(request, keys=_with_refusal(form, refusal))
    return _done(request, _("The keys are stored and being checked."), "stripe")


@require_POST
@staff_required(Group.SETTINGS)
def check_keys(request: MemberRequest) -> HttpResponse:
    """Have the keys of one account tried again."""
    account = get_for_business_or_404(StripeAccount, request.business, pk=request.POST.get("account", ""))
    business_settings.check_keys(account=account, actor=_actor(request), now=timezone.now())
    return _done(request, _("The keys are being checked."), "stripe")


@require_POST
@staff_required(Group.SETTINGS)
def add_webhook_secret(request: MemberRequest) -> HttpResponse:
    """Add a signing secret; the ones that are there stay valid for another day."""
    form = WebhookSecretForm(request.POST)
    if not form.is_valid():
        return _page(request, webhook=form)
    try:
        business_settings.add_webhook_secret(
            business=request.business, actor=_actor(request), now=timezone.now(), **form.cleaned_data
        )
    except Refusal as refusal:
        return _page(request, webhook=_with_refusal(form, refusal))
    return _done(request, _("The signing secret is stored."), "webhook")


@require_POST
@staff_required(Group.SETTINGS)
def save_taxes(request: MemberRequest, location_id: int) -> HttpResponse:
    """Save the taxes of one location. Sales under way keep the taxes that they were priced with."""
    place = get_for_business_or_404(Location, request.business, pk=location_id)
    form = TaxesForm(request.POST, instance=place, prefix=f"place{place.id}")
    if not form.is_valid():
        return _page(request, **{f"taxes_{place.id}": form})
    business_settings.change_taxes(
        location=place, fields=form.cleaned_data, actor=_actor(request), now=timezone.now()
    )
    return _done(request, _("The taxes of %(place)s are saved.") % {"place": place.name}, f"taxes-{place.id}")


@require_POST
@staff_required(Group.SETTINGS)
def save_tips(request: MemberRequest) -> HttpResponse:
    """Save the tip presets."""
    form = TipsForm(request.POST)
    if not form.is_valid():
        return _page(request, tips=form)
    _change(request, form)
    return _done(request, _("The tip presets are saved."), "tips")


@require_POST
@staff_required(Group.SETTINGS)
def save_policy(request: MemberRequest) -> HttpResponse:
    """Save the refund policy."""
    form = PolicyForm(request.POST, instance=accounts.settings_of(request.business))
    if not form.is_valid():
        return _page(request, policy=form)
    _change(request, form)
    return _done(request, _("The refund policy is saved."), "policy")


@require_POST
@staff_required(Group.SETTINGS)
def save_gateway(request: MemberRequest) -> HttpResponse:
    """Switch online payments on or off, and say who may pay."""
    form = GatewayForm(request.POST, instance=accounts.settings_of(request.business))
    if not form.is_valid():
        return _page(request, gateway=form)
    _change(request, form)
    return _done(request, _("Saved."), "gateway")


@require_POST
@staff_required(Group.SETTINGS)
def save_charging(request: MemberRequest) -> HttpResponse:
    """Save when cards are charged, and what stands on their statements."""
    form = ChargingForm(request.POST, instance=accounts.settings_of(request.business))
    if not form.is_valid():
        return _page(request, charging=form)
    _change(request, form)
    return _done(request, _("Saved."), "charging")


def _fees_form(request: MemberRequest, *args: object) -> FeesForm:
    settings = accounts.settings_of(request.business)
    return FeesForm(*args, settings=settings, items=sales.fee_items(request.business))


@require_POST
@staff_required(Group.SETTINGS)
def save_fees(request: MemberRequest) -> HttpResponse:
    """Save what the fees that staff charge to saved cards are sold as."""
    form = _fees_form(request, request.POST)
    if not form.is_valid():
        return _page(request, fees=form)
    _change(request, form)
    return _done(request, _("The fees are saved."), "fees")


@require_POST
@staff_required(Group.SETTINGS)
def save_receipts(request: MemberRequest) -> HttpResponse:
    """Save the texts of receipts. Receipts that were sent stay as they were."""
    form = ReceiptTextsForm(request.POST, instance=accounts.settings_of(request.business))
    if not form.is_valid():
        return _page(request, receipts=form)
    _change(request, form)
    return _done(request, _("The texts of receipts are saved."), "receipts")


@require_POST
@staff_required(Group.SETTINGS)
def erase_person(request: MemberRequest) -> HttpResponse:
    """Erase a person's data; orders and amounts stay."""
    form = ErasureForm(request.POST)
    if not form.is_valid():
        return _page(request, erasing=form)
    try:
        touched = erasure.erase(
            business=request.business,
            email=form.cleaned_data["email"],
            actor=_actor(request),
            now=timezone.now(),
        )
    except Refusal as refusal:
        return _page(request, erasing=_with_refusal(form, refusal))
    said = ngettext(
        "The person is erased, from %(count)d order too.",
        "The person is erased, from %(count)d orders too.",
        touched["orders"],
    )
    return _done(request, said % {"count": touched["orders"]}, "erasure")


def _actor(request: MemberRequest) -> str:
    return history.staff(request.profile.id)


def _change(request: MemberRequest, form: forms.BaseForm) -> None:
    """Save what a form of settings holds, with the line of who changed it."""
    business_settings.change(
        business=request.business, fields=form.cleaned_data, actor=_actor(request), now=timezone.now()
    )


def _with_refusal(form: forms.Form, refusal: Refusal) -> forms.Form:
    """Let a refusal stand on the form that it answers."""
    form.add_error(None, f"{refusal.message} {refusal.next_step}")
    return form
