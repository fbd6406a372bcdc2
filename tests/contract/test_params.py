"""Every parameter of every operation is judged by the SDK's own types, and refused in Stripe's words."""

import json
from typing import Any

import pytest

from sandbox import operations, params
from tests.contract import derive
from tests.contract.conftest import Account

_DERIVED = derive.table()
_WRITTEN = json.loads(derive.TABLE.read_text())


@pytest.mark.parametrize("name", sorted({entry.name for entry in operations.every()}))
def test_the_table_is_what_the_sdk_says(name: str) -> None:
    assert _WRITTEN["operations"].get(name) == _DERIVED["operations"][name]


def test_no_shape_of_the_table_differs_from_the_sdk() -> None:
    assert {
        name for name in _DERIVED["shapes"] if _WRITTEN["shapes"].get(name) != _DERIVED["shapes"][name]
    } == set()
    assert set(_WRITTEN["shapes"]) == set(_DERIVED["shapes"])
    assert set(_WRITTEN["operations"]) == set(_DERIVED["operations"])
    assert _WRITTEN["sdk"] == _DERIVED["sdk"]


def _name(entry: operations.Operation) -> str:
    return entry.name


def _url(entry: operations.Operation) -> str:
    return entry.path.replace("{}", "some_id")


def _call(account: Account, entry: operations.Operation, data: dict[str, Any]) -> Any:
    """Send form parameters to an operation as its method carries them, with a key that may call it."""
    key = account.public_key if entry.name == "confirmation_tokens.create" else account.key
    if entry.method == "GET":
        return account.get(_url(entry), data, key=key)
    return account.send(entry.method, _url(entry), data, key=key)


@pytest.mark.parametrize("entry", sorted(operations.every(), key=_name), ids=_name)
def test_every_operation_refuses_what_its_types_refuse(account: Account, entry: operations.Operation) -> None:
    shape = _WRITTEN["operations"][entry.name]
    refused = _call(account, entry, {"colour": "red"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "parameter_unknown")
    assert refused.json()["error"]["param"] == "colour"
    for name in shape["required"]:
        others = {other: _sample(shape["fields"][other]) for other in shape["required"] if other != name}
        missing = _call(account, entry, _flat(others)).json()["error"]
        assert (missing["code"], missing["param"]) == ("parameter_missing", name)
    required = _flat({name: _sample(shape["fields"][name]) for name in shape["required"]})
    for name, rule in shape["fields"].items():
        found = _wrong(name, rule)
        if found is None or name in shape["required"]:
            continue
        data, param = found
        error = _call(account, entry, {**required, **data}).json()["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", param), (name, data, error)


def _sample(rule: Any) -> Any:
    """Return a value that a rule takes."""
    if rule == "int":
        return "100"
    if rule == "bool":
        return "true"
    if rule == "str":
        return "usd"
    if "enum" in rule:
        return rule["enum"][0]
    if "list" in rule:
        return [_sample(rule["list"])]
    if "or_empty" in rule:
        return _sample(rule["or_empty"])
    shape = _WRITTEN["shapes"][rule["is"]]
    return {name: _sample(shape["fields"][name]) for name in shape["required"]}


def _flat(given: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters in form encoding."""
    flat: dict[str, str] = {}
    for name, value in given.items():
        path = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, list):
            value = dict(enumerate(value))
        flat.update(_flat(value, path) if isinstance(value, dict) else {path: value})
    return flat


def _wrong(name: str, rule: Any) -> tuple[dict[str, str], str] | None:
    """Return a value that a rule refuses, and the path that the refusal must name."""
    if name == "expand":
        return {"expand": "x"}, "expand"
    if isinstance(rule, dict) and "or_empty" in rule:
        rule = rule["or_empty"]
    if rule == "int":
        return {name: "1.5"}, name
    if rule == "bool":
        return {name: "perhaps"}, name
    if rule == "str":
        return {f"{name}[a]": "x"}, name
    if "enum" in rule:
        return {name: "gremlin"}, name
    if "list" in rule:
        return {name: "gremlin"}, name
    if "map" in rule:
        return {name: "gremlin"}, name
    if "either" in rule:
        return _wrong(name, rule["either"][0])
    return {f"{name}[gremlin]": "1"}, f"{name}[gremlin]"


NEW = {"amount": "1500", "currency": "usd"}


@pytest.mark.parametrize(
    ("path", "data", "param", "code"),
    [
        ("payment_intents", {"payment_method_data[colour]": "red", "payment_method_data[type]": "card"},
         "payment_method_data[colour]", "parameter_unknown"),
        ("payment_intents", {"payment_method_data[billing_details][name]": "A"}, "payment_method_data[type]",
         "parameter_missing"),
        ("payment_intents", {"payment_method_data[type]": "gold"}, "payment_method_data[type]", None),
        ("payment_intents", {"payment_method_options[card][request_three_d_secure]": "never"},
         "payment_method_options[card][request_three_d_secure]", None),
        ("payment_intents", {"payment_method_options[card][installments][plan][count]": "x",
                             "payment_method_options[card][installments][plan][type]": "fixed_count"},
         "payment_method_options[card][installments][plan][count]", "parameter_invalid_integer"),
        ("payment_intents", {"automatic_payment_methods[allow_redirects]": "never"},
         "automatic_payment_methods[enabled]", "parameter_missing"),
        ("payment_intents", {"shipping[name]": "A"}, "shipping[address]", "parameter_missing"),
        ("payment_intents", {"payment_method_types[]": "card"}, "payment_method_types", "parameter_unknown"),
        ("payment_intents", {"allowed_payment_method_types[]": "gold"}, "allowed_payment_method_types[0]", None),
        ("payment_intents", {"allowed_payment_method_types[]": "klarna"}, "allowed_payment_method_types",
         "payment_intent_invalid_parameter"),
        ("payment_intents", {"off_session": "sometimes"}, "off_session", None),
        ("payment_intents", {"capture_method": ""}, "capture_method", "parameter_invalid_empty"),
        ("payment_intents", {"description": "x" * 5001}, "description", None),
        ("payment_intents", {f"metadata[{'k' * 41}]": "x"}, "metadata", None),
        ("payment_intents", {"metadata[k]": "x" * 501}, "metadata[k]", None),
        ("payment_intents", {f"metadata[k{n}]": "x" for n in range(51)}, "metadata", None),
    ],
)  # fmt: skip
def test_a_refusal_names_the_path(
    account: Account, path: str, data: dict[str, str], param: str, code: str | None
) -> None:
    answer = account.post(f"/v1/{path}", {**NEW, **data})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error.get("code")) == (400, param, code)
    assert account.types() == []


def test_what_is_allowed_at_the_limit(account: Account) -> None:
    data = {**NEW, "description": "x" * 5000, **{f"metadata[{n:040}]": "y" * 500 for n in range(50)}}
    made = account.post("/v1/payment_intents", data)
    assert made.status_code == 200
    assert len(made.json()["metadata"]) == params.METADATA_KEYS
    more = account.post(f"/v1/payment_intents/{made.json()['id']}", {"metadata[one]": "too many"})
    assert (more.status_code, more.json()["error"]["param"]) == (400, "metadata")
    swapped = {"metadata[one]": "instead", f"metadata[{0:040}]": ""}
    assert account.post(f"/v1/payment_intents/{made.json()['id']}", swapped).status_code == 200
