"""The control API under ``/_sandbox/``: what a test, a drill or a person needs beyond what Stripe offers.

It asks for no key: the sandbox belongs on a loopback address and never holds anything real.
"""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from sandbox import keys
from sandbox.api.webhook_endpoints import ROLL_SECONDS, roll_secret
from sandbox.errors import StripeError, invalid, missing
from sandbox.ids import kind_of
from sandbox.server import CORS, Sandbox
from sandbox.world import Obj, Tx

Action = Callable[[Sandbox, Obj, list[str], str], Awaitable[Any]]
_ACTIONS: dict[tuple[str, str, int], Action] = {}


def action(method: str, name: str, ids: int = 0) -> Callable[[Action], Action]:
    """Register a control: ``/_sandbox/{name}`` with that many ids behind it."""

    def register(run: Action) -> Action:
        _ACTIONS[method, name, ids] = run
        return run

    return register


async def handle(sandbox: Sandbox, request: web.BaseRequest) -> web.Response | None:
    """Answer a control request, or return None when there is no such control."""
    parts = request.path.removeprefix("/_sandbox/").strip("/").split("/")
    name, ids = parts[0], parts[1:]
    if len(parts) == 3 and (request.method, f"{parts[0]}/{parts[2]}", 1) in _ACTIONS:
        name, ids = f"{parts[0]}/{parts[2]}", [parts[1]]
    elif len(parts) == 2 and (request.method, "/".join(parts), 0) in _ACTIONS:
        name, ids = "/".join(parts), []
    run = _ACTIONS.get((request.method, name, len(ids)))
    if run is None:
        return None
    try:
        answer = await run(sandbox, await _json(request), ids, f"http://{request.host}")
        await sandbox.store.settled()
        status = 200
    except StripeError as error:
        status, answer = error.status, error.body("req_control", sandbox.clock.now())
    except (KeyError, TypeError, ValueError) as error:
        status, answer = (
            400,
            {"error": {"type": "invalid_request_error", "message": f"Bad control: {error!r}"}},
        )
    return web.Response(
        status=status, body=orjson.dumps(answer), content_type="application/json", headers=CORS
    )


async def run(sandbox: Sandbox, method: str, name: str, given: Obj, ids: list[str], base: str) -> Any:
    """Do what a control does, for a page that offers it as a form."""
    return await _ACTIONS[method, name, len(ids)](sandbox, given, ids, base)


async def _json(request: web.BaseRequest) -> Obj:
    raw = await request.read()
    if not raw:
        return dict(request.query)
    try:
        given = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise invalid("The body must be JSON.") from None
    if not isinstance(given, dict):
        raise invalid("The body must be a JSON object.")
    return given


@action("GET", "health")
async def health(sandbox: Sandbox, _: Obj, __: list[str], ___: str) -> Obj:
    """Return that it runs, its time, and how much waits."""
    pending = sum(delivery.status == "pending" for delivery in sandbox.sender.deliveries.values())
    books = sandbox.world.books.values()
    return {
        "ok": True,
        "now": sandbox.clock.now(),
        "accounts": len(books),
        "objects": sum(len(shelf) for book in books for shelf in book.shelves.values()),
        "in_memory": sandbox.world.in_memory,
        "pending": pending,
    }


@action("GET", "clock")
async def read_clock(sandbox: Sandbox, _: Obj, __: list[str], ___: str) -> Obj:
    """Return the sandbox's time."""
    return {"now": sandbox.clock.now(), "offset": sandbox.clock.offset}


@action("POST", "clock")
async def advance(sandbox: Sandbox, given: Obj, _: list[str], __: str) -> Obj:
    """Move the clock forward, by ``advance`` seconds or to the time ``set``; what falls due happens."""
    seconds = float(given["advance"]) if "advance" in given else float(given["set"]) - sandbox.clock.now()
    sandbox.clock.advance(seconds)
    sandbox.remember("clock", sandbox.clock.offset)
    sandbox.sender.wake()
    return {"now": sandbox.clock.now(), "offset": sandbox.clock.offset}


@action("GET", "faults")
async def list_faults(sandbox: Sandbox, _: Obj, __: list[str], ___: str) -> Obj:
    """Return the faults in force and how often each struck."""
    return {"data": [fault.shown() for fault in sandbox.faults.active]}


