"""Outgoing webhooks: one try of one event at one address.

The address's name is looked up here, every time, and only a public address is connected to, that very one: a name that
leads into our own network, or does so a moment later, leads nowhere. Nothing that answers is followed or kept but its
code.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.utils import timezone

from web.core import metrics
from web.payments.jobs import Lease
from web.payments.operations import outgoing
from web.payments.operations.outgoing import Sending

CONNECT_SECONDS = 5.0
WHOLE_SECONDS = 15.0  # of a try, however slowly it drips; a quarter of the lease

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a try: a code, or a problem without one."""

    code: int | None
    problem: str = ""

    @property
    def outcome(self) -> str:
        """In a word, for whoever counts."""
        return "no_answer" if self.code is None else "refused" if self.problem else "delivered"


class _Forbidden(Exception):
    """The name leads to an address that nothing may be sent to."""


def deliver_event(*, delivery_id: int, lease: Lease) -> None:
    """Send an event to an address, and write what it said."""
    sending = outgoing.begin(delivery_id=delivery_id, now=timezone.now())
    if sending is None:
        return
    started = time.monotonic()
    answer = send(sending)
    took_ms = round((time.monotonic() - started) * 1000)
    outgoing.conclude(
        delivery_id=delivery_id,
        lease=lease,
        answer_code=answer.code,
        problem=answer.problem,
        took_ms=took_ms,
        now=timezone.now(),
    )
    if sending.is_first:  # what fails is tried again and again, and would count for many
        metrics.OUTGOING.labels(answer.outcome).inc()
    log.info("outgoing.tried", event_id=sending.event, code=answer.code, problem=answer.problem, ms=took_ms)


def send(sending: Sending) -> Answer:
    """Post an event; never raises for what the other side does."""
    parts = urlsplit(sending.url)
    is_safe = parts.scheme == "https"
    if not is_safe and not settings.PAYDESK_LOCAL:
        return Answer(None, "address_forbidden")
    host, port = parts.hostname or "", parts.port or (443 if is_safe else 80)
    timer: threading.Timer | None = None
    is_over = threading.Event()  # set before the connection is cut: whoever waits on it knows why
    connection = http.client.HTTPConnection(host, port)
    try:
        connection.sock = _connect(host, port)
        timer = threading.Timer(WHOLE_SECONDS, _shut, [connection, is_over])
        timer.daemon = True
        timer.start()
        if is_safe:
            _encrypt(connection, host)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body=sending.body, headers=_headers(sending, parts.netloc))
        code = connection.getresponse().status
    except _Forbidden:
        return Answer(None, "address_forbidden")
    except socket.gaierror:
        return Answer(None, "name_unknown")
    except ssl.SSLError:
        return Answer(None, "certificate_refused")
    except TimeoutError:
        return Answer(None, "timed_out")
    except (OSError, http.client.HTTPException, ValueError):
        return Answer(None, "timed_out" if is_over.is_set() else "not_reached")
    finally:
        if timer is not None:
            timer.cancel()
        connection.close()
    return Answer(code, "" if 200 <= code < 300 else "refused")


def _headers(sending: Sending, netloc: str) -> dict[str, str]:
    return {
        "Host": netloc,
        "Content-Type": "application/json",
        "User-Agent": "Paydesk-Webhooks/1",
        "Paydesk-Event": sending.event,
        "Paydesk-Signature": sending.signature,
        "Connection": "close",
    }


def _connect(host: str, port: int) -> socket.socket:
    """Connect to the first address of a name that answers; to none if any of them is forbidden."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if not settings.PAYDESK_LOCAL and any(outgoing.is_forbidden(str(place[4][0])) for place in found):
        raise _Forbidden
    failure: OSError = TimeoutError()
    for family, kind, protocol, _name, place in found[:3]:
        raw = socket.socket(family, kind, protocol)
        raw.settimeout(CONNECT_SECONDS)
        try:
            raw.connect(place)
        except OSError as error:
            raw.close()
            failure = error
        else:
            return raw
    raise failure


def _encrypt(connection: http.client.HTTPConnection, host: str) -> None:
    """Speak TLS to the address that was connected to, with the name that the business gave."""
    plain: socket.socket = connection.sock
    context = ssl.create_default_context()
    connection.sock = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    connection.sock.do_handshake()


def _shut(connection: http.client.HTTPConnection, is_over: threading.Event) -> None:
    """End a try that takes too long, whatever it waits for."""
    is_over.set()
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
