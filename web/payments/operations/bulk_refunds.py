"""Giving one item back to everybody who bought it: a class that does not take place.

The decision writes a row for every order; a job asks for them a few at a time, each in a transaction of its own
together with its row. Whatever dies, the next run goes on with what still waits, and an order that was asked for
is found by its form token: nobody gets money twice.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, F, Sum
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Item, Profile
from web.payments import history, jobs, locks
from web.payments.errors import Kind, Refusal
from web.payments.jobs import ASK_BULK_REFUND, NOBODY_WAITS, Lease, enqueue
from web.payments.models import AuditEntry, BulkRefund, BulkRefundOrder, Order, OrderLine
from web.payments.money import Money
from web.payments.operations import audit, refunds
from web.payments.operations.accounts import settings_of
from web.payments.operations.refund_shares import Items, line_share

AT_ONCE = 20  # orders a job asks for: well within its lease
MOST_ORDERS = 5000


class NothingToRefundInBulk(Refusal):
    code, kind = "nothing_to_refund_in_bulk", Kind.CONFLICT
    message = _("No order has anything of this item left to give back.")
    next_step = _("No money moved. Choose another item or other dates.")


class TooManyOrders(Refusal):
    code = "too_many_orders"
    message = _("This would be more than 5,000 orders at once.")
    next_step = _("No money moved. Choose a shorter time.")


class SelectionChanged(Refusal):
    code, kind = "selection_changed", Kind.CONFLICT
    message = _("Other orders would be given back than the page showed.")
    next_step = _("No money moved. Look at the new number and confirm again.")


class BulkUnderWay(Refusal):
    code, kind = "bulk_refund_under_way", Kind.CONFLICT
    message = _("This item is being given back to everybody already.")
    next_step = _(
        "Nothing was given back by this. Follow the first one; what it leaves can be given back after it."
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """Which orders sold the item, and what giving it back comes to, by currency."""

    order_ids: list[int]
    amounts: list[Money]


def select(
    *, business: Business, item: Item, since: datetime.datetime | None, until: datetime.datetime | None
) -> Selection:
    """Find the orders that have something of the item left to give back, oldest first."""
    lines = OrderLine.objects.filter(
        order__business=business, item=item, refunded_quantity__lt=F("quantity")
    ).select_related("order")
    if since is not None:
        lines = lines.filter(order__created_at__gte=since)
    if until is not None:
        lines = lines.filter(order__created_at__lt=until)
    found = list(lines.order_by("order_id")[: MOST_ORDERS + 1])
    if len(found) > MOST_ORDERS:
        raise TooManyOrders
    amounts: dict[str, Money] = {}
    for line in found:
        currency = line.order.currency
        share = line_share(line, line.quantity - line.refunded_quantity)
        amounts[currency] = amounts.get(currency, Money.zero(currency)) + Money(share.amount_minor, currency)
    return Selection(sorted({line.order_id for line in found}), list(amounts.values()))


@transaction.atomic
def start(
    *,
    business: Business,
    item: Item,
    since: datetime.datetime | None,
    until: datetime.datetime | None,
    reason: str,
    form_token: str,
    expected_orders: int,
    staff: Profile,
    now: datetime.datetime,
) -> BulkRefund:
    """Decide to give an item back to everybody who bought it. The same form again finds what it decided.

    One decision at a time for an item: two who decide at once would each believe that they gave it all back.
    """
    reason = reason.strip()[: refunds.LONGEST_REASON]
    if not reason:
        raise refunds.RefundReasonMissing
    settings_of(business)
    locks.settings(business.id)  # two who decide at once take turns
    made = BulkRefund.objects.filter(business=business, form_token=form_token).first()
    if made is not None:
        return made
    if BulkRefund.objects.filter(business=business, item=item, finished_at=None).exists():
        raise BulkUnderWay
    selection = select(business=business, item=item, since=since, until=until)
    if not selection.order_ids:
        raise NothingToRefundInBulk
    if len(selection.order_ids) != expected_orders:
        raise SelectionChanged
    bulk = BulkRefund.objects.create(
        business=business,
        item=item,
        item_name=item.name,
        reason=reason,
        form_token=form_token,
        created_by=staff,
        created_at=now,
    )
    BulkRefundOrder.objects.bulk_create(
        BulkRefundOrder(bulk=bulk, order_id=order_id) for order_id in selection.order_ids
    )
    audit.record(
        AuditEntry.Action.BULK_REFUND_ASKED,
        business_id=business.id,
        actor=history.staff(staff.id),
        now=now,
        subject=item.name,
        changes={"bulk_refund": str(bulk.public_id), "orders": len(selection.order_ids)},
    )
    _enqueue(bulk, now=now)
    return bulk


@transaction.atomic
def resume(*, business: Business, bulk: BulkRefund, staff: Profile, now: datetime.datetime) -> int:
    """Ask again for the orders that were refused (and for any that still wait); return how many."""
    BulkRefund.objects.select_for_update(no_key=True).get(id=bulk.id, business=business)
    rows = BulkRefundOrder.objects.filter(bulk=bulk)
    rows.filter(state=BulkRefundOrder.State.REFUSED).update(
        state=BulkRefundOrder.State.WAITING, code="", settled_at=None
    )
    waiting = rows.filter(state=BulkRefundOrder.State.WAITING).count()
    if waiting:
        BulkRefund.objects.filter(id=bulk.id).update(finished_at=None)
        audit.record(
            AuditEntry.Action.BULK_REFUND_RESUMED,
            business_id=business.id,
            actor=history.staff(staff.id),
            now=now,
            subject=bulk.item_name,
            changes={"bulk_refund": str(bulk.public_id), "orders": waiting},
        )
        _enqueue(bulk, now=now)
    return waiting


def _enqueue(bulk: BulkRefund, *, now: datetime.datetime) -> None:
    enqueue(
        ASK_BULK_REFUND,
        business_id=bulk.business_id,
        bulk_refund_id=bulk.id,
        dedup_key=f"bulk:{bulk.id}",
        priority=NOBODY_WAITS,
        now=now,
    )


def ask_some(*, bulk_refund_id: int, lease: Lease, now: datetime.datetime) -> None:
    """Ask for the next few orders, each in a transaction of its own, and queue the rest."""
    bulk = BulkRefund.objects.select_related("business", "created_by").get(id=bulk_refund_id)
    rows = BulkRefundOrder.objects.filter(bulk=bulk, state=BulkRefundOrder.State.WAITING)
    for row in rows.select_related("order")[:AT_ONCE]:
        _ask_one(bulk, row.id, row.order, now=now)
    with transaction.atomic():
        jobs.hold(lease)
        if rows.exists():
            _enqueue(bulk, now=now)
        else:
            BulkRefund.objects.filter(id=bulk.id, finished_at=None).update(finished_at=now)


@transaction.atomic
def _ask_one(bulk: BulkRefund, row_id: int, order: Order, *, now: datetime.datetime) -> None:
    """Ask for one order's refund and note it, in one transaction; a row that somebody else has is theirs."""
    row = (
        BulkRefundOrder.objects.select_for_update(no_key=True, skip_locked=True)
        .filter(id=row_id, state=BulkRefundOrder.State.WAITING)
        .first()
    )
    if row is None:
        return
    lines = OrderLine.objects.filter(order=order, item_id=bulk.item_id)
    row.state, row.code, row.settled_at = BulkRefundOrder.State.ASKED, "", now
    try:
        with transaction.atomic():
            refunds.request(
                business=bulk.business,
                reference=order.cart_reference,
                share=Items({line.id: line.quantity - line.refunded_quantity for line in lines}),
                reason=bulk.reason,
                form_token=f"bulk-{bulk.public_id}-{order.id}",
                now=now,
                staff=bulk.created_by,
                bulk=bulk,
            )
    except Refusal as refusal:
        row.state, row.code = BulkRefundOrder.State.REFUSED, refusal.code
    row.save(update_fields=["state", "code", "settled_at"])


def given_back(bulk: BulkRefund) -> dict[str, tuple[int, Money]]:
    """Return, by state, how many refunds it asked for and what they come to."""
    sums = bulk.refunds.values("state", "currency").annotate(number=Count("id"), total=Sum("amount_minor"))
    return {
        row["state"]: (row["number"], Money(row["total"], row["currency"])) for row in sums.order_by("state")
    }
