"""Payment intents: created, changed, confirmed, captured, cancelled, by the states Stripe documents."""

from typing import Any

from sandbox import money
from sandbox.api import charges, paying, payment_methods, refunds
from sandbox.api.client_secrets import found
from sandbox.errors import StripeError, invalid, unexpected_state
from sandbox.ids import new_id, token
from sandbox.operations import job, operation
from sandbox.params import merge_metadata
from sandbox.shapes import page, public_intent
from sandbox.world import Obj, Tx

#: Payment method types an intent may ask for; the sandbox pays with cards, a reader adds the present ones.
_TYPES = frozenset({"card", "card_present", "interac_present", "link"})
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
#: What an update may no longer change once money was held, taken or given up.
_FIXED_ONCE_ASKED = frozenset(
    [
        "amount",
        "currency",
        "customer",
        "payment_method",
        "payment_method_data",
        "allowed_payment_method_types",
        "excluded_payment_method_types",
        "capture_method",
        "setup_future_usage",
        "application_fee_amount",
    ]
)
_TYPE_PARAMS = frozenset({"allowed_payment_method_types", "excluded_payment_method_types"})
_TEXTS = (
    "description",
    "receipt_email",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "setup_future_usage",
)


@operation("payment_intents.create", "POST", "/v1/payment_intents")
def create(tx: Tx, params: Obj) -> Obj:
    """Create an intent, and confirm it in the same call when asked to."""
    confirming = params.get("confirm", False)
    if not confirming:
        for name in (
            "confirmation_token",
            "error_on_requires_action",
            "mandate_data",
            "off_session",
            "return_url",
        ):
            if params.get(name):
                raise invalid(f"You can only specify {name} when confirm is true.", name)
    currency = money.check_currency(params["currency"])
    automatic, types = _types(params)
    intent_id = new_id("payment_intent")
    intent: Obj = {
        "id": intent_id,
        "object": "payment_intent",
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "amount": money.check_amount(params["amount"], currency),
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": params.get("application_fee_amount") or None,
        "automatic_payment_methods": automatic,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
        "client_secret": f"{intent_id}_secret_{token(25)}",
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "created": tx.now,
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": params.get("excluded_payment_method_types") or None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": {"id": "pmc_sandbox", "parent": None} if automatic else None,
        "payment_method_options": _options(params, types),
        "payment_method_types": types,
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": params.get("transfer_group"),
    }
    intent.update(_fields(tx, intent, params))
    if confirming:
        tx.put(intent)
        tx.emit("payment_intent.created", intent)
        return paying.confirm(tx, intent, params)
    intent.update(_method(tx, intent, params))
    tx.put(intent)
    tx.emit("payment_intent.created", intent)
    return intent


@operation("payment_intents.retrieve", "GET", "/v1/payment_intents/{}", publishable=True)
def retrieve(tx: Tx, params: Obj, intent_id: str) -> Obj:
    """Return an intent; a page must know its client secret and sees only the public part."""
    intent = found(tx, "payment_intent", params, intent_id)
    return public_intent(intent) if tx.publishable else intent


