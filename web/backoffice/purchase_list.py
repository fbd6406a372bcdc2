"""/purchases/: one search box, filters, what they come to, and the same as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from web.backoffice import csv_files
from web.backoffice.filters import STATUSES, PurchaseFilters
from web.core.groups import Group
from web.core.models import Business, ItemType
from web.core.tenancy import MemberRequest, may, staff_required
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
        "rows": [row_of(order) for order in page.orders],
        "is_narrowed": bool(filters),
        "query": f"{asked.urlencode()}&" if asked else "",
        "attention": purchases.attention(
            request.business, sets_up=may(request, Group.SETTINGS), now=timezone.now()
        )
        if is_first and not filters
        else None,
        **(_sums(request.business, form, filters) if "totals" in request.GET else {"totals": None}),
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
    context = _sums(request.business, form, form.filters(request.business))
    response = render(request, "backoffice/_totals.html", context)
    response["Cache-Control"] = "private, no-cache"
    return response


def _sums(business: Business, form: PurchaseFilters, filters: Filters) -> dict[str, object]:
    has_readers = "reader" in form.fields
    return {
        "totals": finding.totals(business, filters),
        "on_readers": finding.on_readers(business, filters) if has_readers else [],
    }


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


@dataclass(frozen=True, slots=True)
class Row:
    """An order as the list shows it: what became of its money, from the payments that are at hand."""

    order: Order
    status: str
    refunded: Money
    disputed: Money  # taken by disputes, so far
    is_disputed: bool
    dispute_kind: str  # of its badge: one that was won is no alarm

    @property
    def gone(self) -> Money:
        """What went back or was taken away."""
        return self.refunded + self.disputed

    @property
    def net(self) -> Money:
        return Money(self.order.total_minor, self.order.currency) - self.gone


def row_of(order: Order) -> Row:
    """Return an order with what was given back, and what a dispute took."""
    payments = order.payments.all()
    received = sum(payment.amount_received_minor for payment in payments)
    refunded = sum(payment.refunded_minor for payment in payments)
    status = Status.PAID
    if refunded:
        status = Status.REFUNDED if refunded >= received else Status.PARTLY_REFUNDED
    disputes = [dispute for payment in payments for dispute in payment.disputes.all()]
    taken = sum(dispute.taken_minor for dispute in disputes if dispute.currency == order.currency)
    return Row(
        order=order,
        status=status,
        refunded=Money(refunded, order.currency),
        disputed=Money(taken, order.currency),
        is_disputed=bool(disputes),
        dispute_kind="failed" if any(one.is_open or one.taken_minor for one in disputes) else "",
    )


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
        _("Disputed"),
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
        row = row_of(order)

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
            statuses[row.status],
            order.currency.upper(),
            amount(order.subtotal_minor),
            amount(-order.discount_minor),
            amount(order.sales_tax_minor),
            amount(order.additional_tax_minor),
            amount(order.tip_minor),
            amount(order.total_minor),
            amount(-row.refunded.amount),
            amount(-row.disputed.amount),
            amount(row.net.amount),
            ", ".join(one.intent_id for one in payments if one.intent_id),
        ]
