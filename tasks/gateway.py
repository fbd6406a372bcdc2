"""The only caller of Stripe.

It gives every write the key of its attempt, and says of every outcome what it means: done, refused, not
sent, or unknown. Nothing of a response but what a snapshot holds leaves this module, and exceptions of the
SDK never do: they carry the raw body, with the client secret in it.
"""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, cast

import requests
import stripe
import structlog
from django.conf import settings

from tasks.snapshots import UnknownShape, of_intent
from web.payments.crypto import unseal
from web.payments.jobs import TryAgain
from web.payments.models import StripeAccount
from web.payments.snapshots import Answer, IntentSnapshot, Source, Verdict

stripe.enable_telemetry = False  # it would write a file into the home folder

LOOK_AROUND = datetime.timedelta(minutes=5)  # clocks differ: look from a little before the first send
MOST_LOOKED_AT = 10_000  # intents looked through for one of ours: a hundred calls

log = structlog.get_logger(__name__)


class StripeUnreachable(TryAgain):
    """Stripe did not answer a read, or asked us to slow down. Nothing changed; try again later."""


class StripeRefused(Exception):
    """Stripe refused a read for good. `code` is Stripe's (never its text: it may quote what we sent)."""

    def __init__(self, code: str, http_status: int | None) -> None:
        self.code, self.http_status = code, http_status
        super().__init__(f"{code} ({http_status})")


@functools.lru_cache(maxsize=256)
def _client(_pid: int, secret_key_sealed: str) -> stripe.StripeClient:
    """Return the client of a process and key. Never shared over a fork: two processes on one socket lose answers."""
    base = settings.STRIPE_API_BASE
    addresses: Any = dict.fromkeys(("api", "files", "connect", "meter_events"), base) if base else None
    return stripe.StripeClient(
        unseal(secret_key_sealed),
        base_addresses=addresses,
        max_network_retries=0,  # a retry is ours to make: with the attempt's key, after looking
        http_client=stripe.RequestsClient(
            timeout=(settings.STRIPE_CONNECT_TIMEOUT_SECONDS, settings.STRIPE_READ_TIMEOUT_SECONDS)
        ),
    )


def client_of(account: StripeAccount) -> stripe.StripeClient:
    """Return the SDK's client with this account's key."""
    return _client(os.getpid(), account.secret_key_sealed)


# --- writes ------------------------------------------------------------------------------------------


def create_intent(account: StripeAccount, *, parameters: dict[str, Any], key: str) -> Answer:
    """Create a payment intent; say what came of it."""
    intents = client_of(account).v1.payment_intents
    return _write(
        account,
        lambda: intents.create(cast(Any, parameters), {"idempotency_key": key}),
    )


def cancel_intent(account: StripeAccount, *, intent_id: str, parameters: dict[str, Any], key: str) -> Answer:
    """Cancel a payment intent. Refused because of its state, the answer shows that state."""
    intents = client_of(account).v1.payment_intents
    answer = _write(
        account,
        lambda: intents.cancel(intent_id, cast(Any, parameters), {"idempotency_key": key}),
    )
    if answer.verdict is not Verdict.REFUSED:
        return answer
    try:
        snapshot = read_intent(account, intent_id=intent_id)
    except (StripeUnreachable, StripeRefused):
        return Answer(Verdict.UNKNOWN, None, answer.request_id, answer.http_status, answer.error_code)
    return Answer(Verdict.REFUSED, snapshot, answer.request_id, answer.http_status, answer.error_code)


def _write(account: StripeAccount, call: Callable[[], stripe.PaymentIntent]) -> Answer:
    try:
        intent = call()
    except stripe.StripeError as error:
        answer = _judged(error)
    else:
        response = intent.last_response
        data = cast("dict[str, Any]", getattr(response, "data", None))
        is_replay = _header(response.headers if response else None, "Idempotent-Replayed") == "true"
        answer = _done(account, data, getattr(response, "request_id", "") or "", is_replay=is_replay)
    log.info(
        "stripe.answered",
        verdict=answer.verdict.value,
        stripe_request=answer.request_id,
        http_status=answer.http_status,
        code=answer.error_code,
        replayed=answer.is_replay,
    )
    return answer


