"""How a reader's action ends once its card was presented: paid, collected, saved, given back, or declined."""

from collections.abc import Callable
from typing import Any

from sandbox import cards
from sandbox.api import paying, payment_methods, presence, refunds, setting_up
from sandbox.api.devices import ENDS, End, fail, shown, strike, succeed
from sandbox.cards import Decline
from sandbox.errors import StripeError
from sandbox.world import Obj, Tx

#: The last two digits of an amount decide for a card that was not chosen, as with Stripe's physical test card.
ENDINGS = {
    1: Decline("card_declined", "call_issuer", "Your card was declined."),
    5: Decline("card_declined", "generic_decline", "Your card was declined."),
    55: Decline("card_declined", "incorrect_pin", "The PIN entered is incorrect."),
    65: Decline("card_declined", "withdrawal_count_limit_exceeded", "Your card's limit was exceeded."),
    75: Decline("card_declined", "pin_try_exceeded", "The PIN was entered wrong too often."),
}


def ends(*kinds: str) -> Callable[[End], End]:
    """Register how actions of these types end."""

    def register(end: End) -> End:
        ENDS.update(dict.fromkeys(kinds, end))
        return end

    return register


def _method(tx: Tx, device: Obj) -> Obj:
    card = cards.at_reader(device["hand"]["name"])
    assert card is not None
    return tx.put(presence.method(tx, card, device["hand"]["how"]))


def _decline(tx: Tx, reader: Obj, device: Obj, amount: int, struck: dict[str, Any]) -> Decline | None:
    """Return why a bank says no to the card in the reader, or None."""
    if (fault := struck.get("reader_declines")) is not None:
        code = str(fault.options.get("decline_code", "generic_decline"))
        return Decline("card_declined", code, "Your card was declined.")
    if device["hand"]["by_amount"]:
        return ENDINGS.get(amount % 100)
    card = cards.at_reader(device["hand"]["name"])
    return card.decline if card else None


def api_error(error: StripeError) -> Obj:
    """Return an error of the API as the reader's action tells it."""
    names = ("advice_code", "charge", "decline_code", "network_decline_code", "param", "payment_intent",
             "payment_method", "setup_intent")  # fmt: skip
    found: Obj = {name: error.extra[name] for name in names if error.extra.get(name) is not None}
    if error.code:
        found |= {
            "code": error.code,
            "doc_url": f"https://stripe.com/docs/error-codes/{error.code.replace('_', '-')}",
        }
    return {**found, "message": error.message, "type": error.kind}


def _failed_by(tx: Tx, reader: Obj, device: Obj, error: StripeError) -> Obj:
    return fail(tx, reader, device, error.code or "api_error", error.message, api_error(error))


@ends("process_payment_intent", "confirm_payment_intent")
def _pay(tx: Tx, reader: Obj, device: Obj) -> Obj:
    """Pay an intent with the card in the reader."""
    kind = reader["action"]["type"]
    intent = tx.need("payment_intent", reader["action"][kind]["payment_intent"])
    if kind == "confirm_payment_intent":
        method = tx.need("payment_method", intent["payment_method"] or "")
    else:
        method = _method(tx, device)
    wanted = "requires_confirmation" if kind == "confirm_payment_intent" else "requires_payment_method"
    if intent["status"] != wanted or method["type"] not in intent["payment_method_types"]:
        return _failed_by(tx, reader, device, invalid_state(intent))
    struck = strike(tx, "card", kind, reader)
    tip = device["tip"] or 0
    lost = struck.get("reader_connection_error")
    if lost is not None and not lost.options.get("authorised", True):
        return fail(tx, reader, device, "connection_error")
    if intent["setup_future_usage"] and intent["customer"] and method["type"] == "card_present":
        saved = tx.put(presence.generated_card(tx, method, "unspecified"))
        tx.presence["generated_card"] = saved["id"]
    try:
        paid = paying.charge_now(
            tx, intent, method, _decline(tx, reader, device, intent["amount"] + tip, struck), tip
        )
    except StripeError as error:
        return fail(tx, reader, device, "connection_error") if lost else _failed_by(tx, reader, device, error)
    _save(tx, paid)
    if lost is not None:
        return fail(tx, reader, device, "connection_error")
    return succeed(tx, reader, device)


