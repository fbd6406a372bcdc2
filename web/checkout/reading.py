"""Reading what people and programs send, so that nothing of a wrong shape reaches the ledger."""

from __future__ import annotations

import re

from django.http import HttpRequest

from web.checkout.refusals import BodyTooLarge, InvalidRequest, MalformedJson, WrongContentType
from web.core import bodies
from web.core.bodies import Body
from web.payments.errors import Refusal

LARGEST_BODY = 4096  # bytes; the longest honest request has about 150
LONGEST_TEXT = 500  # characters of a form's field
DIGITS = re.compile(r"[+-]?[0-9]{1,12}")

_REFUSALS = bodies.Refusals(
    BodyTooLarge, WrongContentType, MalformedJson, lambda fields: InvalidRequest(fields=fields)
)


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
    return bodies.read(request, shape, _REFUSALS, largest=LARGEST_BODY, may_be_empty=may_be_empty)
