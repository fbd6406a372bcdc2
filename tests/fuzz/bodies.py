"""Bodies that no honest Stripe sends: events with one thing or many gone wrong, and bytes that are nothing at all.

Seeded: the same seed makes the same bodies. Fast, since a long run makes a million; hypothesis would take hours.
"""

from __future__ import annotations

import copy
import json
import random
from typing import Any

EVENT: dict[str, Any] = {
    "id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "created": 1_790_000_000,
    "api_version": "2026-10-28.endive", "livemode": False, "pending_webhooks": 1,
    "request": {"id": "req_1", "idempotency_key": "key"},
    "data": {"object": {
        "id": "pi_1", "object": "payment_intent", "amount": 3600, "currency": "usd", "status": "succeeded",
        "client_secret": "pi_1_secret_2", "metadata": {"payment": "00000000-0000-0000-0000-000000000000"},
        "latest_charge": {"id": "ch_1", "payment_method_details": {"card": {"brand": "visa", "last4": "4242"}}},
    }, "previous_attributes": {"status": "processing"}},
}  # fmt: skip
TYPES = (
    "payment_intent.succeeded", "charge.refunded", "charge.dispute.created", "refund.updated", "payout.paid",
    "terminal.reader.action_failed", "setup_intent.succeeded", "customer.created", "", "\x00", "x" * 200,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**18, 10**40, -(2**63), 2**63, 1e308, "", "0", "\x00", "\ud800", "é" * 300,
    "a" * 70, "evt_1", [], [[]], {}, {"": {}}, {"id": None}, [None] * 50, "2026-01-01", "NaN", {"object": "event"},
)  # fmt: skip
PIECES = (
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"NaN", b"Infinity", b"-", b"1e999", b"\\u0000", b"\\ud800",
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b" " * 40, b"[" * 2000, b'{"a":' * 500, b"9" * 5000,
)  # fmt: skip


def body(chance: random.Random) -> bytes:
    """Return the next body."""
    event = copy.deepcopy(EVENT)
    event["id"] = f"evt_{chance.getrandbits(64):x}"
    event["type"] = chance.choice(TYPES)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 5))):
        _spoil(chance, event)
    raw = json.dumps(event, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    for _ in range(chance.choice((0, 0, 0, 1, 2, 8))):
        raw = _bend(chance, raw)
    return raw


def _spoil(chance: random.Random, event: dict[str, Any]) -> None:
    """Put something else in the place of one value, anywhere in the tree, or take it away."""
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(items):
            places.append((node, key))
            if isinstance(value, dict | list) and value:
                walk(value)

    walk(event)
    if not places:
        return
    node, key = chance.choice(places)
    if chance.random() < 0.2 and isinstance(node, dict):
        del node[key]
    else:
        node[key] = copy.deepcopy(chance.choice(VALUES))


def _bend(chance: random.Random, raw: bytes) -> bytes:
    """Change the bytes, whatever they mean."""
    at = chance.randrange(len(raw) + 1)
    match chance.randrange(5):
        case 0:
            return raw[:at] + chance.choice(PIECES) + raw[at:]
        case 1:
            return raw[:at]
        case 2:
            return raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
        case 3:
            return raw[at:] + raw[:at]
        case _:
            return raw + raw[:at]


def signature(chance: random.Random, good: str) -> str:
    """Return the good signature mostly, and one that is wrong in some way."""
    if chance.random() < 0.75:
        return good
    wrong = (
        "",
        "t=",
        "t=1,v1=",
        "v1=abc",
        "t=x,v1=y",
        "t=1e9,v1=é",
        good[:-1],
        good + "0",
        good.upper(),
        ",=,=",
        "t=\x00",
    )
    return chance.choice((*wrong, f"t={10**30},{good}", good.replace("v1=", "v0=")))
