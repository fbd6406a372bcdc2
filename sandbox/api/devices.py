"""The device behind a reader: what it shows, who is at it, and how each of its actions ends.

Stripe's reader object says what was asked of it; whether it is plugged in, waits for a card or is busy authorising is
the device's own, and is kept in an object that the API never shows. A reader has one place for an action: a new one
replaces one that still waits for a card, without an event, and is refused once money is being asked for.
"""

from collections.abc import Callable
from typing import Any

from sandbox import cards
from sandbox.api import payment_intents, presence
from sandbox.errors import StripeError, invalid, missing
from sandbox.ids import token
from sandbox.operations import job, view
from sandbox.world import Obj, Tx

OFFLINE_SECONDS = 120  # Stripe calls a reader offline when it has not been heard of for two minutes
INPUT_SECONDS = 120.0  # an input that nobody touches for so long has failed
DISPLAY_SECONDS = 0.2  # until a cart is on the screen, or a collected card was asked for its money
API_ERROR_SINCE = (2, 42)  # older software of a reader does not tell ``api_error``
#: Where an action's settings are, by its type.
CONFIGS = {"process_payment_intent": "process_config", "collect_payment_method": "collect_config",
           "process_setup_intent": "process_config", "refund_payment": "refund_payment_config"}  # fmt: skip
_WAITING = ("tip", "card", "input")
End = Callable[[Tx, Obj, Obj], Obj]
#: Type of action -> how it ends once a card was presented; see `reader_endings`.
ENDS: dict[str, End] = {}
_MESSAGES = {
    "terminal_reader_offline": "Reader is currently offline, please ensure the reader is powered on and connected to "
    "the internet before retrying your request.",
    "terminal_reader_busy": "Reader is currently busy processing another request, please wait until it has finished.",
    "terminal_reader_timeout": "There was a timeout when sending this command to the reader.",
    "connection_error": "Could not communicate with the Stripe API while processing the payment.",
    "customer_canceled": "The customer canceled the transaction on the reader.",
    "collect_inputs_timed_out": "Nobody touched the screen of the reader for two minutes.",
}


def refused(code: str, *, keeps: bool = False) -> StripeError:
    """Return the error of a command that the reader did not take, or (``keeps``) seems not to have taken."""
    return StripeError(400, _MESSAGES[code], code=code, executed=True, keeps=keeps)


def fresh(tx: Tx, reader_id: str) -> Obj:
    """Return (unstored) the device of a new reader: plugged in, idle."""
    return {
        "id": f"device_{reader_id}",
        "object": "sandbox.device",
        "auto": None,
        "base_url": tx.base_url,
        "hand": None,
        "loses": None,
        "phase": "idle",
        "plugged_in": True,
        "run": "",
        "seen_at": _milliseconds(tx),
        "served": 0,
        "tip": None,
    }


def pair(tx: Tx, reader_id: str, param: str | None = None) -> tuple[Obj, Obj]:
    """Return a reader and its device."""
    reader = tx.need("terminal.reader", reader_id, param)
    if reader.get("deleted"):
        raise missing("terminal.reader", reader_id)
    return reader, tx.need("sandbox.device", f"device_{reader_id}")


@view("terminal.reader")
def shown(tx: Tx, reader: Obj) -> Obj:
    """Return a reader as the API shows it now: when it was last heard of, and what follows of that."""
    if reader.get("deleted"):
        return reader
    device = tx.need("sandbox.device", f"device_{reader['id']}")
    seen = _milliseconds(tx) if device["plugged_in"] else device["seen_at"]
    is_online = _milliseconds(tx) - seen < OFFLINE_SECONDS * 1000
    return {**reader, "last_seen_at": seen, "status": "online" if is_online else "offline"}


def _milliseconds(tx: Tx) -> int:
    return int(tx.time * 1000)


def strike(tx: Tx, stage: str, operation: str, reader: Obj) -> dict[str, Any]:
    """Return the faults that strike a reader at a stage, by kind."""
    facts = {"account": tx.book.slug, "operation": operation, "reader": reader["id"], "path": reader["id"]}
    return {fault.kind: fault for fault in tx.world.strike(stage, facts)}


def reach(tx: Tx, reader: Obj, device: Obj, operation: str) -> dict[str, Any]:
    """Return the faults of a command that the reader gets, or refuse it: offline, busy, or no answer in time."""
    struck = strike(tx, "reader", operation, reader)
    if "reader_offline" in struck or not device["plugged_in"]:
        raise refused("terminal_reader_offline")
    if "reader_busy" in struck or device["phase"] in ("authorising", "updating"):
        raise refused("terminal_reader_busy")
    if "reader_timeout" in struck:
        raise refused("terminal_reader_timeout")
    return struck


