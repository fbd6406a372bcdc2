"""The webhook endpoints that Stripe knows of an account."""

from __future__ import annotations

from dataclasses import dataclass

import stripe

from tasks.gateway.stripe_api import StripeUnreachable, client_of, data_of, raise_for_read
from web.payments.models import StripeAccount

MOST = 100  # a page of Stripe's; an account may have sixteen


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where Stripe reports to, whether it does, and of what."""

    url: str
    status: str  # enabled or disabled
    events: frozenset[str]  # "*": all


def list_endpoints(account: StripeAccount) -> list[Endpoint]:
    """Return the account's endpoints. Raises StripeRefused where the key may not list them."""
    try:
        page = data_of(client_of(account).v1.webhook_endpoints.list({"limit": MOST}))
    except stripe.StripeError as error:
        raise_for_read(error)
    rows = page.get("data")
    if not isinstance(rows, list):
        raise StripeUnreachable("an answer that is not a list")
    return [
        Endpoint(str(row["url"]), str(row["status"]), frozenset(map(str, row["enabled_events"])))
        for row in rows
    ]