@action("POST", "faults")
async def add_fault(sandbox: Sandbox, given: Obj, _: list[str], __: str) -> Obj:
    """Arm a fault."""
    return sandbox.faults.add(given).shown()


@action("DELETE", "faults")
async def clear_faults(sandbox: Sandbox, _: Obj, __: list[str], ___: str) -> Obj:
    """Disarm every fault."""
    sandbox.faults.clear()
    return {"data": []}


@action("DELETE", "faults", 1)
async def clear_fault(sandbox: Sandbox, _: Obj, ids: list[str], __: str) -> Obj:
    """Disarm one fault."""
    if not sandbox.faults.remove(ids[0]):
        raise missing("fault", ids[0])
    return {"data": [fault.shown() for fault in sandbox.faults.active]}


@action("POST", "config")
async def configure(sandbox: Sandbox, given: Obj, _: list[str], __: str) -> Obj:
    """Change latency or locking while running."""
    if "latency_ms" in given:
        sandbox.latency = max(0.0, float(given["latency_ms"]) / 1000)
    if "lock_conflicts" in given:
        sandbox.lock_conflicts = bool(given["lock_conflicts"])
    return {"latency_ms": int(sandbox.latency * 1000), "lock_conflicts": sandbox.lock_conflicts}


@action("POST", "keys/revoke")
async def revoke(sandbox: Sandbox, given: Obj, _: list[str], __: str) -> Obj:
    """Revoke all keys of an account (``account``) or one (``key``)."""
    sandbox.revoked.add(_revocable(given))
    sandbox.remember("revoked", sorted(sandbox.revoked))
    return {"revoked": len(sandbox.revoked)}


@action("POST", "keys/expire")
async def expire_key(sandbox: Sandbox, given: Obj, _: list[str], __: str) -> Obj:
    """Let a ``key`` end ``after`` so many seconds of the clock, or ``at`` a time; neither takes it back."""
    mark = keys.digest(str(given["key"]))
    if "after" in given:
        sandbox.expiring[mark] = sandbox.clock.now() + float(given["after"])
    elif "at" in given:
        sandbox.expiring[mark] = float(given["at"])
    else:
        sandbox.expiring.pop(mark, None)
    sandbox.remember("expiring", sandbox.expiring)
    return {"expires_at": sandbox.expiring.get(mark)}


@action("POST", "keys/restore")
async def restore(sandbox: Sandbox, given: Obj, _: list[str], __: str) -> Obj:
    """Take a revocation back."""
    sandbox.revoked.discard(_revocable(given))
    sandbox.remember("revoked", sorted(sandbox.revoked))
    return {"revoked": len(sandbox.revoked)}


def _revocable(given: Obj) -> str:
    return str(given["account"]) if "account" in given else keys.digest(str(given["key"]))


#: Kind -> the fields that ``books`` shows of it.
_BOOKED = {
    "payment_intent": ("id", "status", "amount", "amount_received", "amount_capturable", "currency", "metadata",
                       "latest_charge", "customer", "capture_method", "payment_method_types", "cancellation_reason",
                       "created"),
    "charge": ("id", "status", "amount", "amount_captured", "amount_refunded", "captured", "paid", "refunded",
               "disputed", "currency", "metadata", "payment_intent", "customer", "balance_transaction",
               "failure_code", "created"),
    "refund": ("id", "status", "amount", "currency", "metadata", "reason", "charge", "payment_intent",
               "balance_transaction", "failure_balance_transaction", "failure_reason", "created"),
    "dispute": ("id", "status", "amount", "currency", "reason", "charge", "payment_intent", "metadata", "created"),
    "balance_transaction": ("id", "type", "amount", "fee", "net", "currency", "source", "created"),
    "payout": ("id", "status", "amount", "currency", "automatic", "balance_transaction", "created"),
}  # fmt: skip


@action("GET", "books", 1)
async def books(sandbox: Sandbox, _: Obj, ids: list[str], __: str) -> Obj:
    """Return an account's money as Stripe has it, with what is needed to compare books (see ``_BOOKED``)."""
    book = sandbox.world.book(ids[0])
    return {
        "account": f"acct_{ids[0]}",
        **{
            f"{kind}s": [{name: obj.get(name) for name in names} for obj in book.shelf(kind).values()]
            for kind, names in _BOOKED.items()
        },
    }