def begin(tx: Tx, reader: Obj, device: Obj, kind: str, details: Obj, phase: str, base_url: str = "") -> Obj:
    """Give the reader an action, in the place of whatever it waited with; returns the reader."""
    action = {"api_error": None, "failure_code": None, "failure_message": None, "status": "in_progress",
              "type": kind, kind: details}  # fmt: skip
    run = token(12)
    url = base_url or tx.base_url or device["base_url"]
    device = tx.change(
        device,
        phase=phase,
        run=run,
        tip=None,
        hand=None,
        loses=None,
        served=device["served"] + 1,
        base_url=url,
    )
    if device["auto"] and phase in _WAITING:
        tx.after(device["auto"]["after_ms"] / 1000, "reader_person", f"{reader['id']}/{run}")
    return tx.change(reader, action=action)


def mislead(tx: Tx, operation: str, reader: Obj) -> Obj:
    """Let the faults strike that follow a reader's taking an action; returns the reader as the caller is told of it."""
    device = tx.need("sandbox.device", f"device_{reader['id']}")
    struck = strike(tx, "reader_action", operation, reader)
    told = shown(tx, reader)
    if (fault := struck.get("reader_stuck")) is not None:
        if fault.options.get("authorised"):
            tx.change(device, loses="answer")
        else:
            unplug(tx, reader["id"])
    if (fault := struck.get("reader_customer_cancels")) is not None:
        tx.after(fault.ms / 1000, "reader_cancelled", f"{reader['id']}/{device['run']}")
    if "reader_replaced" in struck:
        replace(tx, reader, device)
    return told


def replace(tx: Tx, reader: Obj, device: Obj) -> Obj:
    """Let another till take the reader with a payment of its own, without a word to who used it."""
    if device["phase"] == "authorising":
        raise refused("terminal_reader_busy")
    running = (reader["action"] or {}).get("process_payment_intent") or {}
    old = tx.get("payment_intent", running.get("payment_intent") or "") or {}
    params = {
        "amount": old.get("amount", 700),
        "currency": old.get("currency", "usd"),
        "allowed_payment_method_types": ["card_present"],
        "metadata": {"sandbox": "another till"},
    }
    intent = payment_intents.create(tx, params)
    return begin(tx, reader, device, "process_payment_intent", {"payment_intent": intent["id"]}, "card")


# -- what a person does ---------------------------------------------------------------------------------------------


def unplug(tx: Tx, reader_id: str) -> Obj:
    """Take the reader off the net: what it did last stays as it was, and nobody hears of it."""
    reader, device = pair(tx, reader_id)
    if device["plugged_in"]:
        tx.change(device, plugged_in=False, seen_at=_milliseconds(tx))
    return reader


def plug_in(tx: Tx, reader_id: str) -> Obj:
    """Bring the reader back: idle, though an action it was cut off from stays ``in_progress``."""
    reader, device = pair(tx, reader_id)
    if not device["plugged_in"]:
        tx.change(device, plugged_in=True, phase="idle", hand=None, loses=None, run=token(12))
    return reader


def choose_tip(tx: Tx, reader_id: str, amount: int) -> Obj:
    """Choose a tip, or none with 0; then the reader asks for the card."""
    reader, device = pair(tx, reader_id)
    if device["phase"] != "tip" or not device["plugged_in"]:
        raise invalid("The reader does not ask for a tip now.")
    if amount < 0:
        raise invalid("A tip is not negative.", "amount")
    tx.change(device, phase="card", tip=amount)
    return reader


def cancel(tx: Tx, reader_id: str, *, only_if_offered: bool = True) -> Obj:
    """Press the reader's cancel button, which is there only where the action offers it."""
    reader, device = pair(tx, reader_id)
    if device["phase"] not in _WAITING or not device["plugged_in"]:
        raise invalid("The reader shows nothing that could be cancelled.")
    if only_if_offered and not can_cancel(reader):
        raise invalid("The reader shows no cancel button: enable_customer_cancellation was not set.")
    return fail(tx, reader, device, "customer_canceled")


def can_cancel(reader: Obj) -> bool:
    """Return whether an action offers the customer to cancel it."""
    action = reader["action"] or {}
    details = action.get(action.get("type")) or {}
    config = details.get(CONFIGS.get(action.get("type", ""), "")) or {}
    return bool(config.get("enable_customer_cancellation"))


def present(
    tx: Tx,
    reader_id: str,
    card: str | None = None,
    how: str = "tap",
    tip: int | None = None,
    processing_ms: int = 0,
) -> Obj:
    """Hold a card to the reader; it authorises at once, or for so long that others find it busy."""
    reader, device = pair(tx, reader_id)
    if device["phase"] not in ("tip", "card") or not device["plugged_in"]:
        raise invalid(f"Reader {reader_id} is not waiting for a payment method to be presented.")
    found = cards.at_reader(card or "visa")
    if found is None:
        raise invalid(f"No such test card: '{card}'", "number", "resource_missing")
    if how not in presence.READ_METHODS:
        raise invalid(f"A card is presented by: {', '.join(presence.READ_METHODS)}.", "how")
    if tip is not None and tip < 0:
        raise invalid("Invalid non-negative integer", "amount_tip", "parameter_invalid_integer")
    hand = {"card": found.number, "name": found.name, "how": how, "by_amount": card is None}
    device = tx.change(device, phase="authorising", hand=hand, tip=device["tip"] if tip is None else tip)
    if processing_ms > 0:
        tx.after(processing_ms / 1000, "reader_authorises", f"{reader_id}/{device['run']}")
        return reader
    return authorise(tx, reader_id)


