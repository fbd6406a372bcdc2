"""The OpenAPI 3.1 document: drawn from the routes and their shapes, so that it cannot say anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.urls import URLPattern
from pydantic.json_schema import models_json_schema

from web.api import shapes
from web.api.routes import LARGEST_BODY, Route

VERSION = "1.0.0"
BASE = "/api/v1"
_REF = "#/components/schemas/{model}"
_PART = re.compile(r"<(\w+):(\w+)>")
_BRACES = r"{\2}"
_PATH_SCHEMAS: dict[str, dict[str, Any]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "api_token": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,40}$"},
    "api_number": {"type": "string", "pattern": "^[A-Z0-9-]{1,9}$"},
    "api_id": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
}
_QUERY_SCHEMAS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 25},
    "cursor": {"type": "string", "minLength": 1, "maxLength": 99},
    "order": _PATH_SCHEMAS["api_number"],
    "reference": _PATH_SCHEMAS["uuid"],
}
_PROBLEMS = {
    "400": "The request cannot be read, or its Idempotency-Key is missing.",
    "401": "The token is not valid here.",
    "403": "The token lacks the scope.",
    "404": "There is nothing like this, or it is another business's.",
    "409": "It makes sense, but not now.",
    "413": f"The body is larger than {LARGEST_BODY} bytes.",
    "415": "The body is not sent as application/json.",
    "422": "The request has wrong fields, or makes no sense.",
    "429": "Too many calls within a minute.",
    "500": "Something went wrong on our side: look before you try again.",
    "503": "It will work once something of the business is set up.",
}


def operations(patterns: Sequence[URLPattern]) -> Iterator[tuple[str, str, str, str, Route]]:
    """Yield every operation: its address as Django and as OpenAPI write it, its name, method and route."""
    for one in patterns:
        written = str(one.pattern)
        routes: dict[str, Route] = one.callback.routes  # type: ignore[attr-defined]  # set by routes.view
        for method, route in routes.items():
            address = f"{BASE}/{_PART.sub(_BRACES, written)}"
            yield written, address, f"{method.lower()}_{one.name}", method, route


def document(patterns: Sequence[URLPattern]) -> dict[str, Any]:
    """Return the document."""
    found = list(operations(patterns))
    sent = {route.body for *_, route in found if route.body is not None}
    models: list[tuple[type[Any], Any]] = [(model, "validation") for model in sent]
    models += [(model, "serialization") for model in {route.answer for *_, route in found} | {shapes.Problem}]
    ordered = sorted(models, key=lambda pair: pair[0].__name__)
    refs, definitions = models_json_schema(ordered, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for written, address, name, method, route in found:
        paths.setdefault(address, {})[method.lower()] = _operation(written, name, method, route, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Paydesk",
            "version": VERSION,
            "description": "Carts, payments, card readers, orders and refunds of one business.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(written: str, name: str, method: str, route: Route, refs: dict[Any, Any]) -> dict[str, Any]:
    parameters = [
        {"name": part, "in": "path", "required": True, "schema": _PATH_SCHEMAS[kind]}
        for kind, part in _PART.findall(written)
    ]
    parameters += [{"name": one, "in": "query", "schema": _QUERY_SCHEMAS[one]} for one in route.query]
    if method == "POST":
        key = {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$", "minLength": 1, "maxLength": 255}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": True, "schema": key})
    answers: dict[str, Any] = {
        status: {
            "description": said,
            "content": {"application/problem+json": {"schema": refs[(shapes.Problem, "serialization")]}},
        }
        for status, said in _PROBLEMS.items()
    }
    answers[str(route.status)] = {
        "description": route.says,
        "content": {"application/json": {"schema": refs[(route.answer, "serialization")]}},
    }
    described: dict[str, Any] = {
        "operationId": name,
        "summary": route.says,
        "description": f"Scope: `{route.scope}`.",
        "parameters": parameters,
        "responses": dict(sorted(answers.items())),
    }
    if route.body is not None:
        described["requestBody"] = {
            "required": route.body is not shapes.Nothing,
            "content": {"application/json": {"schema": refs[(route.body, "validation")]}},
        }
    return described
