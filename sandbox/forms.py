"""Form encoding as Stripe reads it: ``a[b][0]=x`` and ``a[]=x`` become nested dictionaries."""

import re
from typing import Any
from urllib.parse import parse_qsl

from sandbox.errors import invalid

_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_PART = re.compile(r"\[([^\[\]]*)\]")
MAX_FIELDS = 1000  # far above any real request; a flood of tiny keys must not hold the loop


def decode(encoded: str) -> dict[str, Any]:
    """Return the parameters of a query string or form body; a repeated plain key keeps its last value."""
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise invalid("Invalid request: too many parameters.") from None
    root: dict[str, Any] = {}
    for key, value in pairs:
        match = _KEY.match(key)
        if match is None:
            raise invalid(f"Received unknown parameter: {key}", key, "parameter_unknown")
        path = [match[1], *_PART.findall(match[2])]
        node = root
        for part in path[:-1]:
            child = node.setdefault(part or str(len(node)), {})
            if not isinstance(child, dict):
                raise invalid(f"Invalid object: {match[1]}", match[1])
            node = child
        node[path[-1] or str(len(node))] = value
    return root


def as_list(value: Any) -> list[Any] | None:
    """Return the list that an object with only indexes for keys stands for, else None."""
    if not isinstance(value, dict) or not value or not all(key.isdigit() for key in value):
        return None
    return [value[key] for key in sorted(value, key=int)]
