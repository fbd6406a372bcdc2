"""Which parameters each operation takes, and the refusal of every other: the one place that knows.

A rule is a short word: ``str int bool hash meta time range`` or ``a|b`` for an enumeration; ``[]`` behind it
makes a
list, ``!`` required, ``~`` allows the empty string (which unsets). A dictionary is a nested object. ``hash``
is an
object whose inside is passed through unread.
"""

from collections.abc import Mapping
from typing import Any

from sandbox.errors import invalid

Rules = Mapping[str, Any]

_ADDRESS: Rules = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"), "str~")
_BILLING: Rules = {"address": _ADDRESS, "email": "str~", "name": "str~", "phone": "str~", "tax_id": "str~"}
_SHIPPING: Rules = {
    "address": _ADDRESS, "name": "str~", "phone": "str~", "carrier": "str~", "tracking_number": "str~",
}  # fmt: skip
_CARD: Rules = {
    "number": "str", "exp_month": "int", "exp_year": "int", "cvc": "str", "token": "str", "networks": "hash",
}  # fmt: skip
_PM_DATA: Rules = {
    "type": "str!", "card": _CARD, "billing_details": _BILLING, "metadata": "meta",
    "allow_redisplay": "always|limited|unspecified", "radar_options": "hash", "link": "hash",
}  # fmt: skip
_LIST: Rules = {"limit": "int", "starting_after": "str", "ending_before": "str", "expand": "str[]"}
_SINCE: Rules = {"created": "range"}
_EXPAND: Rules = {"expand": "str[]"}
_FUTURE = "off_session|on_session"
_CAPTURE = "automatic|automatic_async|manual"

_INTENT: Rules = {
    "amount_details": "hash~", "application_fee_amount": "int~", "capture_method": _CAPTURE, "hooks": "hash",
    "allowed_payment_method_types": "str[]", "excluded_payment_method_types": "str[]~",
    "payment_details": "hash~", "payment_method": "str", "payment_method_data": _PM_DATA,
    "payment_method_options": "hash", "receipt_email": "str~", "setup_future_usage": _FUTURE + "~",
    "shipping": _SHIPPING, "payment_method_types": "str[]", "expand": "str[]",
}  # fmt: skip
_INTENT_EDIT: Rules = {
    **_INTENT, "currency": "str", "customer": "str", "customer_account": "str", "description": "str~",
    "metadata": "meta", "payment_method_configuration": "str", "statement_descriptor": "str~",
    "statement_descriptor_suffix": "str~", "transfer_data": "hash", "transfer_group": "str",
}  # fmt: skip
_CONFIRMING: Rules = {
    "confirmation_token": "str", "error_on_requires_action": "bool", "mandate": "str",
    "mandate_data": "hash~",
    "off_session": "bool|one_off|recurring", "radar_options": "hash", "return_url": "str",
    "use_stripe_sdk": "bool",
}  # fmt: skip
_CUSTOMER: Rules = {
    "address": _ADDRESS, "balance": "int", "business_name": "str~", "description": "str~", "email": "str~",
    "expand": "str[]", "individual_name": "str~", "invoice_prefix": "str", "invoice_settings": "hash",
    "metadata": "meta", "name": "str~", "next_invoice_sequence": "int", "phone": "str~",
    "preferred_locales": "str[]", "shipping": _SHIPPING, "tax_exempt": "exempt|none|reverse~", "tax": "hash",
    "source": "str", "validate": "bool", "cash_balance": "hash",
}  # fmt: skip
_CONFIRMATION_TOKEN: Rules = {
    "expand": "str[]", "payment_method": "str", "payment_method_data": _PM_DATA, "return_url": "str",
    "payment_method_options": "hash", "setup_future_usage": _FUTURE, "shipping": _SHIPPING,
}  # fmt: skip

