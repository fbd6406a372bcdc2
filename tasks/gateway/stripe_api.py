"""How this product speaks to Stripe: the SDK's client, and what every outcome means.

Every write carries the key of its attempt, and its outcome is one of: done, refused, not sent, or unknown.
Nothing of a response but what a snapshot holds leaves this package, and exceptions of the SDK never do: they
carry the raw body, with the client secret in it.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar, cast

import requests
import stripe
import structlog
from django.conf import settings

from tasks import limits
from tasks.snapshots import UnknownShape
from web.core import faultpoints, metrics, tracing
from web.core.crypto import unseal
from web.payments.jobs import TryAgain
from web.payments.models import StripeAccount
from web.payments.snapshots import Answer, Verdict

stripe.enable_telemetry = False  # it would write a file into the home folder

S = TypeVar("S")

log = structlog.get_logger(__name__)


class StripeUnreachable(TryAgain):
    """Stripe did not answer a read, or asked us to slow down. Nothing changed; try again later."""


class StripeRefused(Exception):
    """Stripe refused a read for good. `code` is Stripe's (never its text: it may quote what we sent)."""

    def __init__(self, code: str, http_status: int | None) -> None:
        self.code, self.http_status = code, http_status
        super().__init__(f"{code} ({http_status})")


class _Limited(stripe.RequestsClient):
    """The SDK's own HTTP client, behind the account's budget and breaker: every read, write and page of a list."""

    def __init__(self, budget: limits.Budget, **options: Any) -> None:
        super().__init__(**options)
        self._budget = budget

    def request(  # type: ignore[override]  # the SDK says str in one class and bytes in the other
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **options: Any
    ) -> tuple[bytes, int, Mapping[str, str]]:
        endpoint = limits.endpoint_of(method, url)
        call = limits.begin(self._budget, endpoint)
        with tracing.span(f"stripe {endpoint}", kind="client") as span, _counted(endpoint) as outcome:
            try:
                body, status, answered = super().request(method, url, headers, post_data, **options)
            except stripe.APIConnectionError:
                call.failed()
                raise
            outcome.append(_outcome(status))
            if span is not None:
                span.set_attribute("http.response.status_code", status)
                span.set_attribute("stripe.request_id", _header(answered, "Request-Id"))
        call.answered(
            status=status,
            limited_by=_header(answered, "Stripe-Rate-Limited-Reason"),
            is_lock=status == 429 and b'"lock_timeout"' in body,
            is_replay=_header(answered, "Idempotent-Replayed") == "true",
        )
        return body, status, answered


@contextlib.contextmanager
def _counted(endpoint: str) -> Iterator[list[str]]:
    """Count a call and time it; whoever makes it notes how it ended, or it had no answer."""
    label = metrics.bounded("endpoint", endpoint)
    outcome: list[str] = []
    started = time.monotonic()
    try:
        yield outcome
    finally:
        metrics.STRIPE_CALL_SECONDS.labels(label).observe(time.monotonic() - started)
        metrics.STRIPE_CALLS.labels(label, outcome[0] if outcome else "no_answer").inc()


def _outcome(status: int) -> str:
    if status == 429:
        return "limited"
    return "error" if status >= 500 else "refused" if status >= 400 else "ok"


@functools.lru_cache(maxsize=256)
def _client(_pid: int, secret_key_sealed: str, budget: limits.Budget) -> stripe.StripeClient:
    """Return the client of a process and key. Never shared over a fork: two processes on one socket lose answers."""
    base = settings.STRIPE_API_BASE
    addresses: Any = dict.fromkeys(("api", "files", "connect", "meter_events"), base) if base else None
    return stripe.StripeClient(
        unseal(secret_key_sealed),
        base_addresses=addresses,
        max_network_retries=0,  # a retry is ours to make: with the attempt's key, after looking
        http_client=_Limited(
            budget, timeout=(settings.STRIPE_CONNECT_TIMEOUT_SECONDS, settings.STRIPE_READ_TIMEOUT_SECONDS)
        ),
    )


def client_of(account: StripeAccount) -> stripe.StripeClient:
    """Return the SDK's client with this account's key."""
    return _client(os.getpid(), account.secret_key_sealed, limits.budget_of(account))


# --- writes ------------------------------------------------------------------------------------------


def write(
    call: Callable[[], Any],
    *,
    shown: Callable[[dict[str, Any], datetime.datetime], S],
    read_again: Callable[[S], S],
) -> Answer[S]:
    """Make one write and say what came of it.

    `shown` turns the object of an answer, with Stripe's time of it, into a snapshot; `read_again` reads the
    object of a snapshot as it is now: a replayed answer proves only that it exists.
    """
    answer: Answer[S]
    faultpoints.reach(faultpoints.ATTEMPT_BEGUN)
    try:
        thing = call()
    except limits.TurnedAway as reason:
        answer = Answer(Verdict.NOT_SENT, error_code=str(reason))
    except stripe.StripeError as error:
        answer = judged(error)
    else:
        answer = _done(thing, shown, read_again)
    faultpoints.reach(faultpoints.STRIPE_ANSWERED)
    log.info(
        "stripe.answered",
        verdict=answer.verdict.value,
        stripe_request=answer.request_id,
        http_status=answer.http_status,
        code=answer.error_code,
        replayed=answer.is_replay,
    )
    return answer


