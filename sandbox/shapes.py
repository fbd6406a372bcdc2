"""Shapes of answers: expansion of ids, list pages with cursors, and what a publishable key may see."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sandbox.errors import invalid
from sandbox.ids import kind_of
from sandbox.operations import VIEWS
from sandbox.params import bounds as params_bounds
from sandbox.shelves import INDEXED, Shelf
from sandbox.world import Obj, Tx

MAX_DEPTH = 4  # Stripe's limit on one expand path
DEFAULT_LIMIT, MAX_LIMIT = 10, 100

_EXPANDABLE: Mapping[str, frozenset[str]] = {
    "payment_intent": frozenset(
        ["customer", "latest_charge", "payment_method", "application", "on_behalf_of", "review", "source"]
    ),
    "charge": frozenset(
        [
            "balance_transaction",
            "customer",
            "failure_balance_transaction",
            "payment_intent",
            "refunds",
            "review",
            "application",
            "application_fee",
            "on_behalf_of",
            "source_transfer",
            "transfer",
        ]
    ),
    "refund": frozenset(
        [
            "balance_transaction",
            "charge",
            "customer",
            "failure_balance_transaction",
            "payment_intent",
            "payment_method",
            "source_transfer_reversal",
            "transfer_reversal",
        ]
    ),
    "payment_method": frozenset({"customer"}),
    "balance_transaction": frozenset({"source"}),
    "confirmation_token": frozenset({"payment_intent", "setup_intent"}),
    "dispute": frozenset({"charge", "payment_intent"}),
    "event": frozenset(),
    "payout": frozenset({"balance_transaction", "destination", "failure_balance_transaction"}),
    "radar.early_fraud_warning": frozenset({"charge", "payment_intent"}),
    "setup_attempt": frozenset({"application", "customer", "on_behalf_of", "payment_method", "setup_intent"}),
    "setup_intent": frozenset(
        [
            "application",
            "customer",
            "latest_attempt",
            "mandate",
            "on_behalf_of",
            "payment_method",
            "single_use_mandate",
        ]
    ),
    "terminal.reader": frozenset({"location"}),
    "customer": frozenset(
        ["default_source", "sources", "subscriptions", "tax_ids", "test_clock", "tax", "cash_balance"]
    ),
}
#: What can be expanded inside an object that has no ``object`` of its own: the way to it.
_DEEPER: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "terminal.reader": (
        ("action", "process_payment_intent", "payment_intent"),
        ("action", "collect_payment_method", "payment_intent"),
        ("action", "confirm_payment_intent", "payment_intent"),
        ("action", "process_setup_intent", "setup_intent"),
        ("action", "refund_payment", "charge"),
        ("action", "refund_payment", "payment_intent"),
        ("action", "refund_payment", "refund"),
    )
}
_PUBLIC_INTENT = [
    "id",
    "object",
    "amount",
    "amount_details",
    "automatic_payment_methods",
    "canceled_at",
    "cancellation_reason",
    "capture_method",
    "client_secret",
    "confirmation_method",
    "created",
    "currency",
    "description",
    "last_payment_error",
    "livemode",
    "next_action",
    "payment_method",
    "payment_method_configuration_details",
    "payment_method_types",
    "processing",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "source",
    "status",
]


_PUBLIC_SETUP = [
    "id",
    "object",
    "automatic_payment_methods",
    "cancellation_reason",
    "client_secret",
    "created",
    "description",
    "last_setup_error",
    "livemode",
    "next_action",
    "payment_method",
    "payment_method_configuration_details",
    "payment_method_types",
    "status",
    "usage",
]


def expand(tx: Tx, obj: Obj, paths: Iterable[str]) -> Obj:
    """Return the object with the ids on each path (``a.b.c``) replaced by the objects they name."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > MAX_DEPTH:
            raise invalid(
                f"You cannot expand more than {MAX_DEPTH} levels of a property. Property: {path}", "expand"
            )
        obj = _expand(tx, obj, parts, path)
    return obj


def _expand(tx: Tx, obj: Obj, parts: list[str], path: str) -> Obj:
    name, rest = parts[0], parts[1:]
    if obj.get("object") == "list" and name == "data":
        return {
            **obj,
            "data": [_expand(tx, item, rest, path) for item in obj["data"]] if rest else obj["data"],
        }
    for way in _DEEPER.get(obj.get("object", ""), ()):
        if tuple(parts[: len(way)]) == way:
            return _expand_deeper(tx, obj, way, parts[len(way) :], path)
    if name not in _EXPANDABLE.get(obj.get("object", ""), ()):
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    value = obj.get(name)
    if name == "refunds":
        value = value or refunds_of(tx, obj)
    elif isinstance(value, str):
        kind = kind_of(value) or ""
        found = tx.get(kind, value)
        value = VIEWS.get(kind, _as_it_is)(tx, found) if found is not None else value
    if rest and isinstance(value, dict) and "object" in value:
        value = _expand(tx, value, rest, path)
    return {**obj, name: value} if name in obj or value is not None else obj