@action("GET", "dump")
async def dump(sandbox: Sandbox, _: Obj, __: list[str], ___: str) -> Obj:
    """Return every object of every account as the API would show it."""
    return {
        "data": [
            obj
            for book in sandbox.world.books.values()
            for kind, shelf in book.shelves.items()
            if not kind.startswith("sandbox.")
            for obj in shelf.values()
        ]
    }


@action("GET", "events", 1)
async def events(sandbox: Sandbox, _: Obj, ids: list[str], __: str) -> Obj:
    """Return an account's events, oldest first, each with its deliveries."""
    book = sandbox.world.book(ids[0])
    return {
        "data": [
            {
                "id": event["id"],
                "type": event["type"],
                "created": event["created"],
                "object": event["data"]["object"]["id"],
                "deliveries": [asdict(d) for d in sandbox.sender.by_event.get((ids[0], event["id"]), [])],
            }
            for event in book.shelf("event").values()
        ]
    }


@action("GET", "deliveries", 1)
async def deliveries(sandbox: Sandbox, _: Obj, ids: list[str], __: str) -> Obj:
    """Return every delivery of an account."""
    return {"data": [asdict(d) for d in sandbox.sender.deliveries.values() if d.account == ids[0]]}


@action("POST", "events/resend", 1)
async def resend(sandbox: Sandbox, given: Obj, ids: list[str], _: str) -> Obj:
    """Send an event again, to all enabled endpoints or to ``endpoint``."""
    account = find_account(sandbox, "event", ids[0])
    return {"deliveries": sandbox.sender.resend(account, ids[0], given.get("endpoint"))}


@action("POST", "events/delay", 1)
async def delay(sandbox: Sandbox, given: Obj, ids: list[str], _: str) -> Obj:
    """Let an event's pending deliveries wait for ``seconds``."""
    account = find_account(sandbox, "event", ids[0])
    return {"deliveries": sandbox.sender.postpone(account, ids[0], max(0.0, float(given["seconds"])))}


@action("POST", "events/drop", 1)
async def drop(sandbox: Sandbox, _: Obj, ids: list[str], __: str) -> Obj:
    """Give an event's pending deliveries up, as if the network had lost them."""
    return {"deliveries": sandbox.sender.drop(find_account(sandbox, "event", ids[0]), ids[0])}


@action("POST", "webhook_endpoints/roll_secret", 1)
async def roll(sandbox: Sandbox, given: Obj, ids: list[str], _: str) -> Obj:
    """Roll an endpoint's secret; both sign for ``overlap_seconds``."""
    tx = sandbox.world.begin(find_account(sandbox, "webhook_endpoint", ids[0]))
    secret = roll_secret(tx, ids[0], int(given.get("overlap_seconds", ROLL_SECONDS)))
    tx.commit()
    return {"id": ids[0], "secret": secret}


@action("POST", "reset")
async def reset(sandbox: Sandbox, _: Obj, __: list[str], ___: str) -> Obj:
    """Forget every object, event, delivery, key and fault; the clock keeps its time."""
    sandbox.world.clear()
    sandbox.sender.clear()
    sandbox.keys.clear()
    sandbox.faults.clear()
    sandbox.revoked.clear()
    sandbox.expiring.clear()
    sandbox.store.clear()
    sandbox.remember("clock", sandbox.clock.offset)
    return {"ok": True}


def find_account(sandbox: Sandbox, kind: str, object_id: str) -> str:
    """Return the slug of the account that has an object."""
    for slug, book in sandbox.world.books.items():
        if object_id in book.shelf(kind):
            return slug
    raise missing(kind, object_id)


def opened(sandbox: Sandbox, kind: str, object_id: str, base: str = "") -> tuple[Tx, Obj]:
    """Return a transaction on the account that has an object, and the object."""
    tx = sandbox.world.begin(find_account(sandbox, kind, object_id), base_url=base)
    return tx, tx.need(kind, object_id)


def intent_for_page(sandbox: Sandbox, intent_id: str, base: str) -> tuple[Tx, Obj]:
    """Return a transaction and the payment or setup intent, for a page that knows only the intent's id."""
    return opened(sandbox, kind_of(intent_id) or "payment_intent", intent_id, base)
