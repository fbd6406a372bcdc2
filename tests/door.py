"""Brings an event as granian does: by WSGI, through the door that stands before Django."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock
from wsgiref.util import setup_testing_defaults

from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections

from web.webhooks.door import Door


@dataclass(frozen=True)
class Told:
    """What the door said."""

    status_code: int
    headers: dict[str, str]
    content: bytes


@functools.cache
def _application() -> Door:
    return Door(get_wsgi_application())


def knock(path: str, raw: bytes = b"", *, signature: str = "", method: str = "POST", **environ: Any) -> Told:
    """Send bytes to an address, signed as given; further names are those of WSGI's environment."""
    asked: dict[str, Any] = {}
    setup_testing_defaults(asked)
    asked |= {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "HTTP_HOST": "localhost",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(raw)),
        "HTTP_STRIPE_SIGNATURE": signature,
        "wsgi.input": io.BytesIO(raw),
        **environ,
    }
    said: list[tuple[str, list[tuple[str, str]]]] = []
    with _connections_are_kept():
        answer = _application()(asked, lambda status, headers, _error=None: said.append((status, headers)))
    body = b"".join(answer)
    ((status, headers),) = said
    return Told(int(status[:3]), dict(headers), body)


@contextlib.contextmanager
def _connections_are_kept() -> Iterator[None]:
    """As Django's own test client: a connection in the middle of a test's transaction is not closed with a request."""
    signals.request_started.disconnect(close_old_connections)
    try:
        with mock.patch("web.webhooks.door.close_old_connections"):
            yield
    finally:
        signals.request_started.connect(close_old_connections)
