"""Reading what people and programs send, so that nothing of a wrong shape reaches the ledger."""

from __future__ import annotations

import json
import re
from typing import TypeVar

from django.http import HttpRequest
from django.utils.translation import gettext as _
from pydantic import BaseModel, ValidationError

from web.checkout.refusals import BodyTooLarge, InvalidRequest, MalformedJson, WrongContentType
from web.payments.errors import Refusal

LARGEST_BODY = 4096  # bytes; the longest honest request has about 150
LONGEST_TEXT = 500  # characters of a form's field
DIGITS = re.compile(r"[+-]?[0-9]{1,12}")

Body = TypeVar("Body", bound=BaseModel)


def text(request: HttpRequest, name: str) -> str:
    """Return a posted field without what no field of ours may hold."""
    return request.POST.get(name, "")[:LONGEST_TEXT].replace("\x00", "").strip()


def number(request: HttpRequest, name: str, refusal: type[Refusal]) -> int:
    """Return a posted whole number; raise the refusal given where it is none."""
    posted = text(request, name)
    if not DIGITS.fullmatch(posted):
        raise refusal
    return int(posted)


def asked(request: HttpRequest, name: str) -> str:
    """Return a parameter of the address."""
    return request.GET.get(name, "")[:LONGEST_TEXT].replace("\x00", "").strip()


def body(request: HttpRequest, shape: type[Body], *, may_be_empty: bool = False) -> Body:
    """Read a JSON body of exactly this shape; say what is wrong with any other."""
    announced = request.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > LARGEST_BODY:
        raise BodyTooLarge
    raw = request.read(LARGEST_BODY + 1)
    if len(raw) > LARGEST_BODY:
        raise BodyTooLarge
    if not raw.strip() and may_be_empty:
        raw = b"{}"
    elif request.content_type != "application/json":
        raise WrongContentType
    try:
        json.loads(raw)
    except (ValueError, RecursionError) as error:  # also bytes that are not UTF-8
        raise MalformedJson from error
    try:
        return shape.model_validate_json(raw)
    except ValidationError as error:
        raise InvalidRequest(fields=_problems(error)) from error


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
        for problem in error.errors(include_input=False, include_url=False)[:10]
    ]
