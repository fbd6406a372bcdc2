"""Derives `sandbox/params.json` from the pinned SDK: `python -m tests.contract.derive` writes it anew.

The SDK's `stripe.params` name every parameter that Stripe documents, its type, whether it is required and which values
it may have. The sandbox may not import the SDK, so it reads what this module wrote; a contract test derives the table
again and compares, so an SDK that says something else fails by the name of the operation.
"""

import importlib.util
import inspect
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union

import orjson
import stripe
import stripe.params
from stripe import StripeObject
from typing_extensions import is_typeddict

from sandbox import api, operations

TABLE = Path(api.__file__).parents[1] / "params.json"
#: Operations whose place in the SDK is not ``client.v1.{name}``.
PLACES = {
    "account.retrieve": "accounts.retrieve_current",
    "balance.retrieve": "balance.retrieve",
    "confirmation_tokens.create": "test_helpers.confirmation_tokens.create",  # the page's own call
    "confirmation_tokens.create_test": "test_helpers.confirmation_tokens.create",
    "customers.payment_methods": "customers.payment_methods.list",
}
#: What Stripe takes and its SDK does not list: a page's client secret, and a card inside ``payment_method_data``.
BEYOND_THE_SDK: dict[str, dict[str, Any]] = {
    "payment_intents.confirm": {"client_secret": "str"},
    "setup_intents.confirm": {"client_secret": "str"},
}
_CARD_CLASS = "PaymentMethodCreateParamsCard"
_SCALARS = {str: "str", int: "int", bool: "bool", float: "float", Any: "any", object: "any"}


class Derivation:
    """The table while it grows; equal objects are written once, under the name first met."""

    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}
        self._names: dict[bytes, str] = {}

    def shape(self, cls: Any) -> Any:
        """Return the rule of a TypedDict: a reference to its fields."""
        fields = self.fields(cls)
        if cls.__name__.endswith("PaymentMethodData"):
            fields["fields"]["card"] = self.shape(getattr(stripe.params, _CARD_CLASS))
            kinds = fields["fields"]["type"]["enum"]
            fields["fields"]["type"] = {"enum": sorted({*kinds, "card"})}
        content = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        name = self._names.setdefault(content, cls.__name__)
        self.shapes[name] = fields
        return {"is": name}

    def fields(self, cls: Any) -> dict[str, Any]:
        """Return ``{"fields": {name: rule}, "required": [names]}`` of a TypedDict, without the request's options."""
        options = inspect.get_annotations(stripe.RequestOptions)
        own = {name: hint for name, hint in cls.__annotations__.items() if name not in options}
        hints = typing.get_type_hints(
            type(cls.__name__, (), {"__annotations__": own}), vars(inspect.getmodule(cls))
        )
        required = sorted(set(cls.__required_keys__) - set(options))
        return {"fields": {name: self.rule(hint) for name, hint in hints.items()}, "required": required}

    def rule(self, hint: Any) -> Any:
        """Return the rule of one annotation."""
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in (Union, types.UnionType):
            return self._union(args)
        if origin is Literal:
            return {"enum": list(args)}
        if origin is list:
            return {"list": self.rule(args[0])}
        if origin is dict:
            return {"map": self.rule(args[1])}
        if is_typeddict(hint):
            return self.shape(hint)
        if hint not in _SCALARS:
            raise TypeError(f"the SDK has an annotation that is not understood: {hint!r}")
        return _SCALARS[hint]

    def _union(self, args: tuple[Any, ...]) -> Any:
        literals = [
            value for arg in args if typing.get_origin(arg) is Literal for value in typing.get_args(arg)
        ]
        others = [
            arg
            for arg in args
            if typing.get_origin(arg) is not Literal
            and arg is not type(None)
            and not issubclass(typing.get_origin(arg) or arg, StripeObject)  # a map's other spelling
        ]
        choices = [value for value in literals if value != ""]
        if choices:  # ``| str`` beside choices stands for values of versions to come
            others = [arg for arg in others if arg is not str]
        rules = [self.rule(arg) for arg in others]
        if choices:
            rules.append({"enum": choices})
        whole = rules[0] if len(rules) == 1 else {"either": rules}
        return {"or_empty": whole} if "" in literals else whole


def params_class(name: str) -> Any:
    """Return the TypedDict of an operation, found as an SDK user finds it: at the client's method."""
    place = PLACES.get(name, name)
    *path, method = place.split(".")
    service: Any = stripe.StripeClient("sk_test_derive").v1
    for part in path:
        service = getattr(service, part)
    annotation = inspect.get_annotations(getattr(type(service), method))["params"]
    wanted = str(annotation).split("'")[1] if "'" in str(annotation) else str(annotation)
    rooms = (".".join(["stripe.params", *path[:depth]]) for depth in range(len(path) - 1, -1, -1))
    for room in rooms:
        if _is_there(room) and hasattr(importlib.import_module(room), wanted):
            return getattr(importlib.import_module(room), wanted)
    raise LookupError(f"{name}: the SDK has no {wanted}")


def _is_there(room: str) -> bool:
    """Return whether the SDK has a module; of most services it has none, and their parents neither."""
    try:
        return importlib.util.find_spec(room) is not None
    except ModuleNotFoundError:
        return False


def table() -> dict[str, Any]:
    """Return the whole table."""
    derivation = Derivation()
    found: dict[str, Any] = {}
    for entry in sorted(operations.every(), key=lambda entry: entry.name):
        fields = derivation.fields(params_class(entry.name))
        fields["fields"].update(BEYOND_THE_SDK.get(entry.name, {}))
        found[entry.name] = fields
    return {"sdk": stripe.VERSION, "operations": found, "shapes": dict(sorted(derivation.shapes.items()))}


def main() -> None:
    """Write the table, one operation or shape to a line so that a change can be read."""
    derived = table()
    lines = [f'{{"sdk": "{derived["sdk"]}"']
    for part in ("operations", "shapes"):
        rows = [f'  "{name}": {orjson.dumps(rule).decode()}' for name, rule in derived[part].items()]
        lines.append(f'"{part}": {{\n' + ",\n".join(rows) + "\n}")
    TABLE.write_text(",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
