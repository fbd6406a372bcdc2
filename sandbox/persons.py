"""Controls that play the person at a reader: what it shows, and everything a hand can do to it.

A reader can also be given a person of its own, who presents a card by itself after a while, with outcomes by chance:
for demos, and for hundreds of readers under load.
"""

import random
from typing import Any

from sandbox.api import devices, terminal_readers
from sandbox.control import action, opened
from sandbox.errors import StripeError, invalid
from sandbox.operations import job
from sandbox.server import Sandbox
from sandbox.world import Obj, Tx

#: What a person at a reader may do by themselves; without a choice they pay.
OUTCOMES = ("pay", "decline", "cancel", "walk_away", "unplug")
_DECLINED = "chargeDeclined"
_SCREENS = {"tip": "tip", "card": "card", "authorising": "authorising", "input": "input", "display": "cart"}


def screen(tx: Tx, reader: Obj) -> Obj:
    """Return what a person sees on a reader: what it asks for, how much, and what can be pressed."""
    _, device = devices.pair(tx, reader["id"])
    seen = devices.shown(tx, reader)
    told = reader["action"] or {}
    kind = told.get("type", "")
    details = told.get(kind) or {}
    phase = device["phase"] if device["plugged_in"] else "unplugged"
    asks = "nothing" if phase == "unplugged" else _SCREENS.get(phase, "nothing")
    intent = tx.get("payment_intent", details.get("payment_intent") or "")
    waits = asks in ("tip", "card", "input")
    return {
        "id": reader["id"],
        "account": tx.book.slug,
        "label": reader["label"],
        "device_type": reader["device_type"],
        "location": reader["location"],
        "plugged_in": device["plugged_in"],
        "status": seen["status"],
        "asks": asks,
        "type": kind or None,
        "amount": _amount(details, intent, device),
        "currency": intent["currency"] if intent else (details.get("cart") or {}).get("currency"),
        "tip": device["tip"],
        "tips": terminal_readers.suggested_tips(tx, reader) if asks == "tip" else [],
        "can_cancel": waits and devices.can_cancel(reader),
        "payment_intent": details.get("payment_intent"),
        "setup_intent": details.get("setup_intent"),
        "refund_of": details.get("charge"),
        "cart": details.get("cart"),
        "inputs": details.get("inputs") or [],
        "action_status": told.get("status"),
        "failure_code": told.get("failure_code"),
        "failure_message": told.get("failure_message"),
        "run": device["run"],
        "auto": device["auto"],
    }


def _amount(details: Obj, intent: Obj | None, device: Obj) -> int | None:
    if details.get("amount"):
        return int(details["amount"])
    if intent is not None:
        pending = device["tip"] if device["phase"] in ("card", "authorising") else 0
        return int(intent["amount"] + (pending or 0))
    return (details.get("cart") or {}).get("total")


def _opened(sandbox: Sandbox, ids: list[str], base: str) -> tuple[Tx, Obj]:
    tx, reader = opened(sandbox, "terminal.reader", ids[0], base)
    devices.pair(tx, reader["id"])  # a deleted one is not there
    return tx, reader


def _done(tx: Tx, reader: Obj) -> Obj:
    told = screen(tx, tx.need("terminal.reader", reader["id"]))
    tx.commit()
    return told


@action("GET", "readers", 1)
async def list_readers(sandbox: Sandbox, _: Obj, ids: list[str], __: str) -> Obj:
    """Return the screens of an account's readers, oldest first."""
    tx = sandbox.world.begin(ids[0])
    readers = [reader for reader in tx.book.shelf("terminal.reader").values() if not reader.get("deleted")]
    return {"data": [screen(tx, reader) for reader in readers]}


@action("GET", "readers/screen", 1)
async def see(sandbox: Sandbox, _: Obj, ids: list[str], base: str) -> Obj:
    """Return what a reader shows now."""
    return screen(*_opened(sandbox, ids, base))


