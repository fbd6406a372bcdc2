"""Payment methods: a card as it may be kept, from a test id, a token, or a number typed into a frame."""

from datetime import UTC, datetime
from typing import Any

from sandbox import cards
from sandbox.cards import Card
from sandbox.errors import StripeError, invalid
from sandbox.ids import new_id
from sandbox.operations import operation
from sandbox.params import merge_metadata
from sandbox.shapes import page
from sandbox.world import Obj, Tx

_EMPTY_ADDRESS: Obj = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
_EMPTY_BILLING: Obj = {"address": _EMPTY_ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None}


def billing(given: Any, old: Obj = _EMPTY_BILLING) -> Obj:
    """Return billing details with every field present, as Stripe shows them."""
    given = given or {}
    merged = {**old, **{name: value or None for name, value in given.items() if name != "address"}}
    if "address" in given:
        address = {name: value or None for name, value in (given["address"] or {}).items()}
        merged["address"] = {**old["address"], **address}
    return merged


def build(tx: Tx, card: Card, data: Obj, expiry: tuple[int, int] | None = None, checked: bool = True) -> Obj:
    """Return (unstored) a payment method for a card."""
    month, year = expiry or (12, datetime.fromtimestamp(tx.now, UTC).year + 4)
    return {
        "id": new_id("payment_method"),
        "object": "payment_method",
        "allow_redisplay": data.get("allow_redisplay", "unspecified"),
        "billing_details": billing(data.get("billing_details")),
        "card": {
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": ("fail" if card.decline and card.decline.code == "incorrect_cvc" else "pass")
                if checked
                else None,
            },
            "country": card.country,
            "display_brand": card.brand,
            "exp_month": month,
            "exp_year": year,
            "fingerprint": card.fingerprint,
            "funding": card.funding,
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": card.brand != "unionpay"},
            "wallet": None,
        },
        "created": tx.now,
        "customer": None,
        "livemode": False,
        "metadata": merge_metadata({}, data.get("metadata")),
        "type": "card",
    }


def from_data(tx: Tx, data: Obj, param: str = "") -> Obj:
    """Return (unstored) the payment method that ``payment_method_data`` or a create call describes."""
    kind = data.get("type", "")
    if kind != "card":
        raise invalid(f"Invalid type: '{kind}'. The sandbox pays with: card.", _inside(param, "type"))
    given = data.get("card") or {}
    if token := given.get("token"):
        found = cards.by_test_id(token) if token.startswith("tok_") else None
        if found is None:
            raise invalid(f"No such token: '{token}'", _inside(param, "card", "token"), "resource_missing")
        return build(tx, found, data)
    if "number" not in given:
        raise invalid(
            f"Missing required param: {_inside(param, 'card')}.", _inside(param, "card"), "parameter_missing"
        )
    if not tx.publishable:
        raise StripeError(
            402,
            "Sending credit card numbers directly to the Stripe API is generally unsafe. To continue "
            "processing use "
            "Stripe.js, the Stripe mobile bindings, or Stripe Elements.",
        )
    return build(tx, _typed_card(tx, given), data, (given["exp_month"], given["exp_year"]), "cvc" in given)


def _inside(outer: str, *names: str) -> str:
    """Return the path of a parameter, in another one or by itself."""
    first, *rest = (outer, *names) if outer else names
    return first + "".join(f"[{name}]" for name in rest)


