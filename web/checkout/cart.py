"""The cart's page, for whoever holds its link: change it, say who buys, pay. Every form works without JavaScript."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from web.checkout import cookies, reading, till
from web.checkout.intents import status_of, urls_of, viewer_of
from web.checkout.pages import new_form_token, page_url, posted_form_token, posted_token, tips_of
from web.checkout.refusals import as_page, shown_on
from web.checkout.refusals import status_of as http_status
from web.checkout.stripe_js import with_stripe
from web.core.embedding import embeddable
from web.core.errors import wants_json
from web.core.models import Profile
from web.core.tenancy import TenantRequest, business_required, may
from web.payments import history
from web.payments.errors import Refusal
from web.payments.models import Payment
from web.payments.money import Money, smallest_charge
from web.payments.operations import carts, desk, intents, tenders
from web.payments.operations.reserving import may_use, planned
from web.payments.queries import followed, sales
from web.payments.queries.ledgers import stored
from web.payments.queries.moment import one_moment
from web.payments.queries.sales import Sale, Terms


@embeddable
@require_safe
@business_required
@with_stripe
@shown_on(as_page)
def checkout(request: TenantRequest) -> HttpResponse:
    """Show the till to staff, the cart to whoever holds its link, and to others where they find theirs."""
    if may(request, *till.GROUPS) and reading.asked(request, "view") != "customer":
        return till.till_page(request)
    if reading.asked(request, "cart"):
        return cart_page(request)
    if request.profile is not None and not request.profile.is_staff:
        return redirect("payment:cart")
    return redirect("payment:shop")


@embeddable
@require_safe
@business_required
@with_stripe
@shown_on(as_page)
def own_cart(request: TenantRequest) -> HttpResponse:
    """Show the signed-in customer's cart, or the one that this browser filled, or that there is none."""
    profile = request.profile
    newest = sales.cart_of(profile) if profile is not None else None
    token = newest.token if newest is not None else cookies.cart_token(request)
    if token and (newest is not None or sales.cart_count(request.business, token)):
        return redirect(page_url(token))
    return render(request, "checkout/no_cart.html")


@one_moment()
def cart_page(request: TenantRequest, refusal: Refusal | None = None) -> HttpResponse:
    """Draw the cart's page, with what was refused and what the person had typed."""
    token = reading.text(request, "cart") or reading.asked(request, "cart")
    try:
        sale = sales.sale(request.business, token)
    except carts.CartNotFound:
        order = sales.order_of_token(request.business, token)
        if order is None:
            raise
        return redirect("payment:receipt", token=order.token)
    terms = sales.terms(request.business)
    totals = sale.quote.totals
    due, stored = _due(request, sale)
    context = {
        "sale": sale,
        "due": due,
        "stored": stored,
        "may_pay_on_arrival": terms.settings.pays_on_arrival and sale.is_open and bool(totals.total),
        "cart": sale.cart,
        "totals": totals,
        "terms": terms,
        "tips": tips_of(sale, terms),
        "tip_is_custom": bool(sale.cart.tip_percent is None and sale.cart.tip_minor),
        "refusal": refusal,
        "typed": request.POST,
        "buyer": _buyer(request, sale),
        "needs_sign_in": not terms.settings.guests_may_pay
        and sale.cart.created_by_id is None
        and sale.cart.customer_id is None
        and request.profile is None,
        "form_token": new_form_token(),
        "is_free": not due,
        "live": sale.live,
        "held": sale.held,
    }
    context["pay"] = _pay_config(request, sale, terms, str(context["form_token"]), due)
    status = http_status(refusal) if refusal else 200
    response = render(request, "checkout/cart.html", context, status=status)
    response["Cache-Control"] = "no-store"  # Back must show what has become of it
    cookies.ensure_payer_key(request, response)
    return response


def shown_page(request: TenantRequest, refusal: Refusal) -> HttpResponse:
    """Show a refusal where the form was: on the till to staff, on the cart's page to others."""
    return (till.till_page if may(request, *till.GROUPS) else cart_page)(request, refusal)


