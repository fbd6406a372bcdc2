"""The one place where a refusal becomes a response: JSON for programs, words on the page for people."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ClassVar, ParamSpec, cast

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from web.core import errors
from web.core.tenancy import TenantRequest
from web.payments.errors import Kind, Refusal
from web.payments.models import Order
from web.payments.money import Money

STATUS = {Kind.INVALID: 422, Kind.MISSING: 404, Kind.CONFLICT: 409, Kind.UNAVAILABLE: 503}

Parameters = ParamSpec("Parameters")
View = Callable[Parameters, HttpResponse]
Page = Callable[[TenantRequest, Refusal], HttpResponse]


class BadRequest(Refusal):
    """The request cannot be read at all; carries its own HTTP status."""

    status: ClassVar[int] = 400
    next_step = _("Nothing was charged. Reload the page and try again.")


class MalformedJson(BadRequest):
    code = "malformed_json"
    message = _("The body is not JSON.")


class WrongContentType(BadRequest):
    code, status = "wrong_content_type", 415
    message = _("The body must be sent as application/json.")


class BodyTooLarge(BadRequest):
    code, status = "body_too_large", 413
    message = _("The body is larger than this address takes.")


class InvalidRequest(BadRequest):
    """`details["fields"]` says which field is wrong, and how."""

    code, status = "invalid_request", 422
    message = _("The request has missing, unknown or wrong fields.")


class MethodNotAllowed(BadRequest):
    code, status = "method_not_allowed", 405
    message = _("This address does not take that method.")


def status_of(refusal: Refusal) -> int:
    """Return the HTTP status of a refusal."""
    return refusal.status if isinstance(refusal, BadRequest) else STATUS[refusal.kind]


def as_json(refusal: Refusal) -> JsonResponse:
    """Answer a program."""
    error: dict[str, object] = {
        "code": refusal.code,
        "message": str(refusal.message),
        "money_moved": refusal.money_moved,
        "next": str(refusal.next_step),
    }
    if refusal.details:
        error["details"] = {name: _plain(value) for name, value in refusal.details.items()}
    return JsonResponse({"error": error}, status=status_of(refusal))


def _plain(value: object) -> object:
    if isinstance(value, Money):
        return value.amount
    if isinstance(value, Order):
        return {"number": value.number, "receipt_url": reverse("payment:receipt", args=[value.token])}
    return value


def as_page(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """Answer a person with a page of its own, where there is no page to show the refusal on."""
    return errors.problem(
        request,
        status=status_of(refusal),
        code=refusal.code,
        message=str(refusal.message),
        next_step=str(refusal.next_step),
        money_moved=refusal.money_moved,
    )


def shown_on(page: Page) -> Callable[[View[Parameters]], View[Parameters]]:
    """Let a view raise refusals: a program gets JSON, a person the same page again with what they typed.

    A sale that is paid already is no trouble: the person is brought to its receipt.
    """

    def decorate(view: View[Parameters]) -> View[Parameters]:
        @wraps(view)
        def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> HttpResponse:
            request = cast(TenantRequest, args[0])
            try:
                return view(*args, **kwargs)
            except Refusal as refusal:
                if errors.wants_json(request):
                    return as_json(refusal)
                order = refusal.details.get("order")
                if isinstance(order, Order):
                    return redirect("payment:receipt", token=order.token)
                try:
                    return page(request, refusal)
                except Refusal as deeper:  # the page itself cannot be shown: its cart is gone
                    return as_page(request, deeper)

        return wrapper

    return decorate


def json_only(view: View[Parameters]) -> View[Parameters]:
    """Let a view for programs raise refusals; a person who opens it gets them as a page."""

    @wraps(view)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> HttpResponse:
        request = cast(TenantRequest, args[0])
        try:
            return view(*args, **kwargs)
        except Refusal as refusal:
            if request.get_preferred_type(["application/json", "text/html"]) == "text/html":
                return as_page(request, refusal)
            return as_json(refusal)

    return wrapper
