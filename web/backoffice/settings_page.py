"""/settings/: how the business takes payments. One small form per matter; what went wrong stands beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
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
    LimitsForm,
    PolicyForm,
    ReceiptTextsForm,
    SafetyForm,
    TaxesForm,
    TipsForm,
    WebhookSecretForm,
)
from web.core import second_factor
from web.core.groups import Group
from web.core.models import Business, Location
from web.core.tenancy import MemberRequest, get_for_business_or_404, staff_required
from web.payments import history
from web.payments.errors import Refusal
from web.payments.followed_events import FOLLOWED
from web.payments.models import PaymentSettings, StripeAccount
from web.payments.money import Money
from web.payments.operations import accounts, business_settings, erasure
from web.payments.queries import audits, followed, sales
from web.payments.templatetags.money import money


def _page(request: MemberRequest, **bound: forms.BaseForm) -> HttpResponse:
    """Draw the page; `bound` holds the form that was sent and refused, under its name."""
    settings = accounts.settings_of(request.business)
    shown = followed.accounts(request.business)
    places = sales.locations(request.business)
    context = {
        "settings": settings,
        "accounts": [(account, followed.account_check(request.business, account)) for account in shown],
        "is_checking": any(account.state == StripeAccount.State.UNVERIFIED for account in shown),
        "limits": _limits(shown, bound.get("limits")),
        "webhook_url": request.build_absolute_uri(
            reverse("payment:stripe-webhook", args=[settings.webhook_token])
        ),
        "webhook_events": ",".join(FOLLOWED),
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
        "safety": bound.get("safety") or _safety_form(request),
        # Keys, secrets and the limits of security are shown to be changed to who has just proved who they are.
        **_safety(request, settings),
        "is_confirmed": second_factor.is_recent(request),
        "confirm_url": f"{reverse('account_reauthenticate')}?next={reverse('payment:settings')}",
        "erasing": bound.get("erasing") or ErasureForm(),
        "history": audits.newest(request.business),
    }
    response = render(request, "backoffice/settings.html", context, status=422 if bound else 200)
    response["Cache-Control"] = "private, no-store"
    return response


def _limits(shown: Sequence[StripeAccount], bound: forms.BaseForm | None) -> forms.BaseForm | None:
    """Return the form of the limits of the account that is in use; None where none is."""
    if bound is not None:
        return bound
    used = next((account for account in shown if account.state == StripeAccount.State.ACTIVE), None)
    return None if used is None else LimitsForm(instance=used)


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


def _save(
    request: MemberRequest,
    form: forms.BaseForm,
    name: str,
    act: Callable[[Mapping[str, Any]], str],
    *,
    section: str = "",
) -> HttpResponse:
    """Do with what a form says what `act` does, and say what that says; what is refused stands on the form again."""
    if not form.is_valid():
        return _page(request, **{name: form})
    try:
        said = act(form.cleaned_data)
    except Refusal as refusal:
        form.add_error(None, f"{refusal.message} {refusal.next_step}")
        return _page(request, **{name: form})
    messages.success(request, said)
    return redirect(f"{reverse('payment:settings')}#{section or name}")


def _confirm_first(request: MemberRequest, section: str) -> HttpResponseBase:
    """Have somebody prove who they are; what they typed is not kept: it may be a secret key."""
    messages.info(request, _("Confirm first that it is you. Nothing was changed."))
    return second_factor.confirm_first(f"{reverse('payment:settings')}#{section}")


def _change(request: MemberRequest, form: forms.BaseForm, name: str, said: str) -> HttpResponse:
    """Save what a form of payment settings holds, with the line of who changed it."""

    def act(fields: Mapping[str, Any]) -> str:
        business_settings.change(
            business=request.business, fields=fields, actor=_actor(request), now=timezone.now()
        )
        return said

    return _save(request, form, name, act)


@require_POST
@staff_required(Group.SETTINGS)
def save_keys(request: MemberRequest) -> HttpResponseBase:
    """Store a pair of keys; a worker asks Stripe whose they are."""
    if not second_factor.is_recent(request):
        return _confirm_first(request, "stripe")

    def act(given: Mapping[str, Any]) -> str:
        business_settings.enter_keys(
            business=request.business, actor=_actor(request), now=timezone.now(), **given
        )
        return _("The keys are stored and being checked.")

    return _save(request, KeysForm(request.POST), "keys", act, section="stripe")


@require_POST
@staff_required(Group.SETTINGS)
def check_keys(request: MemberRequest) -> HttpResponse:
    """Have the keys of one account tried again."""
    account = get_for_business_or_404(StripeAccount, request.business, pk=request.POST.get("account", ""))
    business_settings.check_keys(account=account, actor=_actor(request), now=timezone.now())
    messages.success(request, _("The keys are being checked."))
    return redirect(f"{reverse('payment:settings')}#stripe")


@require_POST
@staff_required(Group.SETTINGS)
def save_limits(request: MemberRequest, account_id: int) -> HttpResponse:
    """Save how much of Stripe an account may use in a second."""
    account = get_for_business_or_404(StripeAccount, request.business, pk=account_id)

    def act(fields: Mapping[str, Any]) -> str:
        business_settings.change_limits(
            account=account, fields=fields, actor=_actor(request), now=timezone.now()
        )
        return _("The limits are saved.")

    form = LimitsForm(request.POST, instance=account)
    return _save(request, form, "limits", act, section="stripe")


@require_POST
@staff_required(Group.SETTINGS)
def add_webhook_secret(request: MemberRequest) -> HttpResponseBase:
    """Add a signing secret; the ones that are there stay valid for another day."""
    if not second_factor.is_recent(request):
        return _confirm_first(request, "webhook")

    def act(given: Mapping[str, Any]) -> str:
        business_settings.add_webhook_secret(
            business=request.business, actor=_actor(request), now=timezone.now(), **given
        )
        return _("The signing secret is stored.")

    return _save(request, WebhookSecretForm(request.POST), "webhook", act)


@require_POST
@staff_required(Group.SETTINGS)
def save_taxes(request: MemberRequest, location_id: int) -> HttpResponse:
    """Save the taxes of one location. Sales under way keep the taxes that they were priced with."""
    place = get_for_business_or_404(Location, request.business, pk=location_id)

    def act(fields: Mapping[str, Any]) -> str:
        business_settings.change_taxes(
            location=place, fields=fields, actor=_actor(request), now=timezone.now()
        )
        return _("The taxes of %(place)s are saved.") % {"place": place.name}

    form = TaxesForm(request.POST, instance=place, prefix=f"place{place.id}")
    return _save(request, form, f"taxes_{place.id}", act, section=f"taxes-{place.id}")


@require_POST
@staff_required(Group.SETTINGS)
def save_tips(request: MemberRequest) -> HttpResponse:
    """Save the tip presets."""
    return _change(request, TipsForm(request.POST), "tips", _("The tip presets are saved."))


@require_POST
@staff_required(Group.SETTINGS)
def save_policy(request: MemberRequest) -> HttpResponse:
    """Save the refund policy."""
    form = PolicyForm(request.POST, instance=accounts.settings_of(request.business))
    return _change(request, form, "policy", _("The refund policy is saved."))


@require_POST
@staff_required(Group.SETTINGS)
def save_gateway(request: MemberRequest) -> HttpResponse:
    """Switch online payments on or off, and say who may pay."""
    form = GatewayForm(request.POST, instance=accounts.settings_of(request.business))
    return _change(request, form, "gateway", _("Saved."))


@require_POST
@staff_required(Group.SETTINGS)
def save_charging(request: MemberRequest) -> HttpResponse:
    """Save when cards are charged, and what stands on their statements."""
    form = ChargingForm(request.POST, instance=accounts.settings_of(request.business))
    return _change(request, form, "charging", _("Saved."))


def _fees_form(request: MemberRequest, *args: object) -> FeesForm:
    settings = accounts.settings_of(request.business)
    return FeesForm(*args, settings=settings, items=sales.fee_items(request.business))


@require_POST
@staff_required(Group.SETTINGS)
def save_fees(request: MemberRequest) -> HttpResponse:
    """Save what the fees that staff charge to saved cards are sold as."""
    return _change(request, _fees_form(request, request.POST), "fees", _("The fees are saved."))


@require_POST
@staff_required(Group.SETTINGS)
def save_receipts(request: MemberRequest) -> HttpResponse:
    """Save the texts of receipts. Receipts that were sent stay as they were."""
    form = ReceiptTextsForm(request.POST, instance=accounts.settings_of(request.business))
    return _change(request, form, "receipts", _("The texts of receipts are saved."))


def _safety(request: MemberRequest, settings: PaymentSettings) -> dict[str, str]:
    """Return who needs a second factor and above what is confirmed, in words: for who may not change it yet."""
    limit = settings.refund_limit_minor
    return {
        "safety_who": str(Business.SecondFactor(request.business.second_factor).label),
        "safety_limit": "" if limit is None else money(Money(limit, request.business.currency)),
        "safety_sites": ", ".join(request.business.embed_origins),
    }


def _safety_form(request: MemberRequest, *args: object) -> SafetyForm:
    business = Business.objects.get(id=request.business.id)  # the request's own may be some seconds old
    return SafetyForm(*args, business=business, settings=accounts.settings_of(business))


@require_POST
@staff_required(Group.SETTINGS)
def save_safety(request: MemberRequest) -> HttpResponseBase:
    """Save who shows a second factor, what is given back without proving again who one is, and who may frame pages."""
    if not second_factor.is_recent(request):
        return _confirm_first(request, "safety")

    def act(given: Mapping[str, Any]) -> str:
        business_settings.change_safety(
            business=request.business,
            second_factor=given["second_factor"],
            refund_limit_minor=given["refund_limit"],
            embed_origins=given["embed_origins"],
            actor=_actor(request),
            now=timezone.now(),
        )
        return _("Saved.")

    return _save(request, _safety_form(request, request.POST), "safety", act)


@require_POST
@staff_required(Group.SETTINGS)
def erase_person(request: MemberRequest) -> HttpResponse:
    """Erase a person's data; orders and amounts stay."""

    def act(given: Mapping[str, Any]) -> str:
        touched = erasure.erase(
            business=request.business, email=given["email"], actor=_actor(request), now=timezone.now()
        )
        said = ngettext(
            "The person is erased, from %(count)d order too.",
            "The person is erased, from %(count)d orders too.",
            touched["orders"],
        )
        return said % {"count": touched["orders"]}

    return _save(request, ErasureForm(request.POST), "erasing", act, section="erasure")


def _actor(request: MemberRequest) -> str:
    return history.staff(request.profile.id)