def _save(tx: Tx, paid: Obj) -> None:
    """Give the customer the card made of the one that paid."""
    card_id = tx.presence.get("generated_card")
    card = tx.get("payment_method", card_id) if card_id else None
    if card is not None:
        charge = tx.need("charge", paid["latest_charge"])
        details = {k: v for k, v in charge["payment_method_details"].items() if k in ("card_present", "type")}
        made = {**card["card"]["generated_from"], "charge": charge["id"], "payment_method_details": details}
        card = tx.change(card, card={**card["card"], "generated_from": made})
        payment_methods.attached(tx, card, paid["customer"])


def invalid_state(intent: Obj) -> StripeError:
    """Return the refusal of an intent that a reader cannot process (any more)."""
    return StripeError(
        400,
        "Payment intent must be in the requires_payment_method state to be processed by reader. "
        f"Its status is {intent['status']}.",
        code="intent_invalid_state",
        executed=True,
        payment_intent=intent,
    )


@ends("collect_payment_method")
def _collect(tx: Tx, reader: Obj, device: Obj) -> Obj:
    """Take the card without asking for money: its holder may be looked at before the payment is confirmed."""
    details = reader["action"]["collect_payment_method"]
    intent = tx.need("payment_intent", details["payment_intent"])
    method = _method(tx, device)
    if intent["status"] != "requires_payment_method" or method["type"] not in intent["payment_method_types"]:
        return _failed_by(tx, reader, device, invalid_state(intent))
    fields: Obj = {"payment_method": method["id"], "status": "requires_confirmation"}
    if tip := device["tip"]:
        fields |= {
            "amount": intent["amount"] + tip,
            "amount_details": {**intent["amount_details"], "tip": {"amount": tip}},
        }
    tx.change(intent, **fields)
    action = {**reader["action"], "collect_payment_method": {**details, "payment_method": method}}
    reader = tx.change(reader, action=action)
    tx.emit("terminal.reader.action_updated", shown(tx, reader))
    device = tx.change(device, tip=None)
    return succeed(tx, reader, device)


@ends("process_setup_intent")
def _setup(tx: Tx, reader: Obj, device: Obj) -> Obj:
    """Save the card in the reader."""
    details = reader["action"]["process_setup_intent"]
    intent = tx.need("setup_intent", details["setup_intent"])
    if intent["status"] != "requires_payment_method":
        return _failed_by(tx, reader, device, setup_state(intent))
    struck = strike(tx, "card", "process_setup_intent", reader)
    if "reader_connection_error" in struck:
        return fail(tx, reader, device, "connection_error")
    decline = _decline(tx, reader, device, 0, struck)
    try:
        saved = setting_up.save_at_reader(tx, intent, _method(tx, device), device["allow_redisplay"], decline)
    except StripeError as error:
        return _failed_by(tx, reader, device, error)
    return succeed(tx, reader, device, generated_card=saved["id"])


def setup_state(intent: Obj) -> StripeError:
    """Return the refusal of a setup intent that a reader cannot process (any more)."""
    return StripeError(
        400,
        "Setup intent must be in the requires_payment_method state to be processed by reader. "
        f"Its status is {intent['status']}.",
        code="intent_invalid_state",
        executed=True,
        setup_intent=intent,
    )


@ends("refund_payment")
def _refund(tx: Tx, reader: Obj, device: Obj) -> Obj:
    """Give money back to the card in the reader, which must be the one that paid."""
    details = reader["action"]["refund_payment"]
    params: Obj = {name: details[name] for name in ("amount", "metadata") if details.get(name)}
    try:
        charge = refunds.refundable(tx, {"charge": details["charge"]})
        amount = refunds.amount_of(charge, params)
    except StripeError as error:
        return _failed_by(tx, reader, device, error)
    struck = strike(tx, "card", "refund_payment", reader)
    lost = struck.get("reader_connection_error")
    paid_with = cards.behind(charge["payment_method_details"])
    if lost is not None and not lost.options.get("authorised", True):
        return fail(tx, reader, device, "connection_error")
    if "reader_declines" in struck or paid_with.number != device["hand"]["card"]:
        refusal = StripeError(402, "Your card was declined.", kind="card_error", code="card_declined",
                            decline_code="generic_decline", charge=charge["id"])  # fmt: skip
        return _failed_by(tx, reader, device, refusal)
    refund = refunds.issue(tx, charge, amount, params, paid_with.refund)
    if lost is not None:
        return fail(tx, reader, device, "connection_error")
    return succeed(tx, reader, device, refund=refund["id"])
