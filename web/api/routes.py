"""What an address of the API does: how a request is read, who may ask, and what makes a repeat harmless."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel

from web.api.problems import (
    BodyTooLarge,
    InvalidRequest,
    KeyMissing,
    MalformedJson,
    MethodNotAllowed,
    NothingHere,
    ScopeMissing,
    WrongContentType,
    as_problem,
)
from web.api.shapes import Nothing
from web.core import bodies
from web.core.models import Business
from web.core.tenancy import TenantRequest
from web.payments import history
from web.payments.errors import Refusal
from web.payments.models import ApiToken
from web.payments.operations import api_requests, api_tokens
from web.payments.operations.api_tokens import Caller

LARGEST_BODY = 32_768  # bytes; a cart of a hundred lines has about 4,000
KEY = re.compile(r"[\x21-\x7e]{1,255}")
_REFUSALS = bodies.Refusals(
    BodyTooLarge, WrongContentType, MalformedJson, lambda fields: InvalidRequest(fields=fields)
)

Scope = ApiToken.Scope


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read and allowed: who asks, for what, under which form token."""

    request: HttpRequest
    business: Business
    caller: Caller
    path: Mapping[str, Any]
    query: Mapping[str, str]
    body: Any
    form_token: str
    now: datetime.datetime

    @property
    def actor(self) -> str:
        return history.program(self.caller.token.id)


Show = Callable[[Call, str], BaseModel]
Act = Callable[[Call], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One method of one address.

    `act` does what is asked and returns the public id of what came of it; `show` draws that, or what the address
    names. So a repeat draws what there is now, and no answer has to be kept.
    """

    scope: Scope
    show: Show
    says: str  # what it does, for who reads the document
    answer: type[BaseModel]
    act: Act | None = None
    body: type[BaseModel] | None = None
    status: int = 200
    query: tuple[str, ...] = ()


def view(**routes: Route) -> Callable[..., HttpResponse]:
    """Serve an address by method: `view(get=…, post=…)`."""
    by_method = {method.upper(): route for method, route in routes.items()}

    @csrf_exempt  # no cookie is read here: a token is sent by a program on purpose
    def serve(request: HttpRequest, **path: Any) -> HttpResponse:
        try:
            route = by_method.get("GET" if request.method == "HEAD" else str(request.method))
            if route is None:
                raise MethodNotAllowed
            response = _serve(cast(TenantRequest, request), route, path)
        except Refusal as refusal:
            response = as_problem(refusal)
            if isinstance(refusal, MethodNotAllowed):
                response["Allow"] = ", ".join(sorted(by_method))
        return _private(response)

    serve.routes = by_method  # type: ignore[attr-defined]  # the document is drawn from them
    return serve


def _private(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["Authorization"])
    return response


@csrf_exempt
def nothing_here(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Answer on every other address below /api/."""
    return _private(as_problem(NothingHere()))


def _serve(request: TenantRequest, route: Route, path: Mapping[str, Any]) -> HttpResponse:
    now = timezone.now()
    kind, _space, secret = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        raise api_tokens.TokenUnknown
    caller = api_tokens.use(business=request.business, secret=secret.strip(), now=now)
    if not caller.may(route.scope):
        raise ScopeMissing(scope=str(route.scope))
    body = None
    if route.body is not None:
        is_nothing = route.body is Nothing
        body = bodies.read(request, route.body, _REFUSALS, largest=LARGEST_BODY, may_be_empty=is_nothing)
    call = Call(
        request=request,
        business=request.business,
        caller=caller,
        path=path,
        query=_query(request, route),
        body=body,
        form_token="",
        now=now,
    )
    if request.method == "POST":
        subject, is_repeat = _once(call, route, body)
    else:
        subject, is_repeat = (route.act(call) if route.act is not None else ""), False
    answer = route.show(call, subject)
    response = HttpResponse(answer.model_dump_json(), content_type="application/json", status=route.status)
    response["RateLimit-Remaining"] = str(caller.left)
    if is_repeat:
        response["Idempotent-Replayed"] = "true"
    return response


def _once(call: Call, route: Route, body: BaseModel | None) -> tuple[str, bool]:
    """Do a POST at most once for its key; the form token that stands for the key guards it for longer than the row."""
    key = call.request.headers.get("Idempotency-Key", "")
    if not KEY.fullmatch(key):
        raise KeyMissing
    sent = (
        "" if body is None else json.dumps(body.model_dump(mode="json", exclude_unset=True), sort_keys=True)
    )
    fingerprint = hashlib.sha256(f"{call.request.method} {call.request.path}\n{sent}".encode()).hexdigest()
    assert route.act is not None
    keyed = Call(
        request=call.request,
        business=call.business,
        caller=call.caller,
        path=call.path,
        query=call.query,
        body=call.body,
        form_token=api_requests.form_token(call.caller.token, key),
        now=call.now,
    )
    return api_requests.once(
        token=call.caller.token, key=key, fingerprint=fingerprint, act=partial(route.act, keyed), now=call.now
    )


def _query(request: HttpRequest, route: Route) -> dict[str, str]:
    """Return the parameters of the address; one that is not known is refused, so that a typing error is no silence."""
    wrong = [name for name in request.GET if name not in route.query]
    if wrong:
        raise InvalidRequest(
            fields=[
                {"field": name[:100], "problem": _("is not known here")}
                for name in wrong[: bodies.MOST_PROBLEMS]
            ]
        )
    given = {name: request.GET[name] for name in request.GET}
    for name, value in given.items():
        if not value.isprintable() or len(value) > 200:
            raise InvalidRequest(fields=[{"field": name, "problem": _("is not text")}])
    return given
