"""/settings/api/: tokens of the business's own programs, and the addresses that are told what happens."""

from __future__ import annotations

import datetime
import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from web.backoffice.forms import EndpointForm, TokenForm
from web.core import second_factor
from web.core.groups import Group
from web.core.tenancy import MemberRequest, get_for_business_or_404, may, staff_required
from web.payments import history
from web.payments.errors import Refusal
from web.payments.models import ApiToken, OutgoingEndpoint, OutgoingEvent
from web.payments.operations import api_tokens, outgoing
from web.payments.queries import programs

# A program may do no more than whoever makes its token.
RIGHTS = {
    ApiToken.Scope.READ: (Group.PURCHASES,),
    ApiToken.Scope.SELL: (Group.STORE, Group.CHECKIN),
    ApiToken.Scope.REFUND: (Group.REFUNDS,),
}


def _page(request: MemberRequest, *, status: int = 200, **shown: object) -> HttpResponse:
    context: dict[str, object] = {
        "tokens": programs.tokens(request.business),
        "endpoints": programs.endpoints(request.business),
        "kinds": [(value, label) for value, label in OutgoingEvent.Kind.choices if value in outgoing.KINDS],
        "token_form": _token_form(request),
        "endpoint_form": EndpointForm(),
        "form_token": secrets.token_urlsafe(24),
        "now": timezone.now(),
    }
    response = render(request, "backoffice/api.html", context | shown, status=status)
    response["Cache-Control"] = "private, no-store"
    return response


def _token_form(request: MemberRequest, data: Mapping[str, Any] | None = None) -> TokenForm:
    allowed = [scope for scope, groups in RIGHTS.items() if may(request, *groups)]
    return TokenForm(data, allowed=allowed)


@require_safe
@staff_required(Group.SETTINGS)
def api_page(request: MemberRequest) -> HttpResponse:
    """Show tokens, addresses and what was sent there."""
    return _page(request)


@require_POST
@staff_required(Group.SETTINGS)
def make_token(request: MemberRequest) -> HttpResponseBase:
    """Make a token and show it, this once: it is in no redirect, no message and no session."""
    if not second_factor.is_recent(request):
        return _confirm_first(request)
    form = _token_form(request, request.POST)
    form_token = request.POST.get("form_token", "")
    if not form.is_valid():
        return _page(request, status=422, token_form=form)
    if not (32 <= len(form_token) <= 64 and form_token.isascii() and form_token.isprintable()):
        form_token = secrets.token_urlsafe(24)
    days = form.cleaned_data["days"]
    now = timezone.now()
    try:
        token, secret = api_tokens.make(
            business=request.business,
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=now + datetime.timedelta(days=days) if days else None,
            form_token=form_token,
            maker=request.profile,
            actor=_actor(request),
            now=now,
        )
    except Refusal as refusal:
        form.add_error(None, f"{refusal.message} {refusal.next_step}")
        return _page(request, status=409, token_form=form)
    return _page(request, new_token=token, new_secret=secret)


@require_POST
@staff_required(Group.SETTINGS)
def revoke_token(request: MemberRequest, token_id: int) -> HttpResponse:
    """End a token at once."""
    token = get_for_business_or_404(ApiToken, request.business, pk=token_id)
    api_tokens.revoke(token=token, actor=_actor(request), now=timezone.now())
    messages.success(request, _("The token is revoked."))
    return redirect("payment:settings_api")


@require_POST
@staff_required(Group.SETTINGS)
def add_endpoint(request: MemberRequest) -> HttpResponseBase:
    """Let an address be told of events, and show the secret that signs them, this once."""
    if not second_factor.is_recent(request):
        return _confirm_first(request)
    form = EndpointForm(request.POST)
    if not form.is_valid():
        return _page(request, status=422, endpoint_form=form)
    try:
        endpoint, secret = outgoing.add_endpoint(
            business=request.business, actor=_actor(request), now=timezone.now(), **form.cleaned_data
        )
    except Refusal as refusal:
        form.add_error("url", f"{refusal.message} {refusal.next_step}")
        return _page(request, status=422, endpoint_form=form)
    return _page(request, signed_endpoint=endpoint, signing_secret=secret)


@require_POST
@staff_required(Group.SETTINGS)
def change_endpoint(request: MemberRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Say which events an address is told, and whether at all."""
    endpoint = _endpoint(request, endpoint_id)
    outgoing.change_endpoint(
        endpoint=endpoint,
        events=[kind for kind in outgoing.KINDS if kind in request.POST.getlist("events")],
        is_on=request.POST.get("is_on") == "on",
        actor=_actor(request),
        now=timezone.now(),
    )
    messages.success(request, _("Saved."))
    return redirect("payment:settings_api")


@require_POST
@staff_required(Group.SETTINGS)
def roll_secret(request: MemberRequest, endpoint_id: uuid.UUID) -> HttpResponseBase:
    """Replace the secret of an address; for a day both sign."""
    if not second_factor.is_recent(request):
        return _confirm_first(request)
    endpoint = _endpoint(request, endpoint_id)
    secret = outgoing.roll_secret(
        endpoint=endpoint,
        hint=request.POST.get("hint", "")[:8].replace("\x00", ""),
        actor=_actor(request),
        now=timezone.now(),
    )
    if not secret:
        messages.info(request, _("The secret was replaced a moment ago; it was shown then."))
        return redirect("payment:settings_api")
    return _page(request, signed_endpoint=endpoint, signing_secret=secret)


@require_POST
@staff_required(Group.SETTINGS)
def remove_endpoint(request: MemberRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Tell an address nothing more."""
    endpoint = get_for_business_or_404(OutgoingEndpoint, request.business, public_id=endpoint_id)
    outgoing.remove_endpoint(endpoint=endpoint, actor=_actor(request), now=timezone.now())
    messages.success(request, _("Nothing more is sent to this address."))
    return redirect("payment:settings_api")


@require_POST
@staff_required(Group.SETTINGS)
def test_endpoint(request: MemberRequest, endpoint_id: uuid.UUID) -> HttpResponse:
    """Send a test to an address."""
    endpoint = _endpoint(request, endpoint_id)
    return _send(request, lambda: outgoing.ping(endpoint=endpoint, now=timezone.now()))


@require_POST
@staff_required(Group.SETTINGS)
def resend(request: MemberRequest, delivery_id: uuid.UUID) -> HttpResponse:
    """Send an event once more."""
    delivery = programs.delivery(request.business, delivery_id)
    if delivery is None:
        raise Http404
    return _send(request, lambda: outgoing.resend(delivery=delivery, now=timezone.now()))


def _send(request: MemberRequest, send: Callable[[], object]) -> HttpResponse:
    try:
        send()
        messages.success(request, _("It is on its way; reload the page to see what came of it."))
    except Refusal as refusal:
        messages.error(request, f"{refusal.message} {refusal.next_step}")
    return redirect("payment:settings_api")


def _confirm_first(request: MemberRequest) -> HttpResponseBase:
    """Have who wants a key prove who they are, and bring them back to this page."""
    messages.info(request, _("Confirm that it is you, then ask again. Nothing was made."))
    return second_factor.confirm_first(reverse("payment:settings_api"))


def _endpoint(request: MemberRequest, endpoint_id: uuid.UUID) -> OutgoingEndpoint:
    rows = OutgoingEndpoint.objects.filter(removed_at=None)
    return get_for_business_or_404(rows, request.business, public_id=endpoint_id)


def _actor(request: MemberRequest) -> str:
    return history.staff(request.profile.id)
