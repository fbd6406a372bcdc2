"""/list-payment-cards/ and /add_card_details/: saved cards, the old and optional way to pay.

The card's number goes from the browser to Stripe, never to us: this page asks for a setup intent, a worker makes
it, Stripe's form confirms it. A business that does not keep cards has neither page.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from django.views.decorators.http import require_POST, require_safe

from web.checkout import reading
from web.checkout.pages import new_form_token, posted_form_token
from web.checkout.refusals import json_only, shown_on, status_of
from web.checkout.stripe_js import with_stripe
from web.core.groups import Group
from web.core.models import Item
from web.core.tenancy import MemberRequest, TenantRequest, may, sign_in_required, staff_required
from web.payments.errors import Refusal
from web.payments.operations import cards as operations
from web.payments.operations import saved_cards
from web.payments.queries import cards, customers
from web.payments.states import CardSetupState

STAFF_GROUPS = (Group.STORE, Group.CUSTOMERS)


def _refuse_where_not_offered(request: MemberRequest) -> None:
    if not cards.are_offered(request.business):
        raise Http404


@require_safe
@sign_in_required
def list_cards(request: MemberRequest) -> HttpResponse:
    """List the person's own cards; for staff, those of the customer named in the address."""
    return _list_page(request)


def _list_page(request: TenantRequest, refusal: Refusal | None = None) -> HttpResponse:
    assert request.profile is not None
    owner = request.profile
    asked = reading.asked(request, "customer") or reading.text(request, "customer")
    if asked:
        found = customers.customer(request.business, int(asked)) if asked.isdecimal() else None
        if found is None or not may(request, *STAFF_GROUPS):
            raise Http404
        owner = found
    if not cards.are_offered(request.business):
        raise Http404
    is_own = owner.id == request.profile.id
    context = {
        "owner": owner,
        "is_own": is_own,
        "cards": cards.cards_of(owner),
        "fees": [] if is_own else _fees(request),
        "charged": [] if is_own else cards.charges_of(owner),
        "form_token": new_form_token(),
        "typed": request.POST,
        "refusal": refusal,
    }
    response = render(request, "checkout/cards.html", context, status=status_of(refusal) if refusal else 200)
    response["Cache-Control"] = "private, no-store"
    return response


@require_POST
@sign_in_required
@shown_on(_list_page)
def make_default(request: MemberRequest, card_id: uuid.UUID) -> HttpResponse:
    """Let one of the person's cards be the one that is charged."""
    _refuse_where_not_offered(request)
    operations.make_default(profile=request.profile, card_id=card_id)
    messages.success(request, _("This card is charged from now on."))
    return redirect("payment:list_cards")


@require_POST
@sign_in_required
@shown_on(_list_page)
def remove(request: MemberRequest, card_id: uuid.UUID) -> HttpResponse:
    """Remove one of the person's cards."""
    operations.remove(profile=request.profile, card_id=card_id, now=timezone.now())
    messages.success(request, _("The card is removed. Nobody can charge it any more."))
    return redirect("payment:list_cards")


_FEES = {"no_show": _lazy("No-show fee"), "late_cancel": _lazy("Late-cancel fee")}


def _fees(request: TenantRequest) -> list[tuple[str, Promise, Item]]:
    return [(kind, _FEES[kind], item) for kind, item in saved_cards.fees(request.business)]


@require_POST
@staff_required(*STAFF_GROUPS)
@shown_on(_list_page)
def charge_fee(request: MemberRequest, customer_id: int) -> HttpResponse:
    """Charge a fee of the business's policy to a card that the customer has saved; a worker does it."""
    customer = customers.customer(request.business, customer_id)
    if customer is None:
        raise Http404
    try:
        card_id = uuid.UUID(reading.text(request, "card"))
    except ValueError as error:
        raise operations.CardNotFound from error
    requested = saved_cards.charge_fee(
        business=request.business,
        customer=customer,
        kind=reading.text(request, "fee"),
        card_id=card_id,
        note=reading.text(request, "note"),
        form_token=posted_form_token(request),
        staff=request.profile,
        now=timezone.now(),
    )
    if requested.is_new:
        messages.success(request, _("The card is being charged. Its state is shown below."))
    return redirect(f"{reverse('payment:list_cards')}?customer={customer.id}")


