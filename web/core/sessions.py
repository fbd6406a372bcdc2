"""How long staff stay signed in: an age that ends every session, and an idle limit that ends a forgotten one.

Customers keep Django's own limits: what they can do is pay.
"""

from __future__ import annotations

import time

from django.conf import settings
from django.http import HttpRequest

BEGAN, SEEN = "staff_began_at", "staff_seen_at"  # seconds since the epoch
NOTED_SECONDS = 60  # the session is written at most once in so long


def is_over(request: HttpRequest, *, now: float) -> bool:
    """Say whether a member of staff has to sign in again, and note that they are here."""
    session = request.session
    began, seen = session.get(BEGAN), session.get(SEEN)
    if began is None or seen is None:  # signed in before there were limits
        session[BEGAN] = session[SEEN] = int(now)
        return False
    age, idle = settings.STAFF_SESSION_HOURS * 3600, settings.STAFF_IDLE_MINUTES * 60
    if (age and now - began >= age) or (idle and now - seen >= idle):
        return True
    if _is_somebody_there(request) and now - seen >= NOTED_SECONDS:
        session[SEEN] = int(now)
    return False


def begin_anew(request: HttpRequest, **_: object) -> None:
    """Count from now on: somebody has signed in. A signal receiver (see apps.py)."""
    request.session[BEGAN] = request.session[SEEN] = int(time.time())


def _is_somebody_there(request: HttpRequest) -> bool:
    """Tell a person from a page that asks by itself how things stand."""
    if request.method not in {"GET", "HEAD"}:
        return True
    return "HX-Request" not in request.headers and "application/json" not in request.headers.get("Accept", "")
