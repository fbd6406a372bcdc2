"""`/healthz`, `/readyz` and `/metrics`: asked by machines, on any host name, before anything else may fail.

`/healthz` says that the process answers. It touches nothing: no restart follows from a database's bad day.
`/readyz` says whether the process can do its work, and names what is missing.
`/metrics` says what was counted and how things are. It is for who has the token; for others it is not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.crypto import constant_time_compare

from web.core import metrics, tracing
from web.ops import figures, health


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
            if request.path == "/metrics" and _may_see_metrics(request):
                shown = metrics.exposition(figures.Figures())
                return _uncached(HttpResponse(shown, content_type=metrics.CONTENT_TYPE_LATEST))
        return self.get_response(request)


def _may_see_metrics(request: HttpRequest) -> bool:
    """Say whether who asks has the token. Without one only a developer's own machine shows them."""
    if not settings.METRICS_TOKEN:
        return bool(settings.PAYDESK_LOCAL)
    given = request.headers.get("Authorization", "")
    return constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}")


class MetricsMiddleware:
    """Count and time every request, by the name of its view; begin its trace, or go on with the proxy's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        started = time.monotonic()
        with tracing.span(
            f"web {request.method}", parent=request.headers.get("Traceparent", ""), kind="server"
        ) as span:
            response = self.get_response(request)
            match = request.resolver_match
            view = match.view_name if match else "none"  # as many as there are addresses: bounded by urls.py
            if span is not None:
                span.update_name(f"web {request.method} {view}")
                span.set_attribute("http.response.status_code", response.status_code)
        metrics.REQUESTS.labels(view, str(response.status_code)).inc()
        metrics.REQUEST_SECONDS.labels(view).observe(time.monotonic() - started)
        return response


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response
