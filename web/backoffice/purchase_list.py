"""/purchases/: one search box, filters, what they come to, and the same as CSV."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from web.backoffice import csv_files
from web.backoffice.filters import STATUSES, PurchaseFilters
from web.core.groups import Group
from web.core.models import Business, ItemType
from web.core.tenancy import MemberRequest, staff_required
from web.payments import history
from web.payments.models import AuditEntry, Method, Order
from web.payments.money import Money
from web.payments.operations import audit
from web.payments.queries import finding, purchases
from web.payments.queries.finding import Filters, Key, Status


@require_safe
@staff_required(Group.PURCHASES)
def purchase_list(request: MemberRequest) -> HttpResponse:
    """List the orders that fit, newest first, and on top what needs attention."""
    form = PurchaseFilters(request.GET, finding.choices(request.business))
    filters = form.filters(request.business)
    after, before = Key.parse(request.GET.get("after", "")), Key.parse(request.GET.get("before", ""))
    page = finding.page(request.business, filters, after=after, before=before)
    asked = request.GET.copy()
    for name in ("after", "before", "totals"):
        asked.pop(name, None)
    is_first = after is None and before is None
    context = {
        "form": form,
        "page": page,
        "rows": [(order, status_of(order)) for order in page.orders],
        "is_narrowed": bool(filters),
        "query": f"{asked.urlencode()}&" if asked else "",
        "attention": purchases.attention(request.business, now=timezone.now())
        if is_first and not filters
        else None,
        "totals": finding.totals(request.business, filters) if "totals" in request.GET else None,
    }
    # A refused filter narrows nothing, and the page says so beside it.
    response = render(request, "backoffice/purchases.html", context)
    response["Cache-Control"] = "private, no-cache"
    return response


@require_safe
@staff_required(Group.PURCHASES)
def totals(request: MemberRequest) -> HttpResponse:
    """Draw what the filtered orders come to, by itself: the list does not wait for it."""
    form = PurchaseFilters(request.GET, finding.choices(request.business))
    context = {"totals": finding.totals(request.business, form.filters(request.business))}
    response = render(request, "backoffice/_totals.html", context)
    response["Cache-Control"] = "private, no-cache"
    return response


@require_safe
@staff_required(Group.PURCHASES)
def export(request: MemberRequest) -> StreamingHttpResponse:
    """Send the filtered orders as CSV; who took them out is written down."""
    form = PurchaseFilters(request.GET, finding.choices(request.business))
    filters = form.filters(request.business)
    now = timezone.now()
    audit.record(
        AuditEntry.Action.PURCHASES_EXPORTED,
        business_id=request.business.id,
        actor=history.staff(request.profile.id),
        now=now,
        # Not the search's text: it may be a customer's name, and this line is kept for ever.
        changes={name: True for name in form.fields if request.GET.get(name)},
    )
    name = f"purchases-{timezone.localtime(now):%Y-%m-%d-%H%M}"
    return csv_files.response(name, _header(), _rows(request.business, filters))


def status_of(order: Order) -> tuple[str, Money]:
    """Return an order's status and what was given back, from the payments that are at hand."""
    payments = order.payments.all()
    received = sum(payment.amount_received_minor for payment in payments)
    refunded = sum(payment.refunded_minor for payment in payments)
    status = Status.PAID
    if refunded:
        status = Status.REFUNDED if refunded >= received else Status.PARTLY_REFUNDED
    return status, Money(refunded, order.currency)


def _header() -> list[str]:
    return [
        _("Order"),
        _("Date"),
        _("Location"),
        _("Customer"),
        _("E-mail"),
        _("Items"),
        _("Types"),
        _("Methods"),
        _("Card"),
        _("Sold by"),
        _("Status"),
        _("Currency"),
        _("Subtotal"),
        _("Discount"),
        _("Sales tax"),
        _("Additional tax"),
        _("Tip"),
        _("Total"),
        _("Refunded"),
        _("Net"),
        _("Stripe payments"),
    ]


def _rows(business: Business, filters: Filters) -> Iterator[list[csv_files.Cell]]:
    # Looked up before the first row is sent: the language of the request is gone while the rest is.
    types = {value: str(label) for value, label in ItemType.choices}
    methods = {value: str(label) for value, label in Method.choices}
    statuses = {value: str(label) for value, label in STATUSES}
    return _written(business, filters, types, methods, statuses)


def _written(
    business: Business,
    filters: Filters,
    types: dict[str, str],
    methods: dict[str, str],
    statuses: dict[str, str],
) -> Iterator[list[csv_files.Cell]]:
    zone = timezone.get_current_timezone()
    for order in finding.every(business, filters):
        lines, payments = order.lines.all(), order.payments.all()
        status, refunded = status_of(order)

        def amount(minor: int, currency: str = order.currency) -> csv_files.Cell:
            return Money(minor, currency).major()

        yield [
            order.number,
            f"{order.created_at.astimezone(zone):%Y-%m-%d %H:%M:%S}",
            order.location.name,
            order.customer_name,
            order.customer_email,
            ", ".join(f"{line.quantity} x {line.description}" for line in lines),
            ", ".join(dict.fromkeys(types.get(line.item_type, line.item_type) for line in lines)),
            ", ".join(dict.fromkeys(methods.get(one.method, one.method) for one in payments)),
            ", ".join(f"{one.card_brand} {one.card_last4}" for one in payments if one.card_last4),
            order.created_by.name if order.created_by else "",
            statuses[status],
            order.currency.upper(),
            amount(order.subtotal_minor),
            amount(-order.discount_minor),
            amount(order.sales_tax_minor),
            amount(order.additional_tax_minor),
            amount(order.tip_minor),
            amount(order.total_minor),
            amount(-refunded.amount),
            amount(order.total_minor - refunded.amount),
            ", ".join(one.intent_id for one in payments if one.intent_id),
        ]
