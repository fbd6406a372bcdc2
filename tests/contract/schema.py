"""The shape of Stripe's objects, derived from the pinned SDK's own annotations.

Nothing is written down twice: what the SDK's resource classes declare is what the sandbox must produce. An attribute
that is not optional must be there; one that is there must be declared; literals must be among those listed. The SDK
adds ``| str`` to its literals for values of future versions: for the pinned version only the listed ones count.
"""

import inspect
import types
import typing
from typing import Any, ClassVar, Literal, Union

import stripe
from stripe import ListObject, StripeObject


def class_of(obj: dict[str, Any]) -> type[StripeObject]:
    """Return the SDK class of a resource, by its ``object``: ``terminal.reader`` is ``stripe.terminal.Reader``."""
    *rooms, name = obj["object"].split(".")
    place: Any = stripe
    for room in rooms:
        place = getattr(place, room)
    found = getattr(place, "".join(part.capitalize() for part in name.split("_")))
    assert obj["object"] == found.OBJECT_NAME
    return found  # type: ignore[no-any-return]


def problems(obj: dict[str, Any]) -> list[str]:
    """Return everything wrong with a resource, each with its path; an empty list means that it conforms."""
    if obj.get("object") == "list":
        return [problem for item in obj["data"] for problem in problems(item)]
    return _object(obj, class_of(obj), obj["object"])


def declared(cls: type[StripeObject]) -> dict[str, Any]:
    """Return a class's attributes and their annotations, without class variables and private names."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is not StripeObject and issubclass(base, StripeObject):
            found.update(inspect.get_annotations(base))
    return {
        name: annotation
        for name, annotation in found.items()
        if not name.startswith("_") and typing.get_origin(annotation) is not ClassVar
    }


def _object(value: Any, cls: type[StripeObject], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is not a {cls.__name__}"]
    known = declared(cls)
    if not known:
        return []
    if value.get("deleted") is True:
        return [
            f"{path}: a tombstone has {name}" for name in value if name not in {"id", "object", "deleted"}
        ]
    found = [f"{path}.{name}: not declared by {cls.__qualname__}" for name in value if name not in known]
    for name, annotation in known.items():
        if name in value:
            found += _value(value[name], annotation, f"{path}.{name}")
        elif not _is_optional(annotation):
            found.append(f"{path}.{name}: missing, required by {cls.__qualname__}")
    return found


def _is_optional(annotation: Any) -> bool:
    return type(None) in typing.get_args(annotation) if _is_union(annotation) else annotation is Any


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (Union, types.UnionType)


def _resolve(annotation: Any) -> Any:
    if isinstance(annotation, typing.ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return getattr(stripe, annotation, Any)
    return annotation


def _value(value: Any, annotation: Any, path: str) -> list[str]:
    annotation = _resolve(annotation)
    if annotation is Any or isinstance(annotation, typing.TypeVar):
        return []
    if _is_union(annotation):
        return _union(value, [_resolve(option) for option in typing.get_args(annotation)], path)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return [] if value in args else [f"{path}: {value!r} is not one of {', '.join(map(repr, args))}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{path}: {value!r} is not a list"]
        return [
            problem for at, item in enumerate(value) for problem in _value(item, args[0], f"{path}[{at}]")
        ]
    if isinstance(origin, type) and issubclass(origin, ListObject):
        if not isinstance(value, dict) or value.get("object") != "list" or "has_more" not in value:
            return [f"{path}: not a list object"]
        return [problem for item in value["data"] for problem in _value(item, args[0], f"{path}.data")]
    if (isinstance(origin, type) and issubclass(origin, StripeObject)) or origin is dict:
        if not isinstance(value, dict):
            return [f"{path}: {value!r} is not an object"]
        return [
            problem for name, item in value.items() for problem in _value(item, args[-1], f"{path}.{name}")
        ]
    if isinstance(annotation, type) and issubclass(annotation, StripeObject):
        return _object(value, annotation, path)
    if annotation in (int, float, str, bool):
        fits = isinstance(value, (int, float) if annotation is float else annotation)
        if annotation in (int, float) and isinstance(value, bool):
            fits = False
        return [] if fits else [f"{path}: {value!r} is not of type {annotation.__name__}"]
    return []


def _union(value: Any, options: list[Any], path: str) -> list[str]:
    if value is None:
        return [] if type(None) in options else [f"{path}: is null, and may not be"]
    options = [option for option in options if option is not type(None)]
    literals = [option for option in options if typing.get_origin(option) is Literal]
    if literals and isinstance(value, str):
        options = literals
    if isinstance(value, dict) and "object" in value:
        options = [o for o in options if getattr(o, "OBJECT_NAME", value["object"]) == value["object"]]
    results = [_value(value, option, path) for option in options]
    return min(results, key=len, default=[f"{path}: {value!r} fits nothing"])
