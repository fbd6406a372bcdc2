"""What the security policy of the payment pages allows beyond our own: Stripe's script, its frames, its API.

For Stripe itself exactly what Stripe asks for; for a stand-in (STRIPE_JS_URL) its origin and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast
from urllib.parse import urlsplit

from csp.decorators import csp_update
from django.conf import settings
from django.http.response import HttpResponseBase

View = TypeVar("View", bound=Callable[..., HttpResponseBase])

STRIPE = {
    "script-src": ["https://js.stripe.com", "https://*.js.stripe.com"],
    "frame-src": ["https://js.stripe.com", "https://*.js.stripe.com", "https://hooks.stripe.com"],
    "connect-src": ["'self'", "https://api.stripe.com"],
}


def policy(script_url: str) -> dict[str, list[str]]:
    """Return the directives that a page with this script needs beside those of every page."""
    parts = urlsplit(script_url)
    if parts.hostname == "js.stripe.com":
        return {name: list(sources) for name, sources in STRIPE.items()}
    origin = f"{parts.scheme}://{parts.netloc}"
    return {"script-src": [origin], "frame-src": [origin], "connect-src": ["'self'", origin]}


_update = csp_update(policy(settings.STRIPE_JS_URL))


def with_stripe(view: View) -> View:
    """Let a page load Stripe's script and its frames."""
    return cast(View, _update(view))
