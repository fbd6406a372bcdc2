"""Every error of the API as problem+json (RFC 9457): what happened, whether money moved, what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from web.core import errors
from web.payments.errors import Kind, Refusal
from web.payments.models import Order
from web.payments.money import Money
from web.payments.operations.api_tokens import TokenUnknown, TooManyCalls

STATUS = {Kind.INVALID: 422, Kind.MISSING: 404, Kind.CONFLICT: 409, Kind.UNAVAILABLE: 503}


class ApiRefusal(Refusal):
    """The request was not understood or not allowed; carries its own HTTP status."""

    status: ClassVar[int] = 400
    next_step = _("Nothing was done. Mend the request and send it again.")


class MalformedJson(ApiRefusal):
    code = "malformed_json"
    message = _("The body is not JSON.")


class WrongContentType(ApiRefusal):
    code, status = "wrong_content_type", 415
    message = _("The body must be sent as application/json.")


class BodyTooLarge(ApiRefusal):
    code, status = "body_too_large", 413
    message = _("The body is larger than this address takes.")


class InvalidRequest(ApiRefusal):
    """`fields` says which field is wrong, and how."""

    code, status = "invalid_request", 422
    message = _("The request has missing, unknown or wrong fields.")


class MethodNotAllowed(ApiRefusal):
    code, status = "method_not_allowed", 405
    message = _("This address does not take that method.")


class NothingHere(ApiRefusal):
    code, status = "not_found", 404
    message = _("There is nothing at this address, or it belongs to somebody else.")


class ScopeMissing(ApiRefusal):
    """`scope` is the one that is needed."""

    code, status = "scope_missing", 403
    message = _("This token may not do that.")
    next_step = _("Nothing was done. Use a token with the scope that is needed.")


class KeyMissing(ApiRefusal):
    code = "idempotency_key_missing"
    message = _("A POST needs an Idempotency-Key: 1 to 255 visible characters.")
    next_step = _("Nothing was done. Send a key of your own, and the same one when you repeat the request.")


def status_of(refusal: Refusal) -> int:
    """Return the HTTP status of a refusal."""
    if isinstance(refusal, ApiRefusal):
        return refusal.status
    if isinstance(refusal, TokenUnknown):
        return 401
    if isinstance(refusal, TooManyCalls):
        return 429
    return STATUS[refusal.kind]


def as_problem(refusal: Refusal) -> HttpResponse:
    """Answer with a refusal."""
    status = status_of(refusal)
    response = errors.problem_json(
        status=status,
        code=refusal.code,
        message=str(refusal.message),
        next_step=str(refusal.next_step),
        money_moved=refusal.money_moved,
        **{name: _plain(value) for name, value in refusal.details.items()},
    )
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if status == 429:
        response["Retry-After"] = str(refusal.details["retry_after"])
    if refusal.code == "idempotency_key_in_flight":
        response["Retry-After"] = "1"
    return response


def _plain(value: object) -> object:
    if isinstance(value, Money):
        return value.amount
    if isinstance(value, Order):
        return value.number
    return value if isinstance(value, bool | int | str | list | None) else str(value)


def known() -> list[type[Refusal]]:
    """Return every refusal that there is, by its code: what the page of the API lists."""
    found = {refusal.code: refusal for refusal in _below(Refusal) if "code" in vars(refusal)}
    return [found[code] for code in sorted(found)]


def _below(refusal: type[Refusal]) -> Iterator[type[Refusal]]:
    for one in refusal.__subclasses__():
        if not one.__module__.startswith(("web.checkout", "web.backoffice", "web.ops", "web.core", "tests")):
            yield one
        yield from _below(one)
