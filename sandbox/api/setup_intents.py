"""Setup intents: a card saved for later, asked of its bank now, so that a later payment needs no customer."""

from sandbox.api import confirmation_tokens, payment_methods, setting_up
from sandbox.api.client_secrets import found
from sandbox.errors import StripeError, invalid, setup_unexpected_state
from sandbox.ids import new_id, token
from sandbox.operations import operation
from sandbox.params import merge_metadata
from sandbox.shapes import page, public_setup_intent
from sandbox.world import Obj, Tx

_TYPES = frozenset({"card", "card_present", "link"})
_ONLY_CONFIRMING = ("confirmation_token", "mandate_data", "return_url")


@operation("setup_intents.create", "POST", "/v1/setup_intents")
def create(tx: Tx, params: Obj) -> Obj:
    """Create a setup intent, and confirm it in the same call when asked to."""
    confirming = params.get("confirm", False)
    for name in _ONLY_CONFIRMING:
        if params.get(name) and not confirming:
            raise invalid(f"You can only specify {name} when confirm is true.", name)
    intent_id = new_id("setup_intent")
    automatic, types = _types(params)
    intent: Obj = {
        "id": intent_id,
        "object": "setup_intent",
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "application": None,
        "automatic_payment_methods": automatic,
        "cancellation_reason": None,
        "client_secret": f"{intent_id}_secret_{token(25)}",
        "created": tx.now,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": params.get("excluded_payment_method_types") or None,
        "flow_directions": params.get("flow_directions"),
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": {"id": "pmc_sandbox", "parent": None} if automatic else None,
        "payment_method_options": {
            "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
        },
        "payment_method_types": types,
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": params.get("usage", "off_session"),
    }
    intent.update(_fields(tx, intent, params))
    if not confirming:
        intent.update(_method(tx, intent, params))
    tx.put(intent)
    tx.emit("setup_intent.created", intent)
    return _confirm(tx, intent, params) if confirming else intent


@operation("setup_intents.retrieve", "GET", "/v1/setup_intents/{}", publishable=True)
def retrieve(tx: Tx, params: Obj, intent_id: str) -> Obj:
    """Return a setup intent; a page must know its client secret and sees only the public part."""
    intent = found(tx, "setup_intent", params, intent_id)
    return public_setup_intent(intent) if tx.publishable else intent


