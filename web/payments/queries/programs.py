"""What the settings show of a business's own programs: tokens, addresses, and how far each event is told."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from web.core.models import Business
from web.payments.models import ApiToken, OutgoingDelivery, OutgoingEndpoint

MOST_DELIVERIES = 20
MOST_TOKENS = 50


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery, and how long after the event it came through."""

    delivery: OutgoingDelivery

    @property
    def lag(self) -> datetime.timedelta | None:
        delivered = self.delivery.delivered_at
        return None if delivered is None else delivered - self.delivery.event.created_at


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address with the newest of what it was told."""

    endpoint: OutgoingEndpoint
    deliveries: Sequence[Told]


def tokens(business: Business) -> list[ApiToken]:
    """Return the tokens, those in use first, then the newest."""
    rows = ApiToken.objects.filter(business=business).select_related("created_by")
    found = list(rows.order_by("-id")[:MOST_TOKENS])
    return sorted(found, key=lambda token: token.revoked_at is not None)


def endpoints(business: Business) -> list[Endpoint]:
    """Return the addresses that are there, each with its newest deliveries."""
    rows = OutgoingEndpoint.objects.filter(business=business, removed_at=None)
    return [Endpoint(endpoint, _newest(endpoint)) for endpoint in rows]


def _newest(endpoint: OutgoingEndpoint) -> list[Told]:
    rows = OutgoingDelivery.objects.filter(endpoint=endpoint).select_related("event")
    return [Told(delivery) for delivery in rows.order_by("-id")[:MOST_DELIVERIES]]


def delivery(business: Business, public_id: uuid.UUID) -> OutgoingDelivery | None:
    """Return a delivery of the business; None for any other."""
    rows = OutgoingDelivery.objects.filter(endpoint__business=business, public_id=public_id)
    return rows.select_related("endpoint", "event").first()
