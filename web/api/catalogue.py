"""What a business sells, and where."""

from __future__ import annotations

from pydantic import BaseModel

from web.api import listing, shapes
from web.api.routes import Call, Route, Scope
from web.core import models
from web.payments.queries import sales


def _locations(call: Call, _subject: str) -> BaseModel:
    return shapes.Locations(
        data=[
            shapes.Location(
                location=place.id, name=place.name, currency=place.currency, time_zone=place.time_zone
            )
            for place in sales.locations(call.business)
        ]
    )


def _items(call: Call, _subject: str) -> BaseModel:
    rows = models.Item.objects.filter(business=call.business, is_active=True)
    found, cursor = listing.page(rows, listing.wanted(call.query))
    return shapes.Items(
        data=[
            shapes.Item(
                item=item.id,
                name=item.name,
                item_type=item.item_type,
                price=item.price_minor,
                currency=item.currency,
                location=item.location_id,
                sold_online=item.sold_online,
            )
            for item in found
        ],
        next_cursor=cursor,
    )


LOCATIONS = Route(
    scope=Scope.READ, show=_locations, answer=shapes.Locations, says="List the places of the business."
)
ITEMS = Route(
    scope=Scope.READ,
    show=_items,
    answer=shapes.Items,
    query=("limit", "cursor"),
    says="List what is sold, the newest first.",
)
