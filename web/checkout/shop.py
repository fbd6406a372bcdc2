"""The shop: what a business sells online, a button beside each, and the purchases that this browser remembers."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe

from web.checkout import cookies, reading
from web.checkout.refusals import shown_on, status_of
from web.core.embedding import embeddable
from web.core.models import Location
from web.core.tenancy import TenantRequest, business_required
from web.payments.errors import Kind, Refusal
from web.payments.operations import carts
from web.payments.queries import sales


class NoLocation(Refusal):
    code, kind = "no_location", Kind.UNAVAILABLE
    message = _("This business has no location yet, so nothing can be sold.")
    next_step = _("Nothing was charged. The owner adds a location first.")


def _shop_page(request: TenantRequest, refusal: Refusal | None = None) -> HttpResponse:
    places = sales.locations(request.business)
    location = _chosen(places, reading.asked(request, "location") or reading.text(request, "location"))
    items = sales.items_for_sale(request.business, location, online=True) if location else []
    context = {
        "places": places,
        "location": location,
        "items": items,
        "refusal": refusal,
        "in_cart": sales.cart_count(request.business, cookies.cart_token(request)),
        "recent": sales.orders_of_tokens(request.business, cookies.receipt_tokens(request)),
    }
    response = render(request, "checkout/shop.html", context, status=status_of(refusal) if refusal else 200)
    response["Cache-Control"] = "private, no-cache"  # Back shows the cart as it is, not as it was
    return response


@embeddable
@require_safe
@business_required
def shop(request: TenantRequest) -> HttpResponse:
    """Show what is for sale."""
    return _shop_page(request)


@embeddable
@require_POST
@business_required
@shown_on(_shop_page)
def add_to_cart(request: TenantRequest) -> HttpResponse:
    """Put an item into the browser's cart and show the cart."""
    location = _chosen(sales.locations(request.business), reading.text(request, "location"))
    if location is None:
        raise NoLocation
    profile = request.profile
    cart = carts.put_in(
        business=request.business,
        token=_own_token(request),
        location=location,
        item_id=reading.number(request, "item", carts.ItemNotSold),
        quantity=reading.number(request, "quantity", carts.BadQuantity) if "quantity" in request.POST else 1,
        now=timezone.now(),
        customer=profile if profile is not None and not profile.is_staff else None,
        language=(get_language() or "en")[:2],
    )
    response = redirect(f"{reverse('payment:checkout')}?cart={cart.token}")
    cookies.remember_cart(response, cart.token)
    return response


def _own_token(request: TenantRequest) -> str:
    """Return the cart to add to: this browser's, or the one that the signed-in customer filled elsewhere."""
    token = cookies.cart_token(request)
    if not token and request.profile is not None:
        own = sales.cart_of(request.profile)
        return own.token if own else ""
    return token


def _chosen(places: list[Location], wanted: str) -> Location | None:
    """Return the location asked for, or the first one."""
    by_id = {str(place.id): place for place in places}
    return by_id.get(wanted) or (places[0] if places else None)
