"""What the forms of the page for people do: each is one call of the API or of the control API."""

from collections.abc import Callable, Mapping
from typing import Any

from sandbox import control
from sandbox.api import paying, payment_intents, refunds, terminal_places, terminal_readers
from sandbox.console import TABS, url
from sandbox.control import find_account
from sandbox.errors import StripeError, invalid
from sandbox.ids import kind_of
from sandbox.server import Sandbox
from sandbox.world import Obj, Tx

#: What is clicked -> the control behind it, and whether it is about the object ``id``, the account, or neither.
_CONTROLS = {
    "resend": ("POST", "events/resend", "id"),
    "delay": ("POST", "events/delay", "id"),
    "drop": ("POST", "events/drop", "id"),
    "dispute": ("POST", "charges/dispute", "id"),
    "resolve": ("POST", "disputes/resolve", "id"),
    "act": ("POST", "refunds/act", "id"),
    "fail_refund": ("POST", "refunds/fail", "id"),
    "settle": ("POST", "payouts/settle", "id"),
    "pay_out": ("POST", "accounts/payout", "in"),
    "auto_readers": ("POST", "accounts/auto_readers", "in"),
    "advance": ("POST", "clock", ""),
    "remove_fault": ("DELETE", "faults", "fault"),
    "clear_faults": ("DELETE", "faults", ""),
}
_CALLS: Mapping[str, Callable[[Tx, Mapping[str, str]], Obj]] = {
    "confirm": lambda tx, form: paying.confirm(
        tx,
        tx.need("payment_intent", form["id"]),
        {"payment_method": form.get("card", ""), "use_stripe_sdk": True},
    ),
    "capture": lambda tx, form: payment_intents.capture(tx, {}, form["id"]),
    "cancel": lambda tx, form: payment_intents.cancel(tx, {}, form["id"]),
    "refund": lambda tx, form: refunds.create(tx, {"payment_intent": form["id"]}),
    "register": lambda tx, form: terminal_readers.create(tx, _registration(tx, form)),
    "pay": lambda tx, form: payment_intents.create(
        tx,
        {
            "amount": _number(form, "amount", int),
            "currency": form.get("currency", ""),
            "confirm": True,
            "payment_method": form.get("card", ""),
            "use_stripe_sdk": True,
        },
    ),
}


class Form(dict[str, str]):
    """A form's fields, the last value of each; ``lists`` has all of them."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self.lists: dict[str, list[str]] = {}
        for name, value in pairs:
            self.lists.setdefault(name, []).append(value)


_AT_READER = ("present", "tip", "cancel", "finish", "answer", "unplug", "plug_in", "replace", "auto")


async def _at_reader(sandbox: Sandbox, what: str, form: Form, base: str) -> str | None:
    """Do what a person did at the page of a reader; returns that page."""
    reader_id = form.get("id", "")
    given: Obj = {name: value for name, value in form.items() if name not in ("id", "values")}
    if what == "fault":
        account = find_account(sandbox, "terminal.reader", reader_id)
        match = {"reader": reader_id, "account": account}
        sandbox.faults.add({"kind": form.get("kind", ""), "match": match, "times": 1})
    elif what not in _AT_READER:
        return None
    else:
        if what == "answer":
            given = {"values": form.lists.get("values", [])}
        elif what == "auto" and not form.get("off"):
            weights = {
                name: _number(form, name, float) for name in ("pay", "decline", "cancel") if form.get(name)
            }
            given = {"after_ms": form.get("after_ms") or 1500, "outcomes": weights}
        await control.run(sandbox, "POST", f"readers/{what}", given, [reader_id], base)
    await sandbox.store.settled()
    return f"/_sandbox/reader/{reader_id}"


async def click(sandbox: Sandbox, what: str, form: Form, base: str) -> str | None:
    """Do what a person clicked; returns the page to show next, or None when there is no such thing to do."""
    if what.startswith("reader_"):
        return await _at_reader(sandbox, what.removeprefix("reader_"), form, base)
    object_id = form.get("id", "")
    account = find_account(sandbox, kind_of(object_id) or "", object_id) if object_id else form.get("in", "")
    view = form.get("view", "")
    view = view if view in TABS else "payments"
    if what == "add_fault":
        sandbox.faults.add(_fault(form))
    elif what in _CONTROLS:
        method, name, about = _CONTROLS[what]
        await control.run(sandbox, method, name, dict(form), [form.get(about, "")] if about else [], base)
    elif what in _CALLS:
        _call(sandbox, account, _CALLS[what], form, base)
    else:
        return None
    await sandbox.store.settled()
    return url(account, view=view)


def _call(
    sandbox: Sandbox,
    account: str,
    run: Callable[[Tx, Mapping[str, str]], Obj],
    form: Mapping[str, str],
    base: str,
) -> None:
    """Run an operation of the API; a decline is kept, as it is there."""
    tx = sandbox.world.begin(account, base_url=base)
    try:
        run(tx, form)
    except StripeError as error:
        if error.status != 402:
            raise
    tx.commit()


def _registration(tx: Tx, form: Mapping[str, str]) -> Obj:
    """Return what registers a reader: at the account's newest location, or at a first one."""
    places = (one for one in tx.book.shelf("terminal.location").newest_first() if not one.get("deleted"))
    found = next(places, None) or terminal_places.create(
        tx, {"display_name": "Front desk", "address": {"country": "US", "line1": "1 Main Street"}}
    )
    code = form.get("code", "simulated-wpe")
    return {
        "registration_code": code,
        "label": form.get("label", "").strip() or code,
        "location": found["id"],
    }


def _fault(form: Mapping[str, str]) -> Obj:
    """Return what the form of a fault asks for, as the control API takes it; empty fields are left out."""
    match = {
        name: form[name].strip()
        for name in ("method", "path", "account", "operation", "card", "reader", "type")
        if form.get(name, "").strip()
    }
    wanted: Obj = {"kind": form.get("kind", ""), "match": match, "times": None}
    for name, number in (("times", int), ("seed", int), ("ms", int), ("probability", float)):
        if form.get(name, "").strip():
            wanted[name] = _number(form, name, number)
    return wanted


def _number(form: Mapping[str, str], name: str, number: Callable[[str], Any]) -> Any:
    try:
        return number(form.get(name, "").strip())
    except ValueError:
        raise invalid(f"{name} must be a number", name) from None