def _expand_deeper(tx: Tx, obj: Obj, way: tuple[str, ...], rest: list[str], path: str) -> Obj:
    """Return a copy with the id at the end of a way through plain objects expanded, if the way goes so far."""
    name, *onwards = way
    value = obj.get(name)
    if onwards:
        return (
            {**obj, name: _expand_deeper(tx, value, tuple(onwards), rest, path)}
            if isinstance(value, dict)
            else obj
        )
    found = tx.get(kind_of(value) or "", value) if isinstance(value, str) else None
    if found is None:
        return obj
    return {**obj, name: _expand(tx, found, rest, path) if rest else found}


def _as_it_is(_: Tx, obj: Obj) -> Obj:
    return obj


def refunds_of(tx: Tx, charge: Obj) -> Obj:
    """Return the list of a charge's refunds, which Stripe includes only when asked."""
    found = tx.find("refund", "charge", charge["id"])[::-1]
    return {
        "object": "list",
        "data": found[:DEFAULT_LIMIT],
        "has_more": len(found) > DEFAULT_LIMIT,
        "url": f"/v1/charges/{charge['id']}/refunds",
    }


def page(
    tx: Tx,
    kind: str,
    params: Mapping[str, Any],
    url: str,
    keep: Callable[[Obj], bool] = lambda _: True,
    *,
    by: tuple[str, ...] = (),
    among: list[Obj] | None = None,
) -> Obj:
    """Return one page of a list, newest first, by Stripe's cursors.

    ``by`` names the filters that are equal to a field of the same name; ``among`` gives the objects, newest first, when
    they are not all of a kind.
    """
    limit = params.get("limit", DEFAULT_LIMIT)
    if not 1 <= limit <= MAX_LIMIT:
        word = "greater than or equal to 1" if limit < 1 else f"less than or equal to {MAX_LIMIT}"
        raise invalid(f"This value must be {word}.", "limit", "parameter_invalid_integer")
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise invalid("You can only pass one of these parameters: starting_after, ending_before.")
    wanted = {name: params[name] for name in by if name in params}
    shelf = tx.book.shelf(kind)
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor and shelf.place(cursor) is None:
            raise invalid(f"No such {kind}: '{cursor}'", name, "resource_missing")
    bounds = params_bounds(params.get("created"))
    found: list[Obj] = []
    for obj in _candidates(shelf, kind, wanted, among, after, before):
        if bounds and not within(obj["created"], bounds):
            continue
        if all(obj.get(name) == value for name, value in wanted.items()) and keep(obj):
            found.append(obj)
            if len(found) > limit:
                break
    show = VIEWS.get(kind)
    data = [show(tx, obj) for obj in found[:limit]] if show else found[:limit]
    return {
        "object": "list",
        "data": data[::-1] if before else data,
        "has_more": len(found) > limit,
        "url": url,
    }


def _candidates(
    shelf: Shelf, kind: str, wanted: Obj, among: list[Obj] | None, after: str | None, before: str | None
) -> Iterable[Obj]:
    """Return the objects a page may show, in its direction: by an index where a filter has one."""
    name = next((name for name in wanted if name in INDEXED.get(kind, ())), None)
    if among is None and name is None:
        return shelf.oldest_first(before) if before else shelf.newest_first(after)
    found = among if among is not None else shelf.find(str(name), wanted[str(name)])[::-1]
    if before:
        edge = shelf.place(before) or 0
        return [obj for obj in reversed(found) if shelf.seqs[obj["id"]] > edge]
    edge = (shelf.place(after) if after else None) or 0
    return [obj for obj in found if not edge or shelf.seqs[obj["id"]] < edge]


def within(moment: int, bounds: Mapping[str, int]) -> bool:
    """Return whether a time lies in ``{gt, gte, lt, lte}``."""
    return (
        moment > bounds.get("gt", -1)
        and moment >= bounds.get("gte", 0)
        and ("lt" not in bounds or moment < bounds["lt"])
        and ("lte" not in bounds or moment <= bounds["lte"])
    )


def public_intent(intent: Obj) -> Obj:
    """Return the part of an intent that the publishable key may read: no metadata, no customer."""
    return {name: intent[name] for name in _PUBLIC_INTENT if name in intent}


def public_setup_intent(intent: Obj) -> Obj:
    """Return the part of a setup intent that the publishable key may read."""
    return {name: intent[name] for name in _PUBLIC_SETUP if name in intent}
