"""Stripe's list of events, page by page."""

from __future__ import annotations

import datetime
from typing import Any

import stripe

from tasks.gateway.stripe_api import StripeUnreachable, client_of, data_of, raise_for_read
from web.payments.models import StripeAccount


def list_events(
    account: StripeAccount, *, since: datetime.datetime, until: datetime.datetime, after: str
) -> tuple[list[dict[str, Any]], bool]:
    """Return a page of events, newest first, and whether there are older ones within the window.

    Raises StripeUnreachable or StripeRefused (`resource_missing` where Stripe no longer has `after`).
    """
    created = {"gte": int(since.timestamp()), "lte": int(until.timestamp())}
    params: Any = {"limit": 100, "created": created}
    if after:
        params["starting_after"] = after
    try:
        page = data_of(client_of(account).v1.events.list(params))
    except stripe.StripeError as error:
        raise_for_read(error)
    events = page.get("data")
    if not isinstance(events, list):
        raise StripeUnreachable("an answer that is not a list")
    return events, bool(page.get("has_more"))
