"""Closing a shift: what was counted against what should be there, written once and never changed."""

from __future__ import annotations

import datetime

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.core.models import Business, Location, Profile
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.models import AuditEntry, CloseOut, CloseOutLine
from web.payments.money import Money
from web.payments.operations import audit
from web.payments.queries import close_outs
from web.payments.queries.close_outs import Takings


class CountChanged(Refusal):
    """The takings are not what the page showed; `details["takings"]` are the right ones."""

    code, kind = "count_changed", Kind.CONFLICT
    message = _("A sale or a refund came in since this page was opened.")
    next_step = _("Nothing was closed. Look at the new amounts, count again if need be, and close.")


class DifferenceUnexplained(Refusal):
    code = "difference_unexplained"
    message = _("The drawer does not hold what it should.")
    next_step = _("Nothing was closed. Count once more; if it stays, say in the note why you think it is so.")


class BadCount(Refusal):
    code = "bad_count"
    message = _("The amounts must be in the currency of the location, and not negative.")
    next_step = _("Nothing was closed. Correct them and try again.")


@transaction.atomic
def close(
    *,
    business: Business,
    location: Location,
    staff: Profile | None,
    reader_id: int | None,
    opening_float: Money,
    counted: Money,
    shown: Money,
    note: str,
    form_token: str,
    closed_by: Profile,
    now: datetime.datetime,
) -> CloseOut:
    """Close a drawer; `shown` is what the page said the drawer had gained.

    The location's row is locked: two people who close at once take turns, and the second sees what is left.
    The same form again returns the same close-out.
    """
    locks.location(location.id)
    repeated = CloseOut.objects.filter(business=business, form_token=form_token).first()
    if repeated is not None:
        return repeated
    if {opening_float.currency, counted.currency} != {location.currency} or min(
        opening_float.amount, counted.amount
    ) < 0:
        raise BadCount
    taken = close_outs.takings(location, staff_id=staff.id if staff else None, reader_id=reader_id, now=now)
    if taken.cash != shown:
        raise CountChanged(takings=taken)
    expected = opening_float + taken.cash
    difference = counted - expected
    if difference and not note.strip():
        raise DifferenceUnexplained(difference=difference)
    made = CloseOut.objects.create(
        business=business,
        location=location,
        staff=staff,
        reader_id=reader_id,
        currency=location.currency,
        since=taken.since,
        closed_at=now,
        closed_by=closed_by,
        float_minor=opening_float.amount,
        cash_sales_minor=taken.cash_sales.amount,
        cash_refunds_minor=taken.cash_refunds.amount,
        expected_minor=expected.amount,
        counted_minor=counted.amount,
        difference_minor=difference.amount,
        card_sales_minor=taken.card_sales.amount,
        card_refunds_minor=taken.card_refunds.amount,
        card_booked_minor=taken.card_booked.amount,
        card_booked_ours_minor=taken.card_booked_ours.amount,
        card_count=taken.card_count,
        card_booked_count=taken.card_booked_count,
        totals=_as_json(taken),
        note=" ".join(note.split())[:500],
        form_token=form_token,
    )
    CloseOutLine.objects.bulk_create(
        [CloseOutLine(close_out=made, payment_id=payment_id) for payment_id in taken.payment_ids]
        + [CloseOutLine(close_out=made, refund_id=refund_id) for refund_id in taken.refund_ids],
        batch_size=1000,
    )
    audit.record(
        AuditEntry.Action.SHIFT_CLOSED,
        business_id=business.id,
        actor=history.staff(closed_by.id),
        now=now,
        subject=location.name,
        changes={
            "close_out": str(made.public_id),
            "difference": difference.amount,
            "currency": made.currency,
        },
    )
    return made


def _as_json(taken: Takings) -> list[dict[str, object]]:
    """Return the shares as the row keeps them: people by id, so that a name can be erased."""
    return [
        {
            "method": share.method,
            "staff": share.staff_id,
            "reader": share.reader_id,
            "count": share.count,
            "sales": share.sales.amount,
            "refunds": share.refunds.amount,
        }
        for share in taken.shares
    ]