def _typed_card(tx: Tx, given: Obj) -> Card:
    """Return the test card with a typed number, or refuse it the way the form shows it."""
    number = given["number"].replace(" ", "")
    if not cards.passes_luhn(number):
        raise card_error("incorrect_number", "Your card number is incorrect.", "number")
    for name in ("exp_month", "exp_year"):
        if name not in given:
            raise invalid(f"Missing required param: card[{name}].", f"card[{name}]", "parameter_missing")
    year = given["exp_year"] + 2000 if given["exp_year"] < 100 else given["exp_year"]
    given["exp_year"] = year
    today = datetime.fromtimestamp(tx.now, UTC)
    if not 1 <= given["exp_month"] <= 12:
        raise card_error("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    if not (today.year, today.month) <= (year, given["exp_month"]) or year > today.year + 50:
        raise card_error("invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year")
    card = cards.by_number(number)
    cvc = given.get("cvc", "000")
    if not cvc.isdigit() or len(cvc) not in (3, 4):
        raise card_error("invalid_cvc", "Your card's security code is invalid.", "cvc")
    if card is None:
        live = cards.LIVE_CARD
        raise StripeError(
            402, live.message, kind="card_error", code=live.code, decline_code=live.decline_code
        )
    return card


def card_error(code: str, message: str, param: str) -> StripeError:
    """Return a 402 about a typed card."""
    return StripeError(402, message, kind="card_error", code=code, param=param)


def resolve(tx: Tx, method_id: str, param: str | None = "payment_method") -> Obj:
    """Return the payment method an id names; a test id makes a new one, staged."""
    card = cards.by_test_id(method_id) if method_id.startswith("pm_card_") else None
    if card is not None:
        return tx.put(build(tx, card, {}))
    return tx.need("payment_method", method_id, param)


def card_of(method: Obj) -> Card:
    """Return the test card behind a payment method."""
    return cards.behind(method)


def attached(tx: Tx, method: Obj, customer_id: str) -> Obj:
    """Stage the attachment of a method to a customer."""
    if method["customer"] == customer_id:
        return method
    done = tx.change(method, customer=customer_id)
    tx.emit("payment_method.attached", done)
    return done


def detached(tx: Tx, method: Obj) -> Obj:
    """Stage the detachment of a method; it cannot be used again."""
    done = tx.change(method, customer=None)
    tx.emit("payment_method.detached", done, before=method)
    return done


@operation("payment_methods.create", "POST", "/v1/payment_methods", publishable=True)
def create(tx: Tx, params: Obj) -> Obj:
    """Create a payment method from a card."""
    return tx.put(from_data(tx, params))


@operation("payment_methods.retrieve", "GET", "/v1/payment_methods/{}")
def retrieve(tx: Tx, _: Obj, method_id: str) -> Obj:
    """Return a payment method; a test id shows what it would make."""
    return resolve(tx, method_id, None)


@operation("payment_methods.update", "POST", "/v1/payment_methods/{}")
def update(tx: Tx, params: Obj, method_id: str) -> Obj:
    """Change a saved payment method's details."""
    old = tx.need("payment_method", method_id)
    fields: Obj = {name: params[name] for name in ("allow_redisplay",) if name in params}
    if "billing_details" in params:
        fields["billing_details"] = billing(params["billing_details"], old["billing_details"])
    if "metadata" in params:
        fields["metadata"] = merge_metadata(old["metadata"], params["metadata"])
    if "card" in params:
        fields["card"] = {**old["card"], **{n: v for n, v in params["card"].items() if n != "networks"}}
    method = tx.change(old, **fields)
    if method != old:
        tx.emit("payment_method.updated", method, before=old)
    return method


@operation("payment_methods.attach", "POST", "/v1/payment_methods/{}/attach")
def attach(tx: Tx, params: Obj, method_id: str) -> Obj:
    """Save a payment method on a customer; the bank is asked, so a bad card is declined here."""
    if "customer" not in params:
        raise invalid("Missing required param: customer.", "customer", "parameter_missing")
    customer = tx.need("customer", params["customer"], "customer")
    method = resolve(tx, method_id, None)
    if method["customer"] not in (None, customer["id"]):
        raise invalid(
            "The payment method you provided has already been attached to a customer.", "payment_method"
        )
    card = card_of(method)
    if card.decline and not card.attaches:
        raise StripeError(
            402,
            card.decline.message,
            kind="card_error",
            code=card.decline.code,
            decline_code=card.decline.decline_code,
            executed=True,
        )
    return attached(tx, method, customer["id"])


@operation("payment_methods.detach", "POST", "/v1/payment_methods/{}/detach")
def detach(tx: Tx, _: Obj, method_id: str) -> Obj:
    """Remove a payment method from its customer."""
    method = tx.need("payment_method", method_id)
    if method["customer"] is None:
        raise invalid(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            "payment_method",
        )
    return detached(tx, method)


@operation("payment_methods.list", "GET", "/v1/payment_methods")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List the payment methods of a customer."""
    return list_of_customer(tx, params, params.get("customer"), "/v1/payment_methods")


def list_of_customer(tx: Tx, params: Obj, customer: str | None, url: str) -> Obj:
    """Return a page of saved payment methods."""
    if customer is not None:
        tx.need("customer", customer, "customer")
    params = params if customer is None else {**params, "customer": customer}
    by = ("customer", "type", "allow_redisplay")
    return page(tx, "payment_method", params, url, lambda method: method["customer"] is not None, by=by)
