"""The till: staff put items in by code or name, say who buys, take the money, and serve the next person meanwhile."""

from __future__ import annotations

import datetime
from decimal import Decimal, InvalidOperation

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from web.checkout import cookies, reading
from web.checkout.conditional import fragment
from web.checkout.pages import new_form_token, page_url, posted_form_token, posted_token, tips_of
from web.checkout.refusals import as_page, shown_on
from web.checkout.refusals import status_of as http_status
from web.checkout.strip import nearest, strip_of, usable
from web.core.groups import Group
from web.core.models import Item, Location, Profile
from web.core.tenancy import MemberRequest, TenantRequest, staff_required
from web.payments.errors import Kind, Refusal
from web.payments.models import Method, Payment
from web.payments.money import Money, MoneyError
from web.payments.operations import carts, desk
from web.payments.operations.customers import CustomerNotFound
from web.payments.queries import cards, customers, ledgers, sales
from web.payments.queries import till as going_on
from web.payments.queries.moment import one_moment
from web.payments.queries.sales import Sale
from web.payments.states import PaymentState

GROUPS = (Group.STORE, Group.CHECKIN)
ENDING_TOLD_FOR = datetime.timedelta(minutes=2)
METHODS = {method.value: method for method in desk.TAKEN_AT_THE_DESK}


class NoItemLikeThis(Refusal):
    code, kind = "item_not_found", Kind.MISSING
    message = _("No item has this code or name here.")
    next_step = _("No money moved. Scan it again, or type a part of its name.")


class SeveralItems(Refusal):
    """`items` are what was meant, perhaps; not in `details`, since only the page shows them."""

    code, kind = "several_items", Kind.CONFLICT
    message = _("Several items are called like this.")
    next_step = _("No money moved. Choose one.")

    def __init__(self, items: list[Item]) -> None:
        super().__init__()
        self.items = items


class NoSuchMethod(Refusal):
    code = "method_not_known"
    message = _("This way of paying is not known here.")
    next_step = _("No money moved. Choose another way.")


class WrongTotal(Refusal):
    code = "total_not_known"
    message = _("The form did not say which total it showed.")
    next_step = _("No money moved. Reload the page and try again.")


@one_moment()
def till_page(request: TenantRequest, refusal: Refusal | None = None) -> HttpResponse:
    """Draw the till with the sale at hand, or ready for a new one."""
    token = reading.text(request, "cart") or reading.asked(request, "cart")
    sale: Sale | None = None
    if token:
        try:
            sale = sales.sale(request.business, token)
        except carts.CartNotFound:
            order = sales.order_of_token(request.business, token)
            if order is None:
                raise
            return redirect("payment:receipt", token=order.token)
    locations = sales.locations(request.business)
    location = sale.cart.location if sale else location_of(request, locations)
    customer = sale.cart.customer if sale else named_customer(request)
    terms = sales.terms(request.business)
    context: dict[str, object] = {
        "places": locations,
        "location": location,
        "customer": customer,
        "other_carts": customers.open_carts(customer, but=sale.cart if sale else None) if customer else [],
        "items": _items(request, location, refusal),
        "terms": terms,
        "refusal": refusal,
        "typed": request.POST,
        "now": timezone.now(),
        **till_state(request, sale),
    }
    if customer is not None:
        context["keeps_cards"] = cards.are_offered(request.business)
    if sale is None:
        context["due_on_arrival"] = going_on.due_on_arrival(request.business)
    if sale is None and customer is not None and location is not None:
        context["stored"] = ledgers.stored(customer.id, location.currency, now=timezone.now())
    if sale is not None:
        ready = usable(request.business, sale)
        context |= {
            "totals": sale.quote.totals,
            "tips": tips_of(sale, terms),
            "tip_is_custom": bool(sale.cart.tip_percent is None and sale.cart.tip_minor),
            "stored": ledgers.stored(sale.cart.customer_id, sale.cart.currency, now=timezone.now()),
            "parts": [
                payment
                for payment in sale.payments
                if payment.state in (PaymentState.SUCCEEDED, PaymentState.RESERVED)
                and not payment.is_released
            ],
            "readers": ready,
            "near_reader": nearest(ready, cookies.reader_id(request)),
            "link": request.build_absolute_uri(page_url(sale.cart.token)),
        }
    response = render(request, "checkout/till.html", context, status=http_status(refusal) if refusal else 200)
    response["Cache-Control"] = "no-store"
    return response


def till_state(request: TenantRequest, sale: Sale | None) -> dict[str, object]:
    """Collect what can change without the till doing anything: the sale's payment, and the other sales' states."""
    now = timezone.now()
    own = going_on.desk(request.business, request.profile, now=now) if request.profile is not None else None
    strip = strip_of(request.business, sale) if sale else None
    return {
        "sale": sale,
        "cart": sale.cart if sale else None,
        "live": sale.live if sale else None,
        "strip": strip,
        "ended": _just_ended(sale, now=now) if sale else None,
        "held": sale.held if sale else None,
        "desk": own,
        "form_token": new_form_token() if sale and (strip is None or strip.may_try_again) else "",
        "is_followed": bool((own and own.is_live) or (sale and (sale.live or strip or sale.is_open))),
    }


def _just_ended(sale: Sale, *, now: datetime.datetime) -> Payment | None:
    """Return the payment whose end without money opened the sale again a moment ago."""
    newest = sale.payments[-1] if sale.payments else None
    is_told = (
        newest is not None
        and sale.is_open
        and newest.state in (PaymentState.CANCELLED, PaymentState.FAILED)
        and now - newest.state_changed_at < ENDING_TOLD_FOR
    )
    return newest if is_told else None


