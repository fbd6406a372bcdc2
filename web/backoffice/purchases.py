"""/purchases/<number>/: the whole story of one order. The list is in purchase_list.py."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils.crypto import get_random_string
from django.views.decorators.http import require_safe

from web.backoffice.refunds import refunds_context
from web.core.groups import Group
from web.core.tenancy import MemberRequest, staff_required
from web.payments.queries import purchases


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
        **refunds_context(request, order),
        "resend_token": get_random_string(32),
    }
    return render(request, "backoffice/purchase.html", context)
