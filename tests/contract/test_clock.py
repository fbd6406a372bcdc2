"""What time alone does, on a clock that a test moves: nothing here sleeps until it is due."""

import itertools
import sqlite3
import time
from pathlib import Path

import pytest
import requests
import stripe

from tests.contract.conftest import Account, Endpoint, Running, eventually
from tests.contract.test_webhooks import listen

DAY = 24 * 3600


@pytest.fixture
def studio(own_sandbox: Running) -> Account:
    """An account whose clock is its own."""
    return Account(own_sandbox, "studio")


def advance(account: Account, seconds: float) -> float:
    """Move the clock; returns its time."""
    return float(account.sandbox.control("POST", "clock", advance=seconds)["now"])


def test_the_clock_is_set_and_never_goes_back(studio: Account) -> None:
    noon = int(time.time()) + 5 * DAY
    assert studio.sandbox.control("POST", "clock", set=noon)["now"] == pytest.approx(noon, abs=5)
    assert studio.v1.customers.create({}).created == pytest.approx(noon, abs=5)
    for wrong in ({"set": noon - DAY}, {"advance": -1}, {}, {"advance": "soon"}):
        answer = requests.post(f"{studio.sandbox.base}/_sandbox/clock", json=wrong, timeout=5)
        assert answer.status_code == 400
    assert studio.sandbox.control("GET", "clock")["now"] == pytest.approx(noon, abs=10)


def test_an_authorisation_nobody_captures_is_given_up_after_seven_days(studio: Account) -> None:
    held, captured = studio.pay(capture_method="manual"), studio.pay(capture_method="manual")
    studio.v1.payment_intents.capture(captured.id)
    advance(studio, 7 * DAY - 60)
    assert studio.v1.payment_intents.retrieve(held.id).status == "requires_capture"
    advance(studio, 61)
    gone = eventually(lambda: _canceled(studio, held.id))
    assert (gone.cancellation_reason, gone.amount_capturable) == ("automatic", 0)
    assert studio.types()[-2:] == ["charge.expired", "payment_intent.canceled"]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        studio.v1.payment_intents.capture(held.id)
    assert caught.value.code == "payment_intent_unexpected_state"
    assert studio.v1.payment_intents.retrieve(captured.id).status == "succeeded"


def _canceled(account: Account, intent_id: str) -> stripe.PaymentIntent | None:
    found = account.v1.payment_intents.retrieve(intent_id)
    return found if found.status == "canceled" else None


def test_events_are_kept_thirty_days_and_then_leave_the_file(studio: Account, endpoint: Endpoint) -> None:
    listen(studio, endpoint, "customer.created")
    studio.v1.customers.create({}, {"idempotency_key": "first"})
    eventually(lambda: endpoint.received)
    first = studio.v1.events.list().data[0].id
    advance(studio, 29 * DAY)
    studio.v1.customers.create({}, {"idempotency_key": "second"})
    assert studio.v1.events.retrieve(first).id == first
    advance(studio, DAY + 60)
    assert len(studio.v1.events.list().data) == 1
    with pytest.raises(stripe.InvalidRequestError, match="No such event"):
        studio.v1.events.retrieve(first)
    advance(studio, 3600)
    eventually(lambda: _rows(studio, "key") == ["second"])
    kept = [event_id for event_id in _rows(studio, "object") if event_id.startswith("evt_")]
    assert len(kept) == 1
    assert first not in kept
    assert len(studio.v1.customers.list().data) == 2


def _rows(account: Account, space: str) -> list[str]:
    """Return the ids of everything the file keeps in a space."""
    with sqlite3.connect(account.sandbox.data) as file:
        return [row[0] for row in file.execute("SELECT id FROM rows WHERE space = ?", (space,))]


def test_webhooks_are_retried_when_the_clock_says_so(tmp_path: Path, endpoint: Endpoint) -> None:
    patient = Running(str(tmp_path / "state.sqlite3"), "--webhook-retry-base-ms", "600000")
    try:
        account = Account(patient, "studio")
        endpoint.answers = itertools.chain([500, 500], itertools.repeat(200))
        listen(account, endpoint, "customer.created")
        account.v1.customers.create({})
        for heard, pause in ((1, 600), (2, 1200)):
            eventually(lambda heard=heard: len(endpoint.received) == heard)  # type: ignore[misc]
            eventually(lambda heard=heard: _attempts(account) == heard)  # type: ignore[misc]
            advance(account, pause - 30)
            assert len(endpoint.received) == heard
            advance(account, 31)
        eventually(lambda: len(endpoint.received) == 3)
        eventually(
            lambda: account.sandbox.control("GET", "deliveries/studio")["data"][0]["status"] == "delivered"
        )
    finally:
        patient.stop()


def _attempts(account: Account) -> int:
    rows = account.sandbox.control("GET", "deliveries/studio")["data"]
    return len(rows[0]["history"])


def test_a_refund_that_waits_for_the_customer_expires(studio: Account) -> None:
    refund = studio.v1.refunds.create({"payment_intent": studio.pay("pm_card_refundRequiresAction").id})
    advance(studio, 30 * DAY + 1)
    eventually(lambda: studio.v1.refunds.retrieve(refund.id).status == "failed")


def test_a_confirmation_token_expires(studio: Account) -> None:
    made = studio.client.v1.test_helpers.confirmation_tokens.create({"payment_method": "pm_card_visa"})
    advance(studio, 12 * 3600 + 1)
    with pytest.raises(stripe.InvalidRequestError, match="expired"):
        studio.v1.payment_intents.create(
            {"amount": 800, "currency": "usd", "confirm": True, "confirmation_token": made.id,
             "return_url": "https://shop.example/return"}
        )  # fmt: skip