def _items(request: TenantRequest, location: Location | None, refusal: Refusal | None) -> list[Item]:
    if location is None:
        return []
    if isinstance(refusal, SeveralItems):
        return refusal.items
    find = reading.asked(request, "find")
    if find:
        return sales.items_named(request.business, location, find)
    return sales.items_for_sale(request.business, location, online=False)


def location_of(request: TenantRequest, places: list[Location]) -> Location | None:
    """Return the location asked for, else the member of staff's own, else the first."""
    by_id = {str(place.id): place for place in places}
    wanted = reading.text(request, "location") or reading.asked(request, "location")
    own = str(request.profile.default_location_id) if request.profile else ""
    return by_id.get(wanted) or by_id.get(own) or (places[0] if places else None)


def named_customer(request: TenantRequest) -> Profile | None:
    """Return the customer whom the address (or the form) names; raise CustomerNotFound for a wrong one."""
    wanted = reading.text(request, "customer") or reading.asked(request, "customer")
    if not wanted:
        return None
    known = (
        customers.customer(request.business, int(wanted))
        if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19
        else None
    )
    if known is None:
        raise CustomerNotFound
    return known


@require_safe
@staff_required(*GROUPS)
@shown_on(as_page)
def items(request: MemberRequest) -> HttpResponse:
    """Draw the items whose code or name fits what is being typed; all of them where nothing is."""
    location = location_of(request, sales.locations(request.business))
    context = {"location": location, "items": _items(request, location, None)}
    return fragment(request, "checkout/_till_items.html", context)


@require_POST
@staff_required(*GROUPS)
@shown_on(till_page)
def add_item(request: MemberRequest) -> HttpResponse:
    """Put an item into the sale, by its button, its code or its name; the first one starts the sale."""
    location = _sale_location(request)
    cart = carts.put_in(
        business=request.business,
        token=posted_token(request) if request.POST.get("cart") else "",
        location=location,
        item_id=_meant_item(request, location),
        quantity=1,
        now=timezone.now(),
        customer=named_customer(request),
        created_by=request.profile,
        language=request.profile.language,
        over_the_counter=True,
    )
    return redirect(page_url(cart.token))


def _sale_location(request: MemberRequest) -> Location:
    token = reading.text(request, "cart")
    if token:
        return sales.sale(request.business, token).cart.location
    location = location_of(request, sales.locations(request.business))
    if location is None:
        raise carts.ItemNotSold
    return location


def _meant_item(request: MemberRequest, location: Location) -> int:
    if "item" in request.POST:
        return reading.number(request, "item", carts.ItemNotSold)
    matches = sales.items_named(request.business, location, reading.text(request, "code"))
    if not matches:
        raise NoItemLikeThis
    if len(matches) > 1:
        raise SeveralItems(matches)
    return matches[0].id


@require_POST
@staff_required(*GROUPS)
@shown_on(till_page)
def sell(request: MemberRequest) -> HttpResponse:
    """Take cash, all or a part; note what was paid elsewhere; give it away; complete what costs nothing."""
    method = METHODS.get(reading.text(request, "method"))
    if method is None:
        raise NoSuchMethod
    total = reading.number(request, "expected_total", WrongTotal)
    if method is Method.NO_CHARGE and total != 0:
        raise NoSuchMethod
    token = posted_token(request)
    taken = desk.take(
        business=request.business,
        token=token,
        method=method,
        form_token=posted_form_token(request),
        expected_total_minor=total,
        now=timezone.now(),
        staff=request.profile,
        note=reading.text(request, "note"),
        amount=_part(request, token) if reading.text(request, "amount") else None,
    )
    if taken.order is None:
        return redirect(page_url(token))
    return redirect("payment:receipt", token=taken.order.token)


def _part(request: MemberRequest, token: str) -> Money:
    """Read the amount of one part of a sale that is paid in several."""
    currency = sales.sale(request.business, token).cart.currency
    try:
        return Money.parse(reading.text(request, "amount"), currency)
    except MoneyError as error:
        raise desk.BadTender from error


@require_POST
@staff_required(Group.DISCOUNTS)
@shown_on(till_page)
def discount(request: MemberRequest) -> HttpResponse:
    """Take a percentage or an amount off the sale, for a reason; "none" takes the discount back."""
    token = posted_token(request)
    typed, unit = reading.text(request, "off"), reading.text(request, "unit")
    is_none = unit == "none"
    if not is_none and (not typed or unit not in ("percent", "amount")):
        raise carts.BadAmount
    carts.set_discount(
        business=request.business,
        token=token,
        reason="" if is_none else reading.text(request, "reason"),
        now=timezone.now(),
        staff=request.profile,
        percent=_percent(typed) if unit == "percent" else None,
        amount=typed if unit == "amount" else None,
    )
    return redirect(page_url(token))


def _percent(typed: str) -> Decimal:
    try:
        percent = Decimal(typed.replace(",", "."))
    except InvalidOperation as error:
        raise carts.BadAmount from error
    if not percent.is_finite():
        raise carts.BadAmount
    return percent


@require_safe
@staff_required(*GROUPS)
@shown_on(as_page)
@one_moment()
def state(request: MemberRequest) -> HttpResponse:
    """Draw what can have changed: the sale's payment and the bar of sales. A paid sale leads to its receipt."""
    token = reading.asked(request, "cart")
    sale: Sale | None = None
    if token:
        order = sales.order_of_token(request.business, token)
        if order is not None:
            return HttpResponseClientRedirect(reverse("payment:receipt", args=[order.token]))
        sale = sales.sale(request.business, token)
    return fragment(request, "checkout/_till_state.html", till_state(request, sale))
