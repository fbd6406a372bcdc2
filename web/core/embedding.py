"""Shop and checkout inside a page of the business's own web site, where the business says which sites may do that.

Every other page refuses to be framed, and so do these for staff: a frame could have them press what they do not see.
A browser sends no `SameSite=Lax` cookie into a frame of another site. What a guest's browser has to remember there
(whose payment it is, which cart, the forms' token) is kept for that site alone: `SameSite=None; Partitioned` (CHIPS).
The cookie of a session is written outside of all this and never is, so nobody is signed in within such a frame.
"""

from __future__ import annotations

import re
from http.cookies import Morsel
from typing import Any, ClassVar, TypeVar, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from web.core.tenancy import GetResponse, View

FRAMED = "framed"  # a cookie of the frame's own: the pages that follow are in it, too
FRAMES = ("iframe", "frame")
MOST_ORIGINS = 10
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

Response = TypeVar("Response", bound=HttpResponseBase)


def origin_of(address: str) -> str:
    """Return the origin of a web site's address, as a security policy takes it: `https://studio.example`.

    Raises ValidationError. Without a scheme it is https; http only on this machine, for whoever tries it out.
    """
    text = address.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:  # a UnicodeError is one, too
        host, port, parts = "", None, urlsplit("")
    is_here = settings.PAYDESK_LOCAL and (host == "127.0.0.1" or host.rpartition(".")[2] == "localhost")
    if (
        not HOST.fullmatch(host)
        or parts.username is not None
        or not (parts.scheme == "https" or (parts.scheme == "http" and is_here))
    ):
        raise ValidationError(
            _("%(address)s is no address of a web site: write it as https://www.example.com."),
            params={"address": text[:100]},
        )
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")


def embeddable(view: View) -> View:
    """Let a page be shown within the web sites that the business allows, to guests and customers."""
    view.is_embeddable = True  # type: ignore[attr-defined]
    return view


class EmbeddingMiddleware:
    """Open what may be framed, and keep a frame's cookies apart: outside of all that writes them, but the session."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        asking = cast(Any, request)
        allowed: list[str] = asking.business.embed_origins if asking.business is not None else []
        if not allowed:
            asking.is_framed = False
            return self.get_response(request)
        place = request.headers.get("Sec-Fetch-Dest", "")
        begins = place in FRAMES
        # A browser that does not keep cookies apart would bring the frame's to a page of its own, too.
        is_elsewhere = (begins and request.headers.get("Sec-Fetch-Site") == "cross-site") or (
            FRAMED in request.COOKIES and place != "document"
        )
        asking.is_framed = begins or is_elsewhere
        response = self.get_response(request)
        is_staff = asking.profile is not None and (asking.profile.is_staff or asking.user.is_superuser)
        if getattr(asking, "_is_embeddable", False) and not is_staff:
            _open(response, allowed)
        if is_elsewhere:
            _keep_apart(cast(HttpResponse, response))
        return response

    def process_view(self, request: HttpRequest, view: Any, args: object, kwargs: object) -> None:
        cast(Any, request)._is_embeddable = getattr(view, "is_embeddable", False)


def _open(response: HttpResponseBase, origins: list[str]) -> None:
    del response.headers["X-Frame-Options"]  # it knows no list; every browser of today reads the policy
    replaced = dict(getattr(response, "_csp_replace", None) or {})
    cast(Any, response)._csp_replace = replaced | {"frame-ancestors": ["'self'", *origins]}


class PartitionedMorsel(Morsel[str]):
    """A cookie with the attribute `Partitioned`, which Python's own knows from 3.14 on."""

    _reserved: ClassVar[dict[str, str]] = {**Morsel._reserved, "partitioned": "Partitioned"}  # type: ignore[attr-defined]
    _flags: ClassVar[set[str]] = {*Morsel._flags, "partitioned"}  # type: ignore[attr-defined]


def _keep_apart(response: HttpResponse) -> None:
    response.set_cookie(FRAMED, "1", httponly=True)
    for name, cookie in list(response.cookies.items()):
        apart = PartitionedMorsel()
        apart.set(cookie.key, cookie.value, cookie.coded_value)
        apart.update({key: value for key, value in cookie.items() if value})
        apart.update(cast(dict[str, str], {"samesite": "None", "secure": True, "partitioned": True}))
        response.cookies[name] = apart