def _buyer(request: TenantRequest, sale: Sale) -> dict[str, str | bool]:
    """Say who buys, and whether that is still asked for."""
    cart, profile = sale.cart, request.profile
    if cart.customer is not None:
        return {"name": cart.customer.name, "email": cart.customer.email, "is_known": True}
    if profile is not None and not profile.is_staff:
        return {"name": profile.name, "email": profile.email, "is_known": True}
    typed_name, typed_email = reading.text(request, "name"), reading.text(request, "email")
    return {
        "name": typed_name or cart.guest_name,
        "email": typed_email or cart.guest_email,
        "is_known": False,
    }


def _due(request: TenantRequest, sale: Sale) -> tuple[Money, dict[str, object] | None]:
    """Return what another method has to pay, and what the customer has stored and could use, to who may use it."""
    cart = sale.cart
    payer = request.profile
    if not sale.is_open:
        return sale.due, None
    now = timezone.now()
    least = smallest_charge(cart.currency)
    wanted = planned(cart, sale.quote, list(sale.payments), payer=payer, now=now, least=least)
    is_theirs = may_use(cart, payer) or (
        payer is not None and not payer.is_staff and cart.customer_id is None
    )
    if not is_theirs or payer is None:
        return wanted.rest, None
    has = stored(cart.customer_id or payer.id, cart.currency, now=now)
    return wanted.rest, {"has": has, "plan": wanted} if has else None


def _pay_config(
    request: TenantRequest, sale: Sale, terms: Terms, form_token: str, due: Money
) -> dict[str, object]:
    """Collect what the page's script needs; nothing here is secret from who sees the page."""
    return {
        "cart": sale.cart.token,
        "form_token": form_token,
        "expected_total": sale.quote.totals.total.amount,
        "amount": due.to_stripe(),
        "currency": due.currency,
        "is_open": sale.is_open,
        "publishable_key": terms.publishable_key,
        "script_url": settings.STRIPE_JS_URL,
        "locale": get_language() or "en",
        "intent_url": reverse("payment:stripe_intent"),
        "buyer_url": reverse("payment:set_buyer"),
        "page_url": page_url(sale.cart.token),
        "return_url": request.build_absolute_uri(page_url(sale.cart.token)),
        "live": _live(request, sale.live) if sale.live else None,
        "words": _script_words(),
    }


def _live(request: TenantRequest, payment: Payment) -> dict[str, object]:
    """Describe the payment under way, without its client secret: the script asks for that when it pays."""
    viewer = viewer_of(request)
    view = followed.Followed(payment, None, followed.is_payer(payment, viewer))
    described = status_of(view, now=timezone.now())
    for secret in ("client_secret", "publishable_key"):
        described.pop(secret, None)
    return {**described, **urls_of(payment)}


def _script_words() -> dict[str, str]:
    """Return what the script says by itself; everything about a payment's state comes with the state."""
    return {
        "preparing": _("Preparing your payment…"),
        "confirming": _("Confirming your payment. Your bank may ask you to confirm it."),
        "checking": _("Checking your payment…"),
        "do_not_pay_again": _("Do not pay again: we are checking."),
        "paid": _("Paid. Thank you!"),
        "to_receipt": _("Opening your receipt…"),
        "cancelling": _("Cancelling…"),
        "certain": _("Please wait until it is certain. Do not pay again yet."),
        "offline": _("The connection is lost."),
        "offline_next": _("We keep trying. You will not be charged twice."),
        "slow": _("This takes longer than usual."),
        "not_charged": _("You were not charged."),
        "look_again": _("You were not charged. Look at the form and try again."),
        "declined": _("The card was declined."),
        "try_another": _("You were not charged. Try another card, or ask your bank."),
        "no_script": _("The card form could not be loaded."),
        "no_script_next": _("Nothing was charged. Check your connection, then reload the page."),
        "fill_buyer": _("Fill in your name and e-mail address first."),
        "accept_policy": _("Accept the refund policy first."),
        "abandoned": _("The payment was not confirmed."),
    }


