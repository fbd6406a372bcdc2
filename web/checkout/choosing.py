"""/choose_new_customer/: who buys. Find a customer, create one in place, or sell to a guest."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from web.checkout import reading
from web.checkout.conditional import if_changed
from web.checkout.pages import page_url, posted_token
from web.checkout.refusals import shown_on
from web.checkout.refusals import status_of as http_status
from web.checkout.till import GROUPS, named_customer
from web.core.models import Profile
from web.core.tenancy import MemberRequest, TenantRequest, staff_required
from web.payments import history
from web.payments.errors import Refusal
from web.payments.operations import customers
from web.payments.queries import customers as known
from web.payments.queries import sales


def choosing_page(request: TenantRequest, refusal: Refusal | None = None) -> HttpResponse:
    """Draw the page: who was found, the guest, and the form for a new customer."""
    token = reading.text(request, "cart") or reading.asked(request, "cart")
    sale = sales.sale(request.business, token) if token else None
    find = reading.asked(request, "find") or reading.text(request, "find")
    found = known.find(request.business, find)
    context = {
        "sale": sale,
        "cart": sale.cart if sale else None,
        "location": reading.text(request, "location") or reading.asked(request, "location"),
        "find": find,
        "found": [(person, known.open_carts(person, but=sale.cart if sale else None)) for person in found],
        "refusal": refusal,
        "already": refusal.details.get("customer") if refusal else None,
        "typed": request.POST,
        "is_new": "create" in request.POST,
    }
    status = http_status(refusal) if refusal else 200
    response = render(request, "checkout/choose_customer.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response if refusal else if_changed(request, response)


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required(*GROUPS)
@shown_on(choosing_page)
def choose_new_customer(request: MemberRequest) -> HttpResponse:
    """Show who can be chosen; give the sale at hand to whom was chosen, or start with them where there is none."""
    if request.method != "POST":
        return choosing_page(request)
    if "create" in request.POST:
        chosen: Profile | None = customers.create(
            business=request.business,
            name=reading.text(request, "name"),
            email=reading.text(request, "email"),
            phone=reading.text(request, "phone"),
            language=request.profile.language,
        )
        messages.success(request, _("%(name)s is a customer now.") % {"name": chosen.name if chosen else ""})
    else:
        chosen = named_customer(request)
    if not request.POST.get("cart"):
        return redirect(_start_with(request, chosen))
    cart = customers.choose(
        business=request.business,
        token=posted_token(request),
        customer=chosen,
        now=timezone.now(),
        actor=history.staff(request.profile.id),
        guest_name=reading.text(request, "name"),
        guest_email=reading.text(request, "email"),
    )
    return redirect(page_url(cart.token))


def _start_with(request: TenantRequest, chosen: Profile | None) -> str:
    """Return the till's address for a new sale to somebody."""
    wanted = {"location": reading.text(request, "location"), "customer": chosen.id if chosen else ""}
    query = urlencode({name: value for name, value in wanted.items() if value})
    return f"{reverse('payment:checkout')}{'?' if query else ''}{query}"
