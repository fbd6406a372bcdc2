"""Logs: one line a fact, the same fields everywhere, and never a secret.

structlog and the standard library end in the same handler, so what libraries say is redacted and shaped like
what we say. Web and workers both call `configure` (as LOGGING_CONFIG). A request's records carry its id.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from typing import Any

import orjson
import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

REDACTED = "[redacted]"
DEEPEST = 6  # levels of a nested value that are looked at; what is deeper is dropped, not trusted

# A field whose name holds one of these says nothing, whatever its value looks like.
SECRET_NAMES = re.compile(
    r"secret|passw|authorization|cookie|card_?number|cvc|cvv|csrf|api_?key|private_?key|signature|session_?key"
    r"|access_?token|encryption_?key|^(?:card|token|pan|key)$",
    re.IGNORECASE,
)
# Values that are secrets wherever they stand: Stripe's keys, webhook and client secrets, sign-in headers,
# passwords in the addresses of servers.
SECRET_VALUES = re.compile(
    r"\b(?:sk|rk|whsec|ek|pst)_[A-Za-z0-9_]{4,}"
    r"|\b(?:pi|seti|cs|src)_[A-Za-z0-9_]+_secret_[A-Za-z0-9_]+"
    r"|\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)",
    re.IGNORECASE,
)
# Without one of these no text has such a value: most have none, and the expression above is slow to say so.
SECRET_SIGNS = ("sk_", "rk_", "ek_", "whsec_", "pst_", "_secret_", "bearer", "basic", "://")
# Where a card may be: digits, perhaps in groups. A UUID is passed over whole: one of some ten thousand has as many
# digits as a card at its beginning, or at its end, with the right sum.
_DIGITS = re.compile(
    r"(?<![\w-])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![\w-])"
    r"|(?<!\w)(?<!\d\.)(?P<run>\d+(?:[ -]\d+)*)(?!\w|\.\d)"
)
_GROUP = re.compile(r"\d+")
CARD_DIGITS = range(13, 20)
SMALLEST_CARD = 10 ** (CARD_DIGITS.start - 1)
_ENOUGH_DIGITS = re.compile(r"(?:\d[ -]?){13}")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

Event = MutableMapping[str, Any]


def passes_luhn(digits: str) -> bool:
    """Say whether digits end in the check digit that card numbers have."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


@lru_cache(maxsize=4096)  # the names of fields are few, and each line has a dozen
def is_secret_name(name: str) -> bool:
    """Say whether a field of this name is not to be shown, whatever it holds."""
    return SECRET_NAMES.search(name) is not None


def redact_text(text: str) -> str:
    """Replace the secrets within a text."""
    lower = text.casefold()
    if any(sign in lower for sign in SECRET_SIGNS):
        text = SECRET_VALUES.sub(REDACTED, text)
    for start, end in reversed(list(cards(text))):
        text = f"{text[:start]}{REDACTED}{text[end:]}"
    return text


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Yield where in a text something stands that may be a card's number: 13 to 19 digits with Luhn's sum.

    Whole groups of digits, whatever other groups stand before or behind them: a date, another number.
    """
    if _ENOUGH_DIGITS.search(text) is None:
        return
    for found in _DIGITS.finditer(text):
        run = found["run"]
        if run is None or len(run) < CARD_DIGITS.start:
            continue
        groups = [group.span() for group in _GROUP.finditer(text, *found.span("run"))]
        first = 0
        while first < len(groups):
            last = _end_of_card(text, groups, first)
            if last is not None:
                yield groups[first][0], groups[last][1]
                first = last
            first += 1


def _end_of_card(text: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """Return with which group a card's number ends that begins with the first one, the longest there is."""
    digits, found = "", None
    for place in range(first, len(groups)):
        digits += text[slice(*groups[place])]
        if len(digits) >= CARD_DIGITS.stop:
            break
        if len(digits) in CARD_DIGITS and passes_luhn(digits):
            found = place
    return found


def redact(value: Any, depth: int = 0) -> Any:
    """Replace the secrets within a value of any shape, whatever it is nested in."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if abs(value) < SMALLEST_CARD:
            return value
        text = str(value)
        return value if redact_text(text) == text else REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if depth >= DEEPEST:
        return "[too deep]"
    if isinstance(value, Mapping):
        return {
            redact_text(str(name)): REDACTED if is_secret_name(str(name)) else redact(inner, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner, depth + 1) for inner in value]
    if isinstance(value, bytes):
        return redact_text(value.decode("utf-8", "replace"))
    return redact_text(str(value))


def redact_event(_logger: object, _method: str, event: Event) -> Event:
    """Redact a whole record: the last thing that happens before it is written."""
    event.pop("request", None)  # Django's extra: its address may hold a cart's id, which is a capability
    for name in list(event):
        if name.startswith("_"):  # the formatter's own
            continue
        event[name] = REDACTED if is_secret_name(name) else redact(event[name])
    return event


def _json(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _shared() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.UnicodeDecoder(),
    ]


def configure(config: Mapping[str, Any]) -> None:
    """Set up all logging of this process. `config`: `json` (bool) and `level` (a level's name)."""
    as_json = bool(config.get("json", True))
    level = str(config.get("level", "INFO")).upper()
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_json)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared(), structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.StackInfoRenderer(),
            # As text before redaction: an exception's message may quote what it was given.
            structlog.processors.format_exc_info,
            redact_event,
            renderer,
        ],
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"paydesk": {"()": lambda: formatter}},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "paydesk"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                # Their own handlers would write past the redaction.
                "django": {"handlers": [], "propagate": True},
                "django.server": {"handlers": [], "propagate": True},
                # A 404 is no warning of ours, and a refused host is the internet's noise.
                "django.request": {"level": "ERROR"},
                "django.security.DisallowedHost": {"level": "CRITICAL"},
                # Bells and ticks come every second; what they led to is said by the jobs.
                "celery.beat": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
                "stripe": {"level": "WARNING"},
                "urllib3": {"level": "WARNING"},
            },
        }
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a worker configures again after a fork
    )


def request_id_of(given: str | None) -> str:
    """Take over a request id from the proxy when it looks like one, else make one."""
    if given and REQUEST_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex


class RequestMiddleware:
    """Give every request an id that its records carry and its response names."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_id_of(request.headers.get("X-Request-Id"))
        request.request_id = request_id  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.clear_contextvars()
        response["X-Request-Id"] = request_id
        return response