TABLES: Mapping[str, Rules] = {
    "account.retrieve": _EXPAND,
    "accounts.retrieve": _EXPAND,
    "balance_transactions.list": {
        **_LIST, **_SINCE, "currency": "str", "payout": "str", "source": "str", "type": "str",
    },
    "balance_transactions.retrieve": _EXPAND,
    "charges.list": {
        **_LIST, **_SINCE, "customer": "str", "payment_intent": "str", "transfer_group": "str",
    },
    "charges.retrieve": _EXPAND,
    "charges.update": {
        "customer": "str", "description": "str~", "expand": "str[]", "fraud_details": "hash",
        "metadata": "meta", "receipt_email": "str~", "shipping": _SHIPPING, "transfer_group": "str",
    },
    "confirmation_tokens.create": _CONFIRMATION_TOKEN,
    "confirmation_tokens.create_test": _CONFIRMATION_TOKEN,
    "confirmation_tokens.retrieve": _EXPAND,
    "customers.create": {**_CUSTOMER, "payment_method": "str", "tax_id_data": "hash[]", "test_clock": "str"},
    "customers.delete": {},
    "customers.list": {**_LIST, **_SINCE, "email": "str", "test_clock": "str"},
    "customers.payment_methods": {**_LIST, "type": "str", "allow_redisplay": "always|limited|unspecified"},
    "customers.retrieve": _EXPAND,
    "customers.update": {**_CUSTOMER, "default_source": "str"},
    "events.list": {**_LIST, **_SINCE, "type": "str", "types": "str[]", "delivery_success": "bool"},
    "events.retrieve": _EXPAND,
    "payment_intents.cancel": {
        "cancellation_reason": "abandoned|duplicate|fraudulent|requested_by_customer", "expand": "str[]",
    },
    "payment_intents.capture": {
        "amount_to_capture": "int", "amount_details": "hash", "application_fee_amount": "int",
        "expand": "str[]", "final_capture": "bool", "hooks": "hash", "metadata": "meta",
        "payment_details": "hash~", "statement_descriptor": "str", "statement_descriptor_suffix": "str",
        "transfer_data": "hash",
    },
    "payment_intents.confirm": {
        **_INTENT, **_CONFIRMING, "amount_to_confirm": "int", "client_secret": "str",
    },
    "payment_intents.create": {
        **_INTENT_EDIT, **_CONFIRMING, "amount": "int!", "currency": "str!", "confirm": "bool",
        "automatic_payment_methods": {"enabled": "bool!", "allow_redirects": "always|never"},
        "confirmation_method": "automatic|manual", "on_behalf_of": "str",
    },
    "payment_intents.list": {**_LIST, **_SINCE, "customer": "str", "customer_account": "str"},
    "payment_intents.retrieve": {**_EXPAND, "client_secret": "str"},
    "payment_intents.update": {**_INTENT_EDIT, "amount": "int"},
    "payment_methods.attach": {"customer": "str!", "customer_account": "str", "expand": "str[]"},
    "payment_methods.create": {
        **_PM_DATA, **_EXPAND, "type": "str", "customer": "str", "payment_method": "str",
    },
    "payment_methods.detach": _EXPAND,
    "payment_methods.list": {
        **_LIST, "customer": "str", "type": "str", "allow_redisplay": "always|limited|unspecified",
    },
    "payment_methods.retrieve": _EXPAND,
    "payment_methods.update": {
        "allow_redisplay": "always|limited|unspecified", "billing_details": _BILLING, "metadata": "meta",
        "card": {"exp_month": "int", "exp_year": "int", "networks": "hash"}, "expand": "str[]",
    },
    "refunds.cancel": _EXPAND,
    "refunds.create": {
        "amount": "int", "charge": "str", "currency": "str", "customer": "str", "expand": "str[]",
        "instructions_email": "str", "metadata": "meta", "origin": "customer_balance",
        "payment_intent": "str", "reason": "duplicate|fraudulent|requested_by_customer",
        "refund_application_fee": "bool", "reverse_transfer": "bool",
    },
    "refunds.list": {**_LIST, **_SINCE, "charge": "str", "payment_intent": "str"},
    "refunds.retrieve": _EXPAND,
    "refunds.update": {"expand": "str[]", "metadata": "meta"},
    "webhook_endpoints.create": {
        "api_version": "str", "connect": "bool", "description": "str~", "enabled_events": "str[]!",
        "expand": "str[]", "metadata": "meta", "url": "str!",
    },
    "webhook_endpoints.delete": {},
    "webhook_endpoints.list": _LIST,
    "webhook_endpoints.retrieve": _EXPAND,
    "webhook_endpoints.update": {
        "description": "str~", "disabled": "bool", "enabled_events": "str[]", "expand": "str[]",
        "metadata": "meta", "url": "str",
    },
}  # fmt: skip

METADATA_KEYS, METADATA_KEY, METADATA_VALUE = 50, 40, 500  # Stripe's limits: keys, length of one, of a value
STRING_LIMIT = 5000  # Stripe refuses longer values of any string parameter


