"""Receipts: an order as it was, for whoever holds its link; and the list of them for a signed-in customer."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from web.checkout import cookies
from web.checkout.till import GROUPS, till_state
from web.core.embedding import embeddable
from web.core.tenancy import MemberRequest, TenantRequest, business_required, may, sign_in_required
from web.payments.models import Order
from web.payments.money import Money
from web.payments.queries import cards, sales
from web.payments.queries.finding import Key


@embeddable
@require_safe
@business_required
def receipt(request: TenantRequest, token: str) -> HttpResponse:
    """Show an order's receipt. Its address is the secret: no sign-in, no search engine, safe to reload."""
    order = sales.receipt(request.business, token)
    if order is None:
        raise Http404
    is_till = may(request, *GROUPS)
    context: dict[str, object] = {
        "order": order,
        "is_till": is_till,
        "terms": sales.terms(request.business),
        "refunds": sales.given_back(order),
    }
    if is_till:
        context |= till_state(request, None)
        context["is_card"] = any(payment.card_last4 for payment in order.payments.all())
    response = render(request, "checkout/receipt.html", context)
    response["Cache-Control"] = "private, no-cache"
    response["X-Robots-Tag"] = "noindex, nofollow"
    if not is_till:
        cookies.remember_receipt(request, response, token)
    if cookies.cart_token(request) == token:
        cookies.forget_cart(response)
    return response


@require_safe
@sign_in_required
def my_purchases(request: MemberRequest) -> HttpResponse:
    """List the signed-in person's orders."""
    after = Key.parse(request.GET.get("after", ""))
    orders, older = sales.orders_of(request.profile, after=after)
    context = {
        "orders": [(order, _given_back(order)) for order in orders],
        "older": older,
        "is_first": after is None,
        "keeps_cards": cards.are_offered(request.business),
    }
    response = render(request, "checkout/mine.html", context)
    response["Cache-Control"] = "private, no-cache"
    return response


def _given_back(order: Order) -> Money:
    """Return what went back of an order, or is on its way, from the payments that are at hand."""
    return Money(sum(payment.refunded_minor for payment in order.payments.all()), order.currency)