def _consent(request: TenantRequest) -> str:
    """Return what the owner agrees to, in their language; it is kept with the card as it was shown."""
    return _(
        "I allow %(business)s to keep this card at Stripe and to charge it for what I order, and for the fees of its "
        "policy if I cancel late or do not come. I can remove it at any time."
    ) % {"business": request.business.name}


@require_safe
@with_stripe
@sign_in_required
def add_card(request: MemberRequest) -> HttpResponse:
    """Ask for consent; then show Stripe's form for the setup that the address names."""
    return _add_page(request)


def _add_page(request: TenantRequest, refusal: Refusal | None = None) -> HttpResponse:
    assert request.profile is not None
    if not cards.are_offered(request.business):
        raise Http404
    context: dict[str, object] = {
        "consent": _consent(request),
        "form_token": new_form_token(),
        "refusal": refusal,
        "setup": None,
    }
    asked = reading.asked(request, "setup")
    if asked:
        followed = _followed(request, asked)
        if followed.setup.state == CardSetupState.SUCCEEDED:
            return redirect("payment:list_cards")
        context["setup"] = followed.setup
        context["config"] = _config(request, followed)
    response = render(
        request, "checkout/add_card.html", context, status=status_of(refusal) if refusal else 200
    )
    response["Cache-Control"] = "private, no-store"
    return response


def _config(request: TenantRequest, followed: cards.SetupFollowed) -> dict[str, object]:
    setup = followed.setup
    own = f"{reverse('payment:add_card')}?setup={setup.public_id}"
    return {
        "status_url": reverse("payment:card_setup", args=[setup.public_id]),
        "check_url": reverse("payment:check_card_setup", args=[setup.public_id]),
        "list_url": reverse("payment:list_cards"),
        "return_url": request.build_absolute_uri(own),
        "page_url": own,
        "publishable_key": setup.account.publishable_key,
        "script_url": settings.STRIPE_JS_URL,
        "locale": get_language() or "en",
        "words": {
            "preparing": _("Preparing the card form…"),
            "saving": _("Asking your bank…"),
            "saved": _("The card is saved."),
            "declined": _("Your bank did not agree."),
            "try_another": _("Nothing was charged. Try another card."),
            "not_saved": _("The card could not be saved."),
            "again": _("Nothing was charged. Start again, or try later."),
            "offline": _("No connection."),
            "offline_next": _("Nothing was charged. We keep trying."),
            "no_script": _("Stripe's card form did not load."),
            "no_script_next": _("Nothing was saved or charged. Check the connection and reload the page."),
        },
    }


@require_POST
@with_stripe
@sign_in_required
@shown_on(_add_page)
def begin_adding(request: MemberRequest) -> HttpResponse:
    """Take the consent, ask for a setup intent, and go on to the form."""
    _refuse_where_not_offered(request)
    setup = operations.request_setup(
        profile=request.profile,
        form_token=posted_form_token(request),
        consent=_consent(request),
        agrees=bool(request.POST.get("consent")),
        now=timezone.now(),
    )
    return redirect(f"{reverse('payment:add_card')}?setup={setup.public_id}")


@require_safe
@sign_in_required
@json_only
def card_setup(request: MemberRequest, setup_id: uuid.UUID) -> HttpResponse:
    """Say how far the saving of a card is. The client secret goes to its owner alone, and to no cache."""
    return _as_json(_followed(request, str(setup_id)))


@require_POST
@sign_in_required
@json_only
def check_card_setup(request: MemberRequest, setup_id: uuid.UUID) -> HttpResponse:
    """Have Stripe asked what became of it."""
    followed = _followed(request, str(setup_id))
    operations.request_read(setup=followed.setup, now=timezone.now())
    return _as_json(followed)


def _followed(request: TenantRequest, setup_id: str) -> cards.SetupFollowed:
    assert request.profile is not None
    try:
        followed = cards.setup_of(request.profile, uuid.UUID(setup_id))
    except ValueError:
        followed = None
    if followed is None:
        raise Http404
    return followed


def _as_json(followed: cards.SetupFollowed) -> JsonResponse:
    setup = followed.setup
    described: dict[str, object] = {
        "state": setup.state,
        "is_final": followed.is_final,
        "failure_code": setup.failure_code,
    }
    if followed.client_secret:
        described["client_secret"] = followed.client_secret
    response = JsonResponse(described)
    response["Cache-Control"] = "no-store"
    return response
