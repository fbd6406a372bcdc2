"""Addresses that programs ask: one handler a method, never from a cache, refusals as JSON."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from web.checkout.refusals import MethodNotAllowed, json_only

View = Callable[..., HttpResponse]


def by_method(**methods: View) -> View:
    """Answer by method: `by_method(get=…, post=…)`. Who may ask is the caller's to add."""
    handlers = {method.upper(): handler for method, handler in methods.items()}

    @wraps(next(iter(handlers.values())))
    def view(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        handler = handlers.get(request.method or "")
        if handler is None:
            response = json_only(_refuse_method)(request)
            response["Allow"] = ", ".join(sorted(handlers))
        else:
            response = json_only(handler)(request, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        patch_vary_headers(response, ["Accept", "Cookie"])
        return response

    return view


def _refuse_method(request: HttpRequest) -> HttpResponse:
    raise MethodNotAllowed
