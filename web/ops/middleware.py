"""`/healthz` and `/readyz`: asked by machines, on any host name, before anything else may fail.

`/healthz` says that the process answers. It touches nothing: no restart follows from a database's bad day.
`/readyz` says whether the process can do its work, and names what is missing.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase

from web.ops import health


class HealthMiddleware:
    """Answer the two health addresses first, without host check, session or business."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in {"GET", "HEAD"}:
            if request.path == "/healthz":
                return _uncached(HttpResponse("ok\n", content_type="text/plain"))
            if request.path == "/readyz":
                found = health.readiness()
                return _uncached(JsonResponse(found.as_json(), status=200 if found.can_serve else 503))
        return self.get_response(request)


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response
