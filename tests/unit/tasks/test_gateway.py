"""What an exception of the SDK means for a write: every class in one table."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
import stripe
from stripe._http_client import RequestsClient
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from tasks.gateway.stripe_api import judged
from web.payments.snapshots import Verdict


def api_error(status: int, error: dict[str, Any] | None, **headers: str) -> stripe.StripeError:
    """Make the exception that the SDK itself makes of such a response."""
    from stripe._api_requestor import _APIRequestor

    body = json.dumps({"error": error}) if error is not None else "<html>bad gateway</html>"
    requestor: Any = _APIRequestor
    with pytest.raises(stripe.StripeError) as caught:
        requestor._global_instance()._interpret_response(
            body.encode(), status, {"request-id": "req_1", **headers}, "V1"
        )
    return caught.value


def connection_error(cause: Exception) -> stripe.StripeError:
    with pytest.raises(stripe.APIConnectionError) as caught:
        RequestsClient()._handle_request_error(cause)
    return caught.value


@pytest.mark.parametrize(
    ("status", "error", "verdict", "code"),
    [
        (400, {"type": "invalid_request_error", "code": "amount_too_small"}, Verdict.REFUSED, "amount_too_small"),
        (401, {"type": "invalid_request_error"}, Verdict.REFUSED, "invalid_request_error"),
        (402, {"type": "card_error", "code": "card_declined"}, Verdict.REFUSED, "card_declined"),
        (403, {"type": "invalid_request_error"}, Verdict.REFUSED, "invalid_request_error"),
        (404, {"type": "invalid_request_error", "code": "resource_missing"}, Verdict.REFUSED, "resource_missing"),
        (409, {"type": "idempotency_error", "code": "key_in_use"}, Verdict.NOT_SENT, "key_in_use"),
        (429, {"type": "invalid_request_error", "code": "lock_timeout"}, Verdict.NOT_SENT, "lock_timeout"),
        (429, {"type": "invalid_request_error", "code": "rate_limit"}, Verdict.NOT_SENT, "rate_limit"),
        (400, {"type": "idempotency_error"}, Verdict.UNKNOWN, "idempotency_error"),
        (500, {"type": "api_error"}, Verdict.UNKNOWN, "api_error"),
        (502, None, Verdict.UNKNOWN, "APIError"),
        (400, None, Verdict.UNKNOWN, "APIError"),
        (200, None, Verdict.UNKNOWN, "APIError"),
    ],
)  # fmt: skip
def test_answers(status: int, error: dict[str, Any] | None, verdict: Verdict, code: str) -> None:
    answer = judged(api_error(status, error))
    assert (answer.verdict, answer.error_code) == (verdict, code)


def test_a_replayed_500_is_told_apart() -> None:
    answer = judged(api_error(500, {"type": "api_error"}, **{"Idempotent-Replayed": "true"}))
    assert (answer.verdict, answer.is_replay, answer.http_status) == (Verdict.UNKNOWN, True, 500)


def test_no_connection_is_not_sent_and_a_cut_one_is_unknown() -> None:
    pool: Any = None
    refused = requests.ConnectionError(MaxRetryError(pool, "/", NewConnectionError(pool, "refused")))
    cut = requests.ConnectionError(ProtocolError("Connection aborted."))
    assert judged(connection_error(refused)).verdict is Verdict.NOT_SENT
    assert judged(connection_error(requests.ConnectTimeout())).verdict is Verdict.NOT_SENT
    assert judged(connection_error(cut)).verdict is Verdict.UNKNOWN
    assert judged(connection_error(requests.ReadTimeout())).verdict is Verdict.UNKNOWN