@action("POST", "readers/present", 1)
async def present(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Hold a ``card`` (name or number) to a reader: ``how`` tap, insert or swipe, ``tip``, ``processing_ms``."""
    tx, reader = _opened(sandbox, ids, base)
    tip = given.get("tip")
    card = str(given["card"]) if given.get("card") else None
    busy = int(given.get("processing_ms") or 0)
    tip = None if tip in (None, "") else int(tip)
    devices.present(tx, reader["id"], card, str(given.get("how") or "tap"), tip, busy)
    return _done(tx, reader)


@action("POST", "readers/tip", 1)
async def tip(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Choose a tip of ``amount``, in the smallest unit; 0 is none."""
    tx, reader = _opened(sandbox, ids, base)
    devices.choose_tip(tx, reader["id"], int(given["amount"]))
    return _done(tx, reader)


@action("POST", "readers/cancel", 1)
async def cancel(sandbox: Sandbox, _: Obj, ids: list[str], base: str) -> Obj:
    """Press the cancel button, where the action offers one."""
    tx, reader = _opened(sandbox, ids, base)
    devices.cancel(tx, reader["id"])
    return _done(tx, reader)


@action("POST", "readers/finish", 1)
async def finish(sandbox: Sandbox, _: Obj, ids: list[str], base: str) -> Obj:
    """End an authorisation that takes its time, now."""
    tx, reader = _opened(sandbox, ids, base)
    devices.authorise(tx, reader["id"])
    return _done(tx, reader)


@action("POST", "readers/answer", 1)
async def answer(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Answer what a reader asks: ``values``, one for each input; null skips."""
    tx, reader = _opened(sandbox, ids, base)
    devices.answer(tx, reader["id"], [None if one in (None, "") else str(one) for one in given["values"]])
    return _done(tx, reader)


@action("POST", "readers/unplug", 1)
async def unplug(sandbox: Sandbox, _: Obj, ids: list[str], base: str) -> Obj:
    """Take a reader off the net; after two minutes Stripe calls it offline."""
    tx, reader = _opened(sandbox, ids, base)
    devices.unplug(tx, reader["id"])
    return _done(tx, reader)


@action("POST", "readers/plug_in", 1)
async def plug_in(sandbox: Sandbox, _: Obj, ids: list[str], base: str) -> Obj:
    """Bring a reader back."""
    tx, reader = _opened(sandbox, ids, base)
    devices.plug_in(tx, reader["id"])
    return _done(tx, reader)


@action("POST", "readers/replace", 1)
async def replace(sandbox: Sandbox, _: Obj, ids: list[str], base: str) -> Obj:
    """Let another till take the reader with a payment of its own."""
    tx, reader = _opened(sandbox, ids, base)
    devices.replace(tx, *devices.pair(tx, reader["id"]))
    return _done(tx, reader)


@action("POST", "readers/software", 1)
async def software(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Give a reader other software: before 2.42 it does not tell ``api_error``."""
    tx, reader = _opened(sandbox, ids, base)
    version = str(given["version"])
    if not all(part.isdigit() for part in version.split(".")):
        raise invalid("version is numbers with points between them", "version")
    tx.change(reader, device_sw_version=version)
    return _done(tx, reader)


@action("POST", "readers/auto", 1)
async def auto(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Give a reader a person: ``after_ms``, ``processing_ms``, ``outcomes`` with weights, ``seed``; ``off`` ends it."""
    tx, reader = _opened(sandbox, ids, base)
    _attend(tx, reader, _person(given))
    return _done(tx, reader)


@action("POST", "accounts/auto_readers", 1)
async def auto_all(sandbox: Sandbox, given: Obj, ids: list[str], _: str) -> Obj:
    """Give every reader of an account such a person."""
    tx = sandbox.world.begin(ids[0])
    person = _person(given)
    readers = [reader for reader in tx.book.shelf("terminal.reader").values() if not reader.get("deleted")]
    for reader in readers:
        _attend(tx, reader, person)
    tx.commit()
    return {"readers": len(readers), "auto": person}


def _person(given: Obj) -> Obj | None:
    if given.get("off"):
        return None
    outcomes = given.get("outcomes") or {"pay": 1}
    if not isinstance(outcomes, dict) or set(outcomes) - set(OUTCOMES):
        raise invalid(f"outcomes may have: {', '.join(OUTCOMES)}", "outcomes")
    weights = {name: float(weight) for name, weight in outcomes.items()}
    if any(weight < 0 for weight in weights.values()) or not sum(weights.values()):
        raise invalid("the weights of outcomes are not negative, and not all zero", "outcomes")
    return {
        "after_ms": max(0, int(given.get("after_ms", 800))),
        "processing_ms": max(0, int(given.get("processing_ms", 0))),
        "outcomes": weights,
        "tips": [int(percent) for percent in given.get("tips", [0])],
        "seed": int(given.get("seed", 0)),
    }


def _attend(tx: Tx, reader: Obj, person: Obj | None) -> None:
    device = tx.change(devices.pair(tx, reader["id"])[1], auto=person)
    if person and device["phase"] in ("tip", "card", "input"):
        tx.after(person["after_ms"] / 1000, "reader_person", f"{reader['id']}/{device['run']}")


@job("reader_person")
def act(tx: Tx, object_id: str) -> None:
    """Do what the reader's own person does with what it asks for."""
    found = devices.current(tx, object_id)
    if found is None or found[1]["auto"] is None or found[1]["phase"] not in ("tip", "card", "input"):
        return
    reader, device = found
    tx.base_url = device["base_url"]
    person: dict[str, Any] = device["auto"]
    chance = random.Random(f"{person['seed']}/{device['id']}/{device['served']}")  # noqa: S311 - repeatable
    outcome = chance.choices(list(person["outcomes"]), list(person["outcomes"].values()))[0]
    try:
        if outcome == "cancel":
            devices.cancel(tx, reader["id"], only_if_offered=False)
        elif outcome == "unplug":
            devices.unplug(tx, reader["id"])
        elif outcome == "walk_away":
            return
        elif device["phase"] == "input":
            inputs = reader["action"]["collect_inputs"]["inputs"]
            devices.answer(tx, reader["id"], [terminal_readers.sample(one) for one in inputs])
        else:
            card = _DECLINED if outcome == "decline" else "visa"
            tip_of = _tip(tx, reader, chance.choice(person["tips"])) if device["phase"] == "tip" else None
            devices.present(tx, reader["id"], card, "tap", tip_of, person["processing_ms"])
    except StripeError:
        return  # unplugged meanwhile: a person can do nothing about it either


def _tip(tx: Tx, reader: Obj, percent: int) -> int:
    amount = screen(tx, reader)["amount"] or 0
    return int((amount * percent + 50) // 100)