def authorise(tx: Tx, reader_id: str) -> Obj:
    """Ask the bank about the card in the reader, and end the action with its answer."""
    reader, device = pair(tx, reader_id)
    if device["phase"] != "authorising":
        raise invalid("The reader is not authorising anything.")
    tx.presence = {"reader": reader_id, "location": reader["location"]}
    tx.base_url = tx.base_url or device["base_url"]
    return ENDS[reader["action"]["type"]](tx, reader, device)


# -- how each action ends -------------------------------------------------------------------------------------------


def succeed(tx: Tx, reader: Obj, device: Obj, **details: Any) -> Obj:
    """End the action well, with what came of it."""
    action = reader["action"]
    done = {**action, "status": "succeeded", action["type"]: {**action[action["type"]], **details}}
    return _end(tx, reader, device, done)


def fail(tx: Tx, reader: Obj, device: Obj, code: str, message: str = "", api_error: Obj | None = None) -> Obj:
    """End the action badly; software of a reader before 2.42 does not tell the API's error."""
    told = api_error if _version(reader) >= API_ERROR_SINCE else None
    done = {
        **reader["action"],
        "status": "failed",
        "failure_code": code,
        "failure_message": message or _MESSAGES.get(code, ""),
        "api_error": told,
    }
    return _end(tx, reader, device, done)


def _end(tx: Tx, reader: Obj, device: Obj, action: Obj) -> Obj:
    device = tx.change(device, phase="idle", hand=None)
    if device["loses"] == "answer":  # the bank answered, but nobody hears of it from this reader
        tx.change(device, loses=None, plugged_in=False, seen_at=_milliseconds(tx))
        return reader
    reader = tx.change(reader, action=action)
    tx.emit(f"terminal.reader.action_{action['status']}", shown(tx, reader))
    return reader


def _version(reader: Obj) -> tuple[int, ...]:
    return tuple(int(part) for part in str(reader["device_sw_version"]).split(".")[:2])


def answer(tx: Tx, reader_id: str, values: list[str | None]) -> Obj:
    """Fill in what the reader asks for, one value for each input; None skips one that may be skipped."""
    reader, device = pair(tx, reader_id)
    if device["phase"] != "input" or not device["plugged_in"]:
        raise invalid("The reader does not ask for anything now.")
    inputs: list[Obj] = reader["action"]["collect_inputs"]["inputs"]
    filled = [_filled(one, values[at] if at < len(values) else None) for at, one in enumerate(inputs)]
    return succeed(tx, reader, device, inputs=filled)


def _filled(one: Obj, value: str | None) -> Obj:
    if value is None and one["required"]:
        raise invalid(f"The reader needs an answer: {one['custom_text']['title']}.")
    toggles = [{**toggle, "value": toggle["default_value"] or "disabled"} for toggle in one["toggles"]]
    done = {**one, "skipped": value is None, "toggles": toggles}
    if value is None:
        return done
    if one["type"] == "selection":
        found = next(
            (choice for choice in one["selection"]["choices"] if value in (choice["id"], choice["text"])),
            None,
        )
        if found is None:
            raise invalid(f"There is no such choice: {value}.")
        return {**done, "selection": {**one["selection"], "id": found["id"], "text": found["text"]}}
    return {**done, one["type"]: {"value": value}}


# -- what happens by itself -----------------------------------------------------------------------------------------


def current(tx: Tx, object_id: str) -> tuple[Obj, Obj] | None:
    """Return the reader and device that a timer is about, unless its action has ended or was replaced since."""
    reader_id, _, run = object_id.partition("/")
    reader = tx.get("terminal.reader", reader_id)
    device = tx.get("sandbox.device", f"device_{reader_id}")
    if reader is None or reader.get("deleted") or device is None or device["run"] != run:
        return None
    return reader, device


@job("reader_authorises")
def authorises(tx: Tx, object_id: str) -> None:
    """End an authorisation that takes its time; a reader that was cut off meanwhile had asked the bank already."""
    found = current(tx, object_id)
    if found is not None and found[1]["phase"] == "authorising":
        if not found[1]["plugged_in"]:
            tx.change(found[1], loses="answer")
        authorise(tx, found[0]["id"])


@job("reader_cancelled")
def cancelled(tx: Tx, object_id: str) -> None:
    """Let the customer cancel, where the action still waits for them."""
    found = current(tx, object_id)
    if found is not None and found[1]["phase"] in _WAITING and found[1]["plugged_in"]:
        cancel(tx, found[0]["id"], only_if_offered=False)


@job("reader_input_expires")
def input_expires(tx: Tx, object_id: str) -> None:
    """Give an input up that nobody touched."""
    found = current(tx, object_id)
    if found is not None and found[1]["phase"] == "input":
        fail(tx, *found, "collect_inputs_timed_out")


@job("reader_displays")
def displays(tx: Tx, object_id: str) -> None:
    """Say that the cart is on the screen."""
    found = current(tx, object_id)
    if found is not None and found[1]["phase"] == "display":
        succeed(tx, *found)
