"""How much a member of staff may give back in a day before they have to prove again who they are."""

from __future__ import annotations

import datetime

from django.db.models import Sum

from web.core.models import Business, Profile
from web.payments.models import PaymentSettings, Refund
from web.payments.money import Money
from web.payments.states import RefundState

DAY = datetime.timedelta(hours=24)


def is_exceeded(*, business: Business, staff: Profile, amount: Money, now: datetime.datetime) -> bool:
    """Say whether this refund, with the person's others of the last 24 hours, is more than the business's limit.

    The limit is in the business's currency: a refund in another one is always above it, where there is one.
    """
    limit = (
        PaymentSettings.objects.filter(business=business).values_list("refund_limit_minor", flat=True).first()
    )
    if limit is None:
        return False
    if amount.currency != business.currency:
        return True
    others = Refund.objects.filter(
        business=business, created_by=staff, currency=amount.currency, created_at__gt=now - DAY
    ).exclude(state__in=(RefundState.CANCELLED, RefundState.FAILED))
    given: int = others.aggregate(total=Sum("amount_minor"))["total"] or 0
    return given + amount.amount > limit