def check(operation: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters typed, or raise the 400 that Stripe would send. Nothing has run by then."""
    return _check_object(TABLES[operation], given, "")


def _check_object(rules: Rules, given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    for name in given:
        if name not in rules:
            raise invalid(f"Received unknown parameter: {_path(prefix, name)}", _path(prefix, name),
                          "parameter_unknown")  # fmt: skip
    checked = {name: _check_value(rules[name], given[name], _path(prefix, name)) for name in given}
    for name, rule in rules.items():
        if name not in given and isinstance(rule, str) and rule.endswith("!"):
            path = _path(prefix, name)
            raise invalid(f"Missing required param: {path}.", path, "parameter_missing")
    return checked


def _path(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def _check_value(rule: Any, value: Any, path: str) -> Any:
    if not isinstance(rule, str):
        if value == "" and any(rule is emptyable for emptyable in (_ADDRESS, _SHIPPING)):
            return ""
        if not isinstance(value, dict):
            raise invalid("Invalid object", path)
        return _check_object(rule, value, path)
    if rule.startswith("meta"):
        return _metadata(value, path)
    if value == "":
        if "~" in rule or rule == "hash":
            return ""
        raise invalid(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a "
            f"parameter; "
            f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a "
            f"non-empty "
            "value.",
            path,
            "parameter_invalid_empty",
        )
    rule = rule.rstrip("!~")
    if rule.endswith("[]"):
        if not isinstance(value, list):
            raise invalid("Invalid array", path)
        return [_check_value(rule[:-2], item, f"{path}[{at}]") for at, item in enumerate(value)]
    if rule == "hash":
        return _expect(isinstance(value, dict), value, "Invalid object", path)
    if rule == "range":
        return _range(value, path)
    _expect(isinstance(value, str), value, "Invalid string: must be a string", path)
    if rule == "int":
        return _integer(value, path)
    if rule == "str":
        if len(value) > STRING_LIMIT:
            raise invalid(f"Invalid string: must be at most {STRING_LIMIT} characters", path)
        return value
    choices = rule.split("|")
    if choices[0] == "bool" and value in ("true", "false"):
        return value == "true"
    if value in choices[1:] or (choices[0] != "bool" and value in choices):
        return value
    if choices == ["bool"]:
        raise invalid(f"Invalid boolean: {value}", path)
    raise invalid(f"Invalid {path}: must be one of {', '.join(choices[:-1])}, or {choices[-1]}", path)


def _expect(condition: bool, value: Any, message: str, path: str) -> Any:
    if not condition:
        raise invalid(message, path)
    return value


def _integer(value: str, path: str) -> int:
    try:
        if value != value.strip() or "_" in value or len(value) > 19:
            raise ValueError
        return int(value)
    except ValueError:
        raise invalid(f"Invalid integer: {value[:40]}", path, "parameter_invalid_integer") from None


def _range(value: Any, path: str) -> dict[str, int]:
    """Return a timestamp filter as bounds; a bare number means exactly then."""
    if isinstance(value, str):
        return {"gte": _integer(value, path), "lte": _integer(value, path)}
    _expect(isinstance(value, dict), value, "Invalid object", path)
    for name in value:
        if name not in ("gt", "gte", "lt", "lte"):
            raise invalid(
                f"Received unknown parameter: {path}[{name}]", f"{path}[{name}]", "parameter_unknown"
            )
    return {name: _integer(item, f"{path}[{name}]") for name, item in value.items()}


def _metadata(value: Any, path: str) -> Any:
    if value == "":
        return ""
    _expect(isinstance(value, dict), value, "Invalid object", path)
    for key, item in value.items():
        _expect(
            isinstance(item, str), item, "Invalid string: metadata values must be strings", f"{path}[{key}]"
        )
        if len(key) > METADATA_KEY:
            raise invalid(f"Metadata keys can be up to {METADATA_KEY} characters long.", path)
        if len(item) > METADATA_VALUE:
            raise invalid(f"Metadata values can be up to {METADATA_VALUE} characters long.", f"{path}[{key}]")
    if len(value) > METADATA_KEYS:
        raise invalid(f"Metadata can have up to {METADATA_KEYS} keys.", path)
    return value


def merge_metadata(old: Mapping[str, str], change: Any) -> dict[str, str]:
    """Return the metadata after an update: keys are merged, an empty value deletes one, "" deletes all."""
    if change == "":
        return {}
    merged = {**old, **(change or {})}
    kept = {key: value for key, value in merged.items() if value != ""}
    if len(kept) > METADATA_KEYS:
        raise invalid(f"Metadata can have up to {METADATA_KEYS} keys.", "metadata")
    return kept