def _done(account: StripeAccount, data: dict[str, Any], request_id: str, *, is_replay: bool) -> Answer:
    try:
        occurred_at = datetime.datetime.fromtimestamp(data["created"], tz=datetime.UTC)
        snapshot = of_intent(data, source=Source.ANSWER, occurred_at=occurred_at)
        if is_replay:  # proves that it exists, as it was then; how it is now has to be read
            snapshot = read_intent(account, intent_id=snapshot.intent_id)
    except (UnknownShape, KeyError, TypeError, ValueError):
        return Answer(Verdict.UNKNOWN, None, request_id, 200, "unreadable_answer", is_replay=is_replay)
    except (StripeUnreachable, StripeRefused):
        return Answer(Verdict.UNKNOWN, None, request_id, 200, "replay_not_read", is_replay=is_replay)
    return Answer(Verdict.DONE, snapshot, request_id, 200, is_replay=is_replay)


def _judged(error: stripe.StripeError) -> Answer:
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


def read_intent(account: StripeAccount, *, intent_id: str) -> IntentSnapshot:
    """Read an intent as it is now; raise StripeUnreachable or StripeRefused."""
    try:
        intent = client_of(account).v1.payment_intents.retrieve(intent_id, {"expand": ["latest_charge"]})
    except stripe.StripeError as error:
        _raise_for_read(error)
    snapshot = of_intent(_data(intent), source=Source.READ, occurred_at=_answered_at(intent))
    if snapshot.intent_id != intent_id:
        raise StripeUnreachable("an answer for another intent")
    return snapshot


def _answered_at(thing: Any) -> datetime.datetime | None:
    """Return Stripe's time of an answer, a second early: what it shows is at least as new as that."""
    response = getattr(thing, "last_response", None)
    try:
        answered = parsedate_to_datetime(_header(getattr(response, "headers", None), "Date"))
    except (TypeError, ValueError):
        return None
    return answered - datetime.timedelta(seconds=1)


def look_for_intent(
    account: StripeAccount, *, payment_public_id: str, since: datetime.datetime, until: datetime.datetime
) -> IntentSnapshot | None:
    """Look for the intent of a payment by our id in its metadata. By list: Stripe's search lags behind.

    `since` and `until` are when we first and last asked for it to be made.
    """
    window = {"gte": int((since - LOOK_AROUND).timestamp()), "lte": int((until + LOOK_AROUND).timestamp())}
    try:
        page = client_of(account).v1.payment_intents.list({"created": cast(Any, window), "limit": 100})
        for number, intent in enumerate(page.auto_paging_iter()):
            if "payment" in intent.metadata and intent.metadata["payment"] == payment_public_id:
                return read_intent(account, intent_id=intent.id)
            if number >= MOST_LOOKED_AT:
                raise StripeUnreachable("too many intents to look through")
    except stripe.StripeError as error:
        _raise_for_read(error)
    return None


def read_account_id(account: StripeAccount) -> str:
    """Ask Stripe whose keys these are; return the account id (`acct_…`)."""
    try:
        return str(_data(client_of(account).v1.accounts.retrieve_current())["id"])
    except stripe.StripeError as error:
        _raise_for_read(error)


def _data(thing: Any) -> dict[str, Any]:
    data = getattr(thing.last_response, "data", None)
    if not isinstance(data, dict):
        raise StripeUnreachable("an answer that is not an object")
    return data


def _raise_for_read(error: stripe.StripeError) -> NoReturn:
    status = error.http_status
    if error.error is not None and status in (400, 401, 403, 404):
        raise StripeRefused(_code(error), status) from None
    raise StripeUnreachable(_code(error)) from None
