"""Events as they can be read back: the last 30 days, filtered by type, time and fate of their delivery."""

from sandbox.errors import invalid, missing
from sandbox.operations import operation
from sandbox.shapes import page
from sandbox.world import Obj, Tx

KEPT_SECONDS = 30 * 24 * 3600
MAX_TYPES = 20


def shown(tx: Tx, event: Obj) -> Obj:
    """Return an event with the number of deliveries that are pending now."""
    return {**event, "pending_webhooks": tx.world.fate(tx.book.slug, event["id"])[0]}


@operation("events.retrieve", "GET", "/v1/events/{}")
def retrieve(tx: Tx, _: Obj, event_id: str) -> Obj:
    """Return one event."""
    event = tx.need("event", event_id)
    if event["created"] < tx.now - KEPT_SECONDS:
        raise missing("event", event_id)
    return shown(tx, event)


@operation("events.list", "GET", "/v1/events")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List events, newest first; ``delivery_success=false`` includes those still being delivered."""
    types = params.get("types")
    if types is not None and "type" in params:
        raise invalid("You may pass either type or types, but not both.", "types", "parameters_exclusive")
    if types is not None and len(types) > MAX_TYPES:
        raise invalid(f"types can have at most {MAX_TYPES} entries.", "types")
    wanted = [params["type"]] if "type" in params else types
    success = params.get("delivery_success")
    oldest = tx.now - KEPT_SECONDS

    def keep(event: Obj) -> bool:
        if event["created"] < oldest or (wanted is not None and not matches(event["type"], wanted)):
            return False
        if success is None:
            return True
        pending, well = tx.world.fate(tx.book.slug, event["id"])
        return bool(success) == (pending == 0 and well)

    found = page(tx, "event", params, "/v1/events", keep)
    return {**found, "data": [shown(tx, event) for event in found["data"]]}


def matches(kind: str, wanted: list[str]) -> bool:
    """Return whether an event type is among those wanted; ``*`` and ``charge.*`` stand for many."""
    return any(item in ("*", kind) or (item.endswith(".*") and kind.startswith(item[:-1])) for item in wanted)
