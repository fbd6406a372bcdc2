"""Stripe's events as they arrive, by a webhook or from its list: read, without client secrets, and stored once.

Nothing is applied here: inbox.py does that later, at its own pace.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection, transaction

from web.core import faultpoints
from web.payments.bell import bell
from web.payments.jobs import Queue

_OLDEST_EVENT = datetime.datetime(2011, 1, 1, tzinfo=datetime.UTC)  # Stripe's first year


@dataclass(frozen=True, slots=True)
class Arrived:
    """A verified event, ready to be stored. `payload_json` is the event without client secrets.

    `request_id` is that of the request that brought it, for the logs; "" where a list did.
    """

    event_id: str
    event_type: str
    object_id: str
    occurred_at: datetime.datetime
    payload_json: str
    request_id: str = ""


class BadEvent(Exception):
    """This is not an event of Stripe's. Its text is our own words and safe to log and to answer."""


def arrived(data: object, *, request_id: str = "") -> Arrived:
    """Make what is stored of an event, as a webhook brings it or a list shows it; raise BadEvent.

    Both ways end here, so that both store the same: everything but the client secrets.
    """
    if not isinstance(data, dict) or data.get("object") != "event":
        raise BadEvent("The body is not an event.")
    thing = data.get("data", {}).get("object") if isinstance(data.get("data"), dict) else None
    if not isinstance(thing, dict):
        raise BadEvent("The event has no object.")
    _forget_client_secrets(data)
    try:
        occurred_at = datetime.datetime.fromtimestamp(data["created"], tz=datetime.UTC)
        text = orjson.dumps(data).decode()
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise BadEvent("The event's time cannot be read.") from error
    if occurred_at < _OLDEST_EVENT:
        raise BadEvent("The event's time cannot be right.")
    if "\\u0000" in text:  # PostgreSQL's jsonb cannot hold it, and no event of Stripe's has it
        raise BadEvent("The event contains a NUL character.")
    return Arrived(
        event_id=_short(data, "id", 64),
        event_type=_short(data, "type", 80),
        object_id=_short(thing, "id", 64) if "id" in thing else "",
        occurred_at=occurred_at,
        payload_json=text,
        request_id=request_id,
    )


def _short(data: dict[str, Any], name: str, longest: int) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isascii():
        raise BadEvent(f"The event's {name} cannot be right.")
    return value


def _forget_client_secrets(value: Any) -> None:
    """Remove every client secret, however deep: what is stored may be shown to whoever is on call."""
    todo = [value]
    while todo:
        here = todo.pop()
        if isinstance(here, dict):
            here.pop("client_secret", None)
            todo.extend(here.values())
        elif isinstance(here, list):
            todo.extend(here)


_STORE = """
INSERT INTO payments_inboxevent (account_id, event_id, event_type, object_id, occurred_at, received_at, payload,
                                 state, tries, due_at, error)
VALUES {}
ON CONFLICT (account_id, event_id) DO NOTHING
RETURNING account_id, event_id
"""
_STORED = "(%s, %s, %s, %s, %s, %s, %s, 'received', 0, %s, '')"


def store(*, account_id: int, event: Arrived, now: datetime.datetime) -> bool:
    """Store an event unless it is there, ring the bell; return whether it is new. One statement, one commit."""
    (is_new,) = store_all([(account_id, event)], now=now)
    return is_new


def store_all(arrivals: Sequence[tuple[int, Arrived]], *, now: datetime.datetime) -> list[bool]:
    """Store events of accounts (their ids) with one statement and one commit; return which are new, in their order."""
    values: list[Any] = []
    # In one order: two processes that store the same ones, sent twice, wait for each other and never in a ring.
    for account_id, event in sorted(arrivals, key=lambda arrival: (arrival[0], arrival[1].event_id)):
        values += [account_id, event.event_id, event.event_type, event.object_id, event.occurred_at, now]
        values += [event.payload_json, now]
    with connection.cursor() as cursor:
        cursor.execute(_STORE.format(", ".join([_STORED] * len(arrivals))), values)
        new = set(cursor.fetchall())
    faultpoints.reach(faultpoints.EVENT_STORED)
    if new:
        transaction.on_commit(lambda: bell.ring(Queue.WEBHOOKS))
    found = []
    for account_id, event in arrivals:
        key = (account_id, event.event_id)
        found.append(key in new)
        new.discard(key)  # of two that are the same, one is new
    return found