@operation("setup_intents.list", "GET", "/v1/setup_intents")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List setup intents, by customer or payment method."""
    return page(tx, "setup_intent", params, "/v1/setup_intents", by=("customer", "payment_method"))


@operation("setup_intents.update", "POST", "/v1/setup_intents/{}")
def update(tx: Tx, params: Obj, intent_id: str) -> Obj:
    """Change a setup intent that is still open."""
    intent = tx.need("setup_intent", intent_id)
    if intent["status"] not in setting_up.OPEN and set(params) - {"metadata", "description"}:
        raise setup_unexpected_state(
            f"You cannot update this SetupIntent because it has a status of {intent['status']}.", intent
        )
    fields = _fields(tx, intent, params)
    if {"allowed_payment_method_types", "excluded_payment_method_types"} & set(params):
        fields["automatic_payment_methods"], fields["payment_method_types"] = _types({**intent, **params})
        for name in ("allowed_payment_method_types", "excluded_payment_method_types"):
            if name in params:
                fields[name] = params[name] or None
    fields.update(_method(tx, {**intent, **fields}, params))
    return tx.change(intent, **fields)


@operation("setup_intents.confirm", "POST", "/v1/setup_intents/{}/confirm", publishable=True)
def confirm(tx: Tx, params: Obj, intent_id: str) -> Obj:
    """Confirm a setup intent, from a server or, with its client secret, from a page."""
    intent = found(tx, "setup_intent", params, intent_id)
    if tx.publishable:
        params = {"use_stripe_sdk": True, **params}
    try:
        done = _confirm(tx, intent, params)
    except StripeError as error:
        if tx.publishable and "setup_intent" in error.extra:
            error.extra["setup_intent"] = public_setup_intent(error.extra["setup_intent"])
        raise
    return public_setup_intent(done) if tx.publishable else done


@operation("setup_intents.cancel", "POST", "/v1/setup_intents/{}/cancel")
def cancel(tx: Tx, params: Obj, intent_id: str) -> Obj:
    """Cancel a setup intent that has not saved anything."""
    intent = tx.need("setup_intent", intent_id)
    if intent["status"] not in setting_up.OPEN:
        raise setup_unexpected_state(
            f"You cannot cancel this SetupIntent because it has a status of {intent['status']}. Only a "
            "SetupIntent with one of the following statuses may be canceled: requires_payment_method, "
            "requires_confirmation, requires_action.",
            intent,
        )
    done = tx.change(
        intent, status="canceled", cancellation_reason=params.get("cancellation_reason"), next_action=None
    )
    tx.emit("setup_intent.canceled", done)
    return done


@operation("setup_attempts.list", "GET", "/v1/setup_attempts")
def attempts(tx: Tx, params: Obj) -> Obj:
    """List the attempts of a setup intent."""
    return page(tx, "setup_attempt", params, "/v1/setup_attempts", by=("setup_intent",))


def _confirm(tx: Tx, intent: Obj, params: Obj) -> Obj:
    """Find what is to be saved, and ask its bank."""
    if intent["status"] not in setting_up.OPEN:
        raise setup_unexpected_state(
            f"You cannot confirm this SetupIntent because it has a status of {intent['status']}. Only a "
            "SetupIntent with one of the following statuses may be confirmed: requires_confirmation, requires_action.",
            intent,
        )
    return_url = params.get("return_url")
    if "confirmation_token" in params:
        given, method = confirmation_tokens.redeem(
            tx, params["confirmation_token"], setup_intent=intent["id"]
        )
        return_url = return_url or given["return_url"]
    elif (fields := _method(tx, intent, params)) or intent["payment_method"]:
        method = tx.need("payment_method", fields.get("payment_method") or intent["payment_method"])
    else:
        raise setup_unexpected_state(
            "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with a "
            "payment method and then confirm it again.",
            intent,
        )
    _check_owner(intent, method)
    automatic = intent["automatic_payment_methods"]
    waived = tx.publishable or return_url or params.get("use_stripe_sdk")
    if automatic and automatic["allow_redirects"] != "never" and not waived:
        raise invalid(
            "This SetupIntent is configured to accept payment methods enabled in your Dashboard. Because some of these "
            "payment methods might redirect your customer off of your page, you must provide a `return_url`.",
            "return_url",
        )
    return setting_up.confirm(tx, intent, method, return_url, bool(params.get("use_stripe_sdk")))


def _types(params: Obj) -> tuple[Obj | None, list[str]]:
    allowed = params.get("allowed_payment_method_types")
    excluded = params.get("excluded_payment_method_types") or []
    given = params.get("automatic_payment_methods")
    types = [name for name in (allowed or ["card"]) if name in _TYPES and name not in excluded]
    if not types:
        raise invalid("No valid payment method types for this Setup Intent.", "allowed_payment_method_types")
    if allowed or (given is not None and not given["enabled"]):
        return None, types
    return {"allow_redirects": (given or {}).get("allow_redirects", "always"), "enabled": True}, types


def _fields(tx: Tx, intent: Obj, params: Obj) -> Obj:
    fields: Obj = {}
    if "description" in params:
        fields["description"] = params["description"] or None
    if "customer" in params:
        fields["customer"] = tx.need("customer", params["customer"], "customer")["id"]
    if "metadata" in params:
        fields["metadata"] = merge_metadata(intent["metadata"], params["metadata"])
    return fields


def _method(tx: Tx, intent: Obj, params: Obj) -> Obj:
    """Return the fields of a payment method named, staged when it is new."""
    if "payment_method" in params:
        method = payment_methods.resolve(tx, params["payment_method"])
    elif "payment_method_data" in params:
        method = tx.put(payment_methods.from_data(tx, params["payment_method_data"], "payment_method_data"))
    else:
        return {}
    _check_owner(intent, method)
    return {"payment_method": method["id"], "status": "requires_confirmation"}


def _check_owner(intent: Obj, method: Obj) -> None:
    if method["customer"] is not None and method["customer"] != intent["customer"]:
        raise invalid(
            f"The provided PaymentMethod cannot be attached to this SetupIntent: {method['id']} belongs to a Customer. "
            "Please include the Customer in the `customer` parameter on the SetupIntent.",
            "payment_method",
        )