def _done(
    thing: Any, shown: Callable[[dict[str, Any], datetime.datetime], S], read_again: Callable[[S], S]
) -> Answer[S]:
    response = thing.last_response
    data = cast("dict[str, Any]", getattr(response, "data", None))
    request_id = getattr(response, "request_id", "") or ""
    is_replay = _header(response.headers if response else None, "Idempotent-Replayed") == "true"
    try:
        occurred_at = _time_of(data, thing)
        snapshot = shown(data, occurred_at)
        if is_replay:  # how it is now has to be read
            snapshot = read_again(snapshot)
    except (UnknownShape, KeyError, TypeError, ValueError):
        return Answer(Verdict.UNKNOWN, None, request_id, 200, "unreadable_answer", is_replay=is_replay)
    except (StripeUnreachable, StripeRefused, limits.TurnedAway):
        return Answer(Verdict.UNKNOWN, None, request_id, 200, "replay_not_read", is_replay=is_replay)
    return Answer(Verdict.DONE, snapshot, request_id, 200, is_replay=is_replay)


def _time_of(data: dict[str, Any], thing: Any) -> datetime.datetime:
    """Return Stripe's time of an object; of one that has none (a reader) the time of the answer."""
    if "created" in data:
        return datetime.datetime.fromtimestamp(data["created"], tz=datetime.UTC)
    return answered_at(thing) or datetime.datetime.fromtimestamp(0, tz=datetime.UTC)


def judged(error: stripe.StripeError) -> Answer[Any]:
    """Say what an exception of the SDK means for a write. One place decides.

    Source of the rules: Stripe's page on idempotent requests. A failed validation, 409, 401, 403 and 429
    were not executed; 402 and other 400s are definite; 5xx, timeouts and unreadable bodies are not.
    """
    status = error.http_status
    stripes_own = error.error is not None  # Stripe's error shape; else a proxy or a broken body speaks
    code = _code(error)
    is_replay = _header(error.headers, "Idempotent-Replayed") == "true"
    if isinstance(error, stripe.APIConnectionError):
        verdict = Verdict.NOT_SENT if _never_connected(error) else Verdict.UNKNOWN
        code = "not_connected" if verdict is Verdict.NOT_SENT else "no_answer"
    elif isinstance(error, stripe.RateLimitError) or (status == 409 and stripes_own):
        verdict = Verdict.NOT_SENT
    elif isinstance(error, stripe.IdempotencyError):
        verdict = Verdict.UNKNOWN  # the key was used with other parameters: something of ours is wrong; look
    elif stripes_own and status in (400, 401, 402, 403, 404):
        verdict = Verdict.REFUSED
    else:
        verdict = Verdict.UNKNOWN
    return Answer(
        verdict,
        None,
        request_id=error.request_id or "",
        http_status=status,
        error_code=code,
        decline_code=getattr(error.error, "decline_code", None) or "",
        is_replay=is_replay,
    )


def _code(error: stripe.StripeError) -> str:
    own = getattr(error.error, "code", None) or getattr(error.error, "type", None)
    return str(own or type(error).__name__)[:60]


def _header(headers: Any, name: str) -> str:
    if not headers or not hasattr(headers, "items"):
        return ""
    return next((str(value) for key, value in headers.items() if str(key).lower() == name.lower()), "")


def _never_connected(error: BaseException) -> bool:
    """Return whether no byte can have reached Stripe: the connection itself could not be made."""
    cause = error.__cause__
    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return True
    if not isinstance(cause, requests.exceptions.ConnectionError):
        return False
    reason = getattr(cause.args[0] if cause.args else None, "reason", None)
    return type(reason).__name__ in ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError")


# --- reads -------------------------------------------------------------------------------------------


def answered_at(thing: Any) -> datetime.datetime | None:
    """Return Stripe's time of an answer, a second early: what it shows is at least as new as that."""
    response = getattr(thing, "last_response", None)
    try:
        answered = parsedate_to_datetime(_header(getattr(response, "headers", None), "Date"))
    except (TypeError, ValueError):
        return None
    return answered - datetime.timedelta(seconds=1)


def data_of(thing: Any) -> dict[str, Any]:
    """Return the object of an answer as a dict; raise StripeUnreachable where it is none."""
    data = getattr(thing.last_response, "data", None)
    if not isinstance(data, dict):
        raise StripeUnreachable("an answer that is not an object")
    return data


def raise_for_read(error: stripe.StripeError) -> NoReturn:
    """Raise what a failed read means: StripeRefused where it is for good, else StripeUnreachable."""
    status = error.http_status
    if error.error is not None and status in (400, 401, 403, 404):
        raise StripeRefused(_code(error), status) from None
    raise StripeUnreachable(_code(error)) from None


def read(ask: Callable[[], Any]) -> dict[str, Any]:
    """Return the object that a read is answered with; raise StripeUnreachable, StripeRefused or TurnedAway."""
    try:
        return data_of(ask())
    except stripe.StripeError as error:
        raise_for_read(error)


def objects_of(page: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what stands on a page of a list; raise StripeUnreachable where it is none."""
    objects = page.get("data")
    if not isinstance(objects, list):
        raise StripeUnreachable("an answer that is not a list")
    return objects
