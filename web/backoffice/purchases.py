"""/purchases/: what was sold, what waits for a person, and the whole story of one order."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from web.core.groups import Group
from web.core.tenancy import MemberRequest, staff_required
from web.payments.queries import purchases


@require_safe
@staff_required(Group.PURCHASES)
def purchase_list(request: MemberRequest) -> HttpResponse:
    """List the newest orders, and on top what needs attention."""
    context = {
        "orders": purchases.newest_orders(request.business),
        "attention": purchases.attention(request.business),
    }
    response = render(request, "backoffice/purchases.html", context)
    response["Cache-Control"] = "private, no-cache"
    return response


@require_safe
@staff_required(Group.PURCHASES)
def purchase(request: MemberRequest, number: str) -> HttpResponse:
    """Show one order with its lines, taxes, payments and timeline."""
    order = purchases.order(request.business, number)
    if order is None:
        raise Http404
    context = {
        "order": order,
        "payments": purchases.payments_of(request.business, order.cart_reference),
        "timeline": purchases.timeline(request.business, order.cart_reference),
    }
    return render(request, "backoffice/purchase.html", context)
