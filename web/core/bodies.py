"""Reading a JSON body of exactly one shape, for the pages' scripts and for the API: each has its own refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.http import HttpRequest
from django.utils.translation import gettext as _
from pydantic import BaseModel, ValidationError

MOST_PROBLEMS = 10

Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Refusals:
    """What is raised for a body that cannot be taken, in the words of who reads it."""

    too_large: Callable[[], Exception]
    wrong_content_type: Callable[[], Exception]
    malformed: Callable[[], Exception]
    invalid: Callable[[list[dict[str, str]]], Exception]  # what is wrong with which field


def read(
    request: HttpRequest, shape: type[Body], refusals: Refusals, *, largest: int, may_be_empty: bool
) -> Body:
    """Read a body of at most `largest` bytes; raise what `refusals` has for any other."""
    announced = request.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > largest:
        raise refusals.too_large()
    raw = request.read(largest + 1)
    if len(raw) > largest:
        raise refusals.too_large()
    if not raw.strip() and may_be_empty:
        raw = b"{}"
    elif request.content_type != "application/json":
        raise refusals.wrong_content_type()
    try:
        json.loads(raw)
    except (ValueError, RecursionError) as error:  # also bytes that are not UTF-8
        raise refusals.malformed() from error
    try:
        return shape.model_validate_json(raw)
    except ValidationError as error:
        raise refusals.invalid(_problems(error)) from error


def _problems(error: ValidationError) -> list[dict[str, str]]:
    """List what is wrong, without repeating what was sent."""
    words = {
        "missing": _("is missing"),
        "extra_forbidden": _("is not known here"),
        "json_invalid": _("is not JSON"),
    }
    return [
        {
            "field": ".".join(str(part) for part in problem["loc"])[:100] or "body",
            "problem": words.get(problem["type"], problem["msg"]),
        }
        for problem in error.errors(include_input=False, include_url=False)[:MOST_PROBLEMS]
    ]
