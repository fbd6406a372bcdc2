"""What is read when a request cannot be served: what happened, whether money moved, what to do next.

Programs (`Accept: application/json`) get `{"error": {"code", "message", "money_moved", "next"}}`.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template import loader
from django.utils.translation import gettext as _
from django.views.decorators.csrf import requires_csrf_token


def wants_json(request: HttpRequest) -> bool:
    """Say whether the client prefers JSON to a page; `*/*` and nothing at all mean a page."""
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def is_api(request: HttpRequest) -> bool:
    """Say whether the API was asked: its errors are problem+json, whatever the client prefers."""
    return request.path_info.startswith("/api/")


def problem_json(
    *,
    status: int,
    code: str,
    message: str,
    next_step: str = "",
    money_moved: bool | None = False,
    **details: object,
) -> JsonResponse:
    """Build an error of the API (RFC 9457). Its type leads to where it is described."""
    facts: dict[str, object] = {
        **details,
        "type": f"/api/#problem-{code}",
        "title": message,
        "status": status,
        "detail": f"{message} {next_step}".strip(),
        "code": code,
        "money_moved": money_moved,
        "next": next_step,
    }
    response = JsonResponse(facts, status=status, content_type="application/problem+json")
    response["Cache-Control"] = "no-store"
    return response


def json_error(
    *, status: int, code: str, message: str, next_step: str = "", money_moved: bool | None = False
) -> JsonResponse:
    """Build the JSON form of an error. `money_moved` is None where this request cannot know."""
    return JsonResponse(
        {"error": {"code": code, "message": message, "money_moved": money_moved, "next": next_step}},
        status=status,
    )


def problem(
    request: HttpRequest,
    *,
    status: int,
    code: str,
    message: str,
    next_step: str = "",
    money_moved: bool | None = False,
    template: str = "errors/problem.html",
) -> HttpResponse:
    """Answer with an error in the form that the client prefers; views may use it for their own errors."""
    if is_api(request) or wants_json(request):
        form = problem_json if is_api(request) else json_error
        return form(status=status, code=code, message=message, next_step=next_step, money_moved=money_moved)
    context = {"status": status, "message": message, "next_step": next_step, "money_moved": money_moved}
    return render(request, template, context, status=status)


def unknown_host(request: HttpRequest) -> HttpResponse:
    """Answer 404 on a host name that no business is served under."""
    return problem(
        request,
        status=404,
        code="unknown_host",
        message=_("No business is served under this address."),
        next_step=_("Check the address for typing mistakes."),
        template="errors/unknown_host.html",
    )


def sign_in_needed(request: HttpRequest) -> HttpResponse:
    """Answer 401 to a program whose session is missing or over."""
    return problem(
        request,
        status=401,
        code="sign_in_needed",
        message=_("You are signed out."),
        next_step=_("Sign in and try again."),
    )


def second_factor_needed(request: HttpRequest) -> HttpResponse:
    """Answer 403 to a program whose session has shown a password only, where the business wants more."""
    return problem(
        request,
        status=403,
        code="second_factor_needed",
        message=_("Your business wants a second factor for this."),
        next_step=_("Open the page in a browser: it asks for your second factor."),
    )


def forbidden(request: HttpRequest) -> HttpResponse:
    """Answer 403 to a person of this business who lacks the right."""
    return bad_rights(request)


@requires_csrf_token
def bad_rights(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Serve as Django's handler403."""
    return problem(
        request,
        status=403,
        code="not_allowed",
        message=_("Your account may not use this page."),
        next_step=_("Ask the owner of the business to give you access."),
    )


@requires_csrf_token
def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Serve as Django's handler404. The exception's text stays in the log: it may name what others have."""
    if getattr(request, "business", None) is None:
        return unknown_host(request)
    return problem(
        request,
        status=404,
        code="not_found",
        message=_("There is nothing at this address."),
        next_step=_("It may have been moved, or the link is incomplete."),
    )


@requires_csrf_token
def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Serve as Django's handler400: also for a host name that is refused, so it must need no business."""
    return problem(
        request,
        status=400,
        code="bad_request",
        message=_("The request could not be understood."),
        next_step=_("Go back, reload the page and try again."),
    )


def too_many_requests(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 429."""
    return problem(
        request,
        status=429,
        code="too_many_requests",
        message=_("That was too often in a short time."),
        next_step=_("Wait a minute, then try again."),
    )


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """Serve as Django's handler500: needs neither database nor context.

    A change may have been committed before the failure, so whether money moved is not known here.
    """
    if is_api(request) or wants_json(request):
        form = problem_json if is_api(request) else json_error
        return form(
            status=500,
            code="server_error",
            message="Something went wrong on our side.",
            next_step="Look at the payment's status before you try again.",
            money_moved=None,
        )
    return HttpResponse(loader.get_template("500.html").render(), status=500)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Serve as CSRF_FAILURE_VIEW: a form from an old tab, or sent by another site."""
    return problem(
        request,
        status=403,
        code="form_expired",
        message=_("This form was open for too long, or in another tab."),
        next_step=_("Go back, reload the page and send it again."),
    )
