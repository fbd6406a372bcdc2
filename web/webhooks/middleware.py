"""Stripe's address is answered before what only people need: sessions, languages, tenants by host, browsers' policies.

The events of a busy hour are most of what the web processes do, and two fifths of their time went to middleware that
had nothing to say to them. The address is still an ordinary one, in urls.py: what is counted and logged is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve

PREFIX = f"/{settings.PAYMENT_URL_PREFIX}webhooks/"


class WebhookMiddleware:
    """Call the view of a webhook's address at once; let every other request pass."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match = _match(request.path_info) if request.path_info.startswith(PREFIX) else None
        if match is None:
            return self.get_response(request)
        request.resolver_match = match
        response: HttpResponse = match.func(request, *match.args, **match.kwargs)
        # What CommonMiddleware does for people: without a length the server sends in chunks.
        response.headers["Content-Length"] = str(len(response.content))
        return response


@lru_cache(maxsize=4096)  # one address a business
def _match(path: str) -> ResolverMatch | None:
    """Return the match of Stripe's address. No other passes here, whatever else may once begin like it."""
    try:
        match = resolve(path)
    except Resolver404:
        return None
    return match if match.url_name == "stripe-webhook" else None