@operation("payment_intents.list", "GET", "/v1/payment_intents")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List intents, by customer or time."""
    return page(tx, "payment_intent", params, "/v1/payment_intents", by=("customer", "customer_account"))


@operation("payment_intents.update", "POST", "/v1/payment_intents/{}")
def update(tx: Tx, params: Obj, intent_id: str) -> Obj:
    """Change an intent; amount and means of payment only while nobody has been asked for money."""
    intent = tx.need("payment_intent", intent_id)
    fixed = _FIXED_ONCE_ASKED & set(params)
    if intent["status"] not in _OPEN and fixed:
        raise unexpected_state(
            f"This PaymentIntent's {min(fixed)} could not be updated because it has a status of "
            f"{intent['status']}. "
            "You may only update it on a PaymentIntent with one of the following statuses: "
            "requires_payment_method, "
            "requires_confirmation, requires_action.",
            intent,
        )
    fields = _fields(tx, intent, params)
    if "currency" in params:
        fields["currency"] = money.check_currency(params["currency"])
    if "amount" in params or "currency" in params:
        currency = {**intent, **fields}["currency"]
        fields["amount"] = money.check_amount(
            params["amount"] if "amount" in params else intent["amount"], currency
        )
    for name in ("capture_method", "transfer_group"):
        if name in params:
            fields[name] = params[name]
    if _TYPE_PARAMS & set(params):
        fields.update(_type_fields(params, intent))
    fields.update(_method(tx, {**intent, **fields}, params))
    if intent["status"] == "requires_action" and fixed:
        fields.update(status="requires_confirmation", next_action=None)
    return tx.change(intent, **fields)


@operation("payment_intents.confirm", "POST", "/v1/payment_intents/{}/confirm", publishable=True)
def confirm(tx: Tx, params: Obj, intent_id: str) -> Obj:
    """Confirm an intent, from a server or, with its client secret, from a page."""
    intent = found(tx, "payment_intent", params, intent_id)
    if tx.publishable and intent["confirmation_method"] == "manual":
        raise invalid(
            "The client_secret provided cannot confirm this PaymentIntent because its confirmation_method is "
            "manual."
        )
    if tx.publishable:
        params = {"use_stripe_sdk": True, **params}
    fields = _fields(tx, intent, {n: v for n, v in params.items() if n != "metadata"})
    if _TYPE_PARAMS & set(params):
        fields.update(_type_fields(params, intent))
    if "capture_method" in params:
        fields["capture_method"] = params["capture_method"]
    if fields and intent["status"] in _OPEN:
        intent = {**intent, **fields}
    try:
        done = paying.confirm(tx, intent, params)
    except StripeError as error:
        if tx.publishable and "payment_intent" in error.extra:
            error.extra["payment_intent"] = public_intent(error.extra["payment_intent"])
        raise
    return public_intent(done) if tx.publishable else done


@operation("payment_intents.capture", "POST", "/v1/payment_intents/{}/capture")
def capture(tx: Tx, params: Obj, intent_id: str) -> Obj:
    """Take money that a confirmation only held."""
    intent = tx.need("payment_intent", intent_id)
    if intent["status"] != "requires_capture":
        raise unexpected_state(
            "This PaymentIntent could not be captured because it has a status of "
            f"{intent['status']}. Only a PaymentIntent with one of the following statuses may be captured: "
            "requires_capture.",
            intent,
        )
    amount = params["amount_to_capture"] if "amount_to_capture" in params else intent["amount_capturable"]
    if amount < 1:
        raise invalid("Invalid positive integer", "amount_to_capture", "parameter_invalid_integer")
    if amount > intent["amount_capturable"]:
        raise invalid(
            "The amount could not be captured because it is greater than the authorized amount: "
            f"{money.display(intent['amount_capturable'], intent['currency'])}.",
            "amount_to_capture",
            "amount_too_large",
        )
    charges.capture(tx, tx.need("charge", intent["latest_charge"]), amount)
    fields = _fields(tx, intent, params)
    done = tx.change(intent, **fields, status="succeeded", amount_capturable=0, amount_received=amount)
    tx.emit("payment_intent.succeeded", done)
    return done


@job("expire_authorisation")
def expire(tx: Tx, charge_id: str) -> None:
    """Give up an authorisation that nobody captured in time: its intent is canceled."""
    charge = tx.get("charge", charge_id)
    intent = tx.get("payment_intent", charge["payment_intent"]) if charge else None
    if charge is None or intent is None or intent["status"] != "requires_capture":
        return
    refunds.release(tx, charge, "charge.expired")
    done = tx.change(
        intent, status="canceled", amount_capturable=0, canceled_at=tx.now, cancellation_reason="automatic"
    )
    tx.emit("payment_intent.canceled", done)


@operation("payment_intents.cancel", "POST", "/v1/payment_intents/{}/cancel")
def cancel(tx: Tx, params: Obj, intent_id: str) -> Obj:
    """Cancel an intent that has not taken money; a held amount is released."""
    intent = tx.need("payment_intent", intent_id)
    if intent["status"] not in (*_OPEN, "requires_capture"):
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a "
            f"PaymentIntent "
            "with one of the following statuses may be canceled: requires_payment_method, requires_capture, "
            "requires_reauthorization, requires_confirmation, requires_action, processing.",
            intent,
        )
    if intent["status"] == "requires_capture":
        refunds.release(tx, tx.need("charge", intent["latest_charge"]))
    done = tx.change(
        intent,
        status="canceled",
        amount_capturable=0,
        canceled_at=tx.now,
        cancellation_reason=params.get("cancellation_reason"),
        next_action=None,
    )
    tx.emit("payment_intent.canceled", done)
    return done


def _types(params: Obj, automatic: Obj | None = None) -> tuple[Obj | None, list[str]]:
    """Return ``automatic_payment_methods`` and the types in effect: those allowed that the sandbox has, or cards."""
    allowed = params.get("allowed_payment_method_types")
    excluded = params.get("excluded_payment_method_types") or []
    given = params.get("automatic_payment_methods", automatic)
    wanted = allowed if allowed is not None else ["card"]
    types = [name for name in dict.fromkeys(wanted) if name in _TYPES and name not in excluded]
    if not types:
        raise invalid(
            "No valid payment method types for this Payment Intent. Please ensure that you have activated "
            "payment methods compatible with your chosen currency in your dashboard.",
            "allowed_payment_method_types" if allowed is not None else "excluded_payment_method_types",
            "payment_intent_invalid_parameter",
        )
    if allowed is not None or (given is not None and not given["enabled"]):
        return None, types
    return {"allow_redirects": (given or {}).get("allow_redirects", "always"), "enabled": True}, types


def _type_fields(params: Obj, intent: Obj) -> Obj:
    """Return the fields of a change of the types allowed or excluded."""
    known = {name: intent[name] for name in _TYPE_PARAMS if intent[name]}
    automatic, types = _types({**known, **params}, intent["automatic_payment_methods"])
    changed: Obj = {name: params[name] or None for name in _TYPE_PARAMS if name in params}
    return {**changed, "automatic_payment_methods": automatic, "payment_method_types": types}


def _options(params: Obj, types: list[str]) -> Obj:
    given: Any = params.get("payment_method_options") or {}
    wanted: Any = given.get("card") or {}
    if not isinstance(wanted, dict):
        raise invalid("Invalid object", "payment_method_options[card]")
    card: Obj = {
        "installments": None,
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": "automatic",
    }
    options: Obj = {"card": {**card, **wanted}} if "card" in types else {}
    if "card_present" in types:
        present: Any = given.get("card_present") or {}
        if not isinstance(present, dict):
            raise invalid("Invalid object", "payment_method_options[card_present]")
        options["card_present"] = {
            "request_extended_authorization": False,
            "request_incremental_authorization_support": False,
            **{name: value for name, value in present.items() if value != ""},
        }
    if "interac_present" in types:
        options["interac_present"] = {}
    return options


def _fields(tx: Tx, intent: Obj, params: Obj) -> Obj:
    """Return the plain fields that create, update, confirm and capture all take."""
    fields: Obj = {name: params[name] or None for name in _TEXTS if name in params}
    suffix = fields.get("statement_descriptor_suffix")
    for name in ("statement_descriptor", "statement_descriptor_suffix"):
        if fields.get(name) and len(fields[name]) > 22:
            raise invalid(f"The {name.replace('_', ' ')} must be at most 22 characters.", name)
    if fields.get("statement_descriptor") and not suffix and "card" in intent["payment_method_types"]:
        raise invalid(
            "For card charges, you can use `statement_descriptor_suffix` instead of `statement_descriptor`.",
            "statement_descriptor",
        )
    if "shipping" in params:
        fields["shipping"] = _shipping(params["shipping"])
    if "customer" in params:
        fields["customer"] = tx.need("customer", params["customer"], "customer")["id"]
    if "metadata" in params:
        fields["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    return fields


def _shipping(given: Any) -> Obj | None:
    if not given:
        return None
    empty: Obj = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    address = {**empty, **{name: value or None for name, value in (given.get("address") or {}).items()}}
    rest = {name: given.get(name) or None for name in ("carrier", "name", "phone", "tracking_number")}
    return {"address": address, **rest}


def _method(tx: Tx, intent: Obj, params: Obj) -> Obj:
    """Return the fields of a means of payment named without confirming."""
    if "payment_method" in params:
        method = payment_methods.resolve(tx, params["payment_method"])
    elif "payment_method_data" in params:
        method = tx.put(payment_methods.from_data(tx, params["payment_method_data"], "payment_method_data"))
    else:
        return {}
    paying.check_usable(tx, intent, method)
    return {"payment_method": method["id"], "status": "requires_confirmation"}