@embeddable
@require_POST
@business_required
@with_stripe
@shown_on(shown_page)
def set_line(request: TenantRequest) -> HttpResponse:
    """Set how many of an item are in the cart."""
    cart = carts.set_quantity(
        business=request.business,
        token=posted_token(request),
        item_id=reading.number(request, "item", carts.ItemNotSold),
        quantity=reading.number(request, "quantity", carts.BadQuantity),
        over_the_counter=request.profile is not None and request.profile.is_staff,
    )
    return redirect(page_url(cart.token))


@embeddable
@require_POST
@business_required
@with_stripe
@shown_on(shown_page)
def set_tip(request: TenantRequest) -> HttpResponse:
    """Set the tip, as a preset percentage or as an amount."""
    percent = reading.number(request, "percent", carts.BadAmount) if "percent" in request.POST else None
    cart = carts.set_tip(
        business=request.business,
        token=posted_token(request),
        percent=percent,
        amount=reading.text(request, "amount"),
    )
    return redirect(page_url(cart.token))


@embeddable
@require_POST
@business_required
@with_stripe
@shown_on(cart_page)
def set_buyer(request: TenantRequest) -> HttpResponse:
    """Say who buys, and that the refund policy is accepted where it has to be."""
    cart = carts.confirm_buyer(
        business=request.business,
        token=posted_token(request),
        signed_in=_signed_in_customer(request),
        name=reading.text(request, "name"),
        email=reading.text(request, "email"),
        accepts_policy="policy" in request.POST,
        now=timezone.now(),
    )
    return HttpResponse(status=204) if wants_json(request) else redirect(page_url(cart.token))


@embeddable
@require_POST
@business_required
@with_stripe
@shown_on(cart_page)
def use_stored(request: TenantRequest) -> HttpResponse:
    """Say whether the customer's balance and service credits shall be used."""
    cart = tenders.choose(
        business=request.business,
        token=posted_token(request),
        payer=request.profile,
        uses_balance="balance" in request.POST,
        uses_credits="credits" in request.POST,
    )
    return redirect(page_url(cart.token))


@embeddable
@require_POST
@business_required
@with_stripe
@shown_on(cart_page)
def pay_on_arrival(request: TenantRequest) -> HttpResponse:
    """Leave the cart to be paid at the desk; who buys is said by the same form."""
    token = posted_token(request)
    carts.confirm_buyer(
        business=request.business,
        token=token,
        signed_in=_signed_in_customer(request),
        name=reading.text(request, "name"),
        email=reading.text(request, "email"),
        accepts_policy="policy" in request.POST,
        now=timezone.now(),
    )
    carts.pay_on_arrival(business=request.business, token=token, now=timezone.now(), payer=request.profile)
    return redirect(page_url(token))


@embeddable
@require_POST
@business_required
@with_stripe
@shown_on(cart_page)
def complete_free(request: TenantRequest) -> HttpResponse:
    """Complete a cart that costs nothing, or that the customer's balance and credits pay for."""
    order = desk.complete_free(
        business=request.business,
        token=posted_token(request),
        form_token=posted_form_token(request),
        signed_in=_signed_in_customer(request),
        name=reading.text(request, "name"),
        email=reading.text(request, "email"),
        accepts_policy="policy" in request.POST,
        now=timezone.now(),
        expected_total_minor=reading.number(request, "expected_total", carts.BadAmount)
        if "expected_total" in request.POST
        else 0,
    )
    return redirect("payment:receipt", token=order.token)


@embeddable
@require_POST
@business_required
@with_stripe
@shown_on(shown_page)
def change_order(request: TenantRequest) -> HttpResponse:
    """Ask for the cart's payment to be cancelled; the cart can be changed once that is certain."""
    token = posted_token(request)
    sale = sales.sale(request.business, token)
    if sale.live is not None:
        actor = history.staff(request.profile.id) if may(request) and request.profile else history.CUSTOMER
        intents.request_cancel(payment_id=sale.live.id, now=timezone.now(), actor=actor)
    return redirect(page_url(token))


def _signed_in_customer(request: TenantRequest) -> Profile | None:
    profile = request.profile
    return profile if profile is not None and not profile.is_staff else None
