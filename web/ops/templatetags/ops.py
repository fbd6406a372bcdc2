"""How figures of operations are written."""

from __future__ import annotations

import datetime

from django import template
from django.utils import timezone

from web.ops.charts import span
from web.payments.queries.queues import MOST_COUNTED

register = template.Library()
register.filter("seconds", span)


@register.filter
def counted(number: int | None) -> str:
    """Write a count; one that stopped at its limit says so."""
    if number is None:
        return "?"
    return f"{number:,}+" if number >= MOST_COUNTED else f"{number:,}"


@register.filter
def ago(at: datetime.datetime | None) -> str:
    """Write how long ago something was."""
    return span(None if at is None else (timezone.now() - at).total_seconds())


@register.filter
def percent(share: float) -> str:
    """Write a share of one: 0.4 is 40 %."""
    return f"{share * 100:.0f} %"
