"""Which parameters each operation takes, and the refusal of every other, in Stripe's words.

The table, `params.json`, is derived from Stripe's own SDK (`python -m tests.contract.derive`). A rule in it is a scalar
(``str int bool float any``), ``{"enum": […]}``, ``{"list": rule}``, ``{"map": rule}``, ``{"is": shape}``,
``{"either": [rules]}``, or ``{"or_empty": rule}`` for what an empty string unsets.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from sandbox.errors import invalid
from sandbox.forms import as_list

METADATA_KEYS, METADATA_KEY, METADATA_VALUE = 50, 40, 500  # Stripe's limits: keys, length of one, of a value
STRING_LIMIT = 5000  # Stripe refuses longer values of most strings
LONG_STRING_LIMIT = 20_000  # but for the evidence of a dispute, told at length
_LONG = frozenset(
    ["access_activity_log", "cancellation_policy_disclosure", "cancellation_rebuttal", "duplicate_charge_explanation",
     "product_description", "refund_policy_disclosure", "refund_refusal_explanation", "uncategorized_text"]
)  # fmt: skip
#: Texts that an empty string unsets although the SDK's types do not say so.
_UNSETTABLE = frozenset(
    ["description", "statement_descriptor", "statement_descriptor_suffix", "name", "phone", "carrier", "city",
     "country", "line1", "line2", "postal_code", "state", "tracking_number"]
)  # fmt: skip

_TABLE: dict[str, Any] = orjson.loads((Path(__file__).parent / "params.json").read_bytes())
_OPERATIONS: dict[str, Any] = _TABLE["operations"]
_SHAPES: dict[str, Any] = _TABLE["shapes"]


def check(operation: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters typed, or raise the 400 that Stripe would send. Nothing has run by then."""
    return _check_object(_OPERATIONS[operation], given, "")


def _check_object(shape: Mapping[str, Any], given: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    rules = shape["fields"]
    for name in given:
        if name not in rules:
            raise invalid(f"Received unknown parameter: {_path(prefix, name)}", _path(prefix, name),
                          "parameter_unknown")  # fmt: skip
    for name in shape["required"]:
        if name not in given:
            path = _path(prefix, name)
            raise invalid(f"Missing required param: {path}.", path, "parameter_missing")
    return {name: _check_value(rules[name], given[name], prefix, name) for name in given}


def _path(prefix: str, name: str) -> str:
    return f"{prefix}[{name}]" if prefix else name


def _check_value(rule: Any, value: Any, prefix: str, name: str) -> Any:
    """Return one value typed by its rule."""
    path = _path(prefix, name)
    if name == "metadata":
        return _metadata(value, path, isinstance(rule, dict) and "or_empty" in rule)
    if isinstance(rule, dict) and "or_empty" in rule:
        if value == "":
            return ""
        rule = rule["or_empty"]
    if value == "":
        if rule == "str" and name in _UNSETTABLE:
            return ""
        raise _empty(path)
    if isinstance(rule, str):
        return _scalar(rule, value, path, name)
    return _compound(rule, value, path, prefix, name)


def _compound(rule: Mapping[str, Any], value: Any, path: str, prefix: str, name: str) -> Any:
    if "either" in rule:
        return _check_value(_fitting(rule["either"], value), value, prefix, name)
    if "enum" in rule:
        _expect(isinstance(value, str), "Invalid string: must be a string", path)
        choices = rule["enum"]
        if value in choices:
            return value
        listed = f"{', '.join(choices[:-1])}, or {choices[-1]}" if len(choices) > 1 else choices[0]
        raise invalid(f"Invalid {path}: must be one of {listed}", path)
    if "list" in rule:
        items = as_list(value)
        if items is None:
            raise invalid("Invalid array", path)
        return [_check_value(rule["list"], item, path, str(at)) for at, item in enumerate(items)]
    _expect(isinstance(value, dict), "Invalid object", path)
    if "map" in rule:
        return {key: _check_value(rule["map"], item, path, key) for key, item in value.items()}
    return _check_object(_SHAPES[rule["is"]], value, path)


def _fitting(rules: list[Any], value: Any) -> Any:
    """Return the alternative that a value means by its form, so that its refusal names what is wrong with it."""
    if isinstance(value, dict):
        return next(
            (rule for rule in rules if isinstance(rule, dict) and ("is" in rule or "map" in rule)), rules[0]
        )
    if "bool" in rules and value in ("true", "false"):
        return "bool"
    plain = [rule for rule in rules if rule != "bool" and (isinstance(rule, str) or "enum" in rule)]
    return plain[0] if plain else rules[0]


def _scalar(rule: str, value: Any, path: str, name: str) -> Any:
    if rule == "any":
        return value
    _expect(isinstance(value, str), "Invalid string: must be a string", path)
    if rule == "int":
        return _integer(value, path)
    if rule == "bool":
        _expect(value in ("true", "false"), f"Invalid boolean: {value[:40]}", path)
        return value == "true"
    if rule == "float":
        try:
            return float(value)
        except ValueError:
            raise invalid(f"Invalid decimal: {value[:40]}", path) from None
    limit = LONG_STRING_LIMIT if name in _LONG else STRING_LIMIT
    _expect(len(value) <= limit, f"Invalid string: must be at most {limit} characters", path)
    return value


def _expect(condition: bool, message: str, path: str) -> None:
    if not condition:
        raise invalid(message, path)


def _empty(path: str) -> Exception:
    return invalid(
        f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; however "
        f"'{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty value.",
        path,
        "parameter_invalid_empty",
    )


def _integer(value: str, path: str) -> int:
    try:
        if value != value.strip() or "_" in value or len(value) > 19:
            raise ValueError
        return int(value)
    except ValueError:
        raise invalid(f"Invalid integer: {value[:40]}", path, "parameter_invalid_integer") from None


def bounds(given: Any) -> dict[str, int]:
    """Return a timestamp filter as bounds; a bare number means exactly then."""
    if isinstance(given, int):
        return {"gte": given, "lte": given}
    return dict(given or {})


def _metadata(value: Any, path: str, may_unset: bool) -> Any:
    if value == "" and may_unset:
        return ""
    _expect(isinstance(value, dict), "Invalid object", path)
    for key, item in value.items():
        _expect(isinstance(item, str), "Invalid string: metadata values must be strings", f"{path}[{key}]")
        _expect(len(key) <= METADATA_KEY, f"Metadata keys can be up to {METADATA_KEY} characters long.", path)
        _expect(
            len(item) <= METADATA_VALUE,
            f"Metadata values can be up to {METADATA_VALUE} characters long.",
            f"{path}[{key}]",
        )
    _expect(len(value) <= METADATA_KEYS, f"Metadata can have up to {METADATA_KEYS} keys.", path)
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
