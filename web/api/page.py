"""The API for who reads about it: a page without scripts, and the OpenAPI document that programs read."""

from __future__ import annotations

import functools
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from web.api import openapi, problems
from web.api.routes import Route


@functools.cache
def _document() -> dict[str, Any]:
    from web.api.urls import V1

    return openapi.document(V1)


@require_safe
def document(request: HttpRequest) -> HttpResponse:
    """Give the document; it tells of no business."""
    return JsonResponse(_document())


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Show every address with what it takes and gives, and every problem with what to do."""
    from web.api.urls import V1

    context = {
        "operations": [
            {
                "name": name,
                "method": method,
                "address": address,
                "route": route,
                "sends": _fields(route, is_sent=True),
                "gets": _fields(route, is_sent=False),
            }
            for _written, address, name, method, route in openapi.operations(V1)
        ],
        "problems": [(refusal, problems.status_of(refusal.__new__(refusal))) for refusal in problems.known()],
    }
    return render(request, "api/reference.html", context)


def _fields(route: Route, *, is_sent: bool) -> list[tuple[str, str, bool]]:
    """Return the fields of a shape: name, type in words, and whether it has to be there."""
    shape = route.body if is_sent else route.answer
    if shape is None:
        return []
    schema = shape.model_json_schema(mode="validation" if is_sent else "serialization")
    needed = set(schema.get("required", ()))
    return [(name, _kind(facts), name in needed) for name, facts in schema.get("properties", {}).items()]


def _kind(facts: dict[str, Any]) -> str:
    if "anyOf" in facts:
        return " | ".join(_kind(one) for one in facts["anyOf"])
    if "$ref" in facts:
        return str(facts["$ref"]).rpartition("/")[2]
    if "enum" in facts:
        return " | ".join(f'"{one}"' for one in facts["enum"])
    if facts.get("type") == "array":
        return f"[{_kind(facts.get('items', {}))}]"
    return str(facts.get("format") or facts.get("type", ""))
