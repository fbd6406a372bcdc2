"""Each fault, and the exception that the SDK makes of it; what had its effect and what had not."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import stripe

from tests.contract.conftest import RETURN_URL, Account, Endpoint, Running, eventually
from tests.contract.test_webhooks import listen, verifies

NEW: Any = {"amount": 1500, "currency": "usd"}


def create(account: Account, key: str = "k1", **options: Any) -> stripe.PaymentIntent:
    """Create an intent under a key."""
    return account.v1.payment_intents.create(NEW, {"idempotency_key": key, **options})


def made(account: Account) -> int:
    """Return how many intents there are."""
    return len(account.books()["payment_intents"])


@pytest.mark.parametrize(
    ("kind", "error", "effect"),
    [
        ("reset_before", stripe.APIConnectionError, 0),
        ("reset_after", stripe.APIConnectionError, 1),
        ("error_500_before", stripe.APIError, 0),
        ("truncated_body", stripe.APIConnectionError, 1),
        ("garbage_200", stripe.APIError, 1),
        ("rate_limit_429", stripe.RateLimitError, 0),
        ("lock_timeout_429", stripe.RateLimitError, 0),
    ],
)
def test_a_fault_strikes_once_and_the_key_makes_it_good(
    account: Account, kind: str, error: type[Exception], effect: int
) -> None:
    account.fault(kind, match={"operation": "payment_intents.create"})
    with pytest.raises(error):
        create(account)
    assert made(account) == effect
    assert create(account).amount == 1500
    assert made(account) == 1


def test_a_500_after_the_effect_is_what_the_key_remembers(account: Account) -> None:
    account.fault("error_500_after")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            create(account)
        assert caught.value.http_status == 500
    assert made(account) == 1
    assert account.types() == ["payment_intent.created"]


@pytest.mark.parametrize(("kind", "effect"), [("timeout_before", 0), ("timeout_after", 1)])
def test_a_hanging_call_times_out(account: Account, kind: str, effect: int) -> None:
    account.fault(kind)
    impatient = account.sandbox.client(account.key, http_client=stripe.RequestsClient(timeout=0.3))
    with pytest.raises(stripe.APIConnectionError):
        impatient.v1.payment_intents.create(NEW, {"idempotency_key": "k1"})
    eventually(lambda: made(account) == effect or effect == 0)
    assert made(account) == effect
    create(account)
    assert made(account) == 1


def test_the_sdk_retries_what_stripe_says_it_should(account: Account) -> None:
    account.fault("rate_limit_429", should_retry=True)
    patient = account.sandbox.client(account.key, max_network_retries=1)
    assert patient.v1.payment_intents.create(NEW).amount == 1500


def test_rate_limits_say_why_and_lock_timeouts_do_not(account: Account) -> None:
    account.fault("rate_limit_429")
    limited = account.post("/v1/customers")
    assert limited.headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    account.fault("lock_timeout_429")
    locked = account.post("/v1/customers")
    assert locked.json()["error"]["code"] == "lock_timeout"
    assert "Stripe-Rate-Limited-Reason" not in locked.headers


def test_latency_is_added(account: Account) -> None:
    account.fault("latency", ms=300)
    started = time.monotonic()
    create(account)
    assert time.monotonic() - started >= 0.3


def test_a_fault_matches_method_path_and_probability(account: Account) -> None:
    fault = account.fault("error_500_before", match={"method": "POST", "path": "/cancel$"}, times=None)
    intent = create(account)
    with pytest.raises(stripe.APIError):
        account.v1.payment_intents.cancel(intent.id)
    account.v1.payment_intents.retrieve(intent.id)
    shown = account.sandbox.control("GET", "faults")["data"]
    assert next(f["struck"] for f in shown if f["id"] == fault["id"]) == 1

    def drawn(seed: int) -> list[int]:
        other = Account(account.sandbox, f"{account.slug}p{seed}x{time.monotonic_ns()}")
        other.fault("error_500_before", probability=0.5, seed=seed)
        return [other.post("/v1/customers").status_code for _ in range(12)]

    first = drawn(1)
    assert set(first) == {200, 500}
    assert drawn(1) == first != drawn(2)


def test_an_unknown_fault_is_refused(sandbox: Running) -> None:
    answer = requests.post(f"{sandbox.base}/_sandbox/faults", json={"kind": "gremlins"}, timeout=5)
    assert answer.status_code == 400
    assert "gremlins" in answer.json()["error"]["message"]


def test_faults_are_cleared(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    account.fault("error_500_before", times=None)
    assert account.post("/v1/customers").status_code == 500
    own_sandbox.control("DELETE", "faults")
    assert account.post("/v1/customers").status_code == 200


def test_concurrent_writes_conflict_only_when_asked_to(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    intent = create(account)

    def both() -> list[int]:
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda n=n: statuses.append(  # type: ignore[misc]
                    account.post(f"/v1/payment_intents/{intent.id}", {"metadata[n]": n}).status_code
                )
            )
            for n in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(statuses)

    own_sandbox.control("POST", "config", latency_ms=300)
    assert both() == [200, 200]
    own_sandbox.control("POST", "config", lock_conflicts=True)
    assert both() == [200, 429]


def test_a_dropped_webhook_is_found_by_listing(account: Account, endpoint: Endpoint) -> None:
    listen(account, endpoint, "customer.created")
    account.fault("webhook_drop", match={"type": "customer.created"})
    lost = account.v1.customers.create({})
    heard = account.v1.customers.create({})
    eventually(lambda: len(endpoint.received) == 1)
    assert endpoint.events()[0]["data"]["object"]["id"] == heard.id
    missed = account.v1.events.list({"delivery_success": False}).data
    assert [event.data.object["id"] for event in missed] == [lost.id]


def test_webhooks_late_doubled_and_badly_signed(account: Account, endpoint: Endpoint) -> None:
    _, secret = listen(account, endpoint, "customer.created")
    account.fault("webhook_delay", ms=300)
    late = account.v1.customers.create({}).id
    soon = account.v1.customers.create({}).id
    eventually(lambda: len(endpoint.received) == 2)
    assert [event["data"]["object"]["id"] for event in endpoint.events()] == [soon, late]

    account.fault("webhook_double")
    account.v1.customers.create({})
    eventually(lambda: len(endpoint.received) == 4)
    assert endpoint.events()[2]["id"] == endpoint.events()[3]["id"]

    account.fault("webhook_bad_signature")
    account.v1.customers.create({})
    eventually(lambda: len(endpoint.received) == 5)
    assert not verifies(endpoint.received[4], secret)


def test_a_webhook_is_overtaken_by_the_next(account: Account, endpoint: Endpoint) -> None:
    listen(account, endpoint, "customer.created")
    account.fault("webhook_reorder", ms=60_000)
    first = account.v1.customers.create({}).id
    time.sleep(0.1)
    assert endpoint.received == []
    second = account.v1.customers.create({}).id
    eventually(lambda: len(endpoint.received) == 2)
    assert [event["data"]["object"]["id"] for event in endpoint.events()] == [second, first]

    account.fault("webhook_reorder", ms=50)
    alone = account.v1.customers.create({}).id
    eventually(lambda: len(endpoint.received) == 3)
    assert endpoint.events()[2]["data"]["object"]["id"] == alone


def test_a_webhook_comes_before_the_answer(account: Account, endpoint: Endpoint) -> None:
    listen(account, endpoint, "customer.created")
    answered = threading.Event()
    seen: list[bool] = []

    def slowly() -> Iterator[int]:
        while True:
            time.sleep(0.2)  # without the fault the API's answer is there long before
            seen.append(answered.is_set())
            yield 200

    endpoint.answers = slowly()
    account.fault("webhook_before_answer", match={"operation": "customers.create"})
    for expected in (False, True):
        answered.clear()
        account.v1.customers.create({})
        answered.set()
        eventually(lambda expected=expected: seen[-1:] == [expected])  # type: ignore[misc]


def test_a_refund_succeeds_then_fails_whatever_the_card(account: Account) -> None:
    paid = account.pay()
    account.fault("refund_fails_later")
    assert account.v1.refunds.create({"payment_intent": paid.id}).status == "succeeded"
    eventually(lambda: "refund.failed" in account.types())
    again = account.v1.refunds.create({"payment_intent": paid.id})
    eventually(lambda: account.types().count("refund.updated") == 2)
    assert account.v1.refunds.retrieve(again.id).status == "succeeded"


def test_a_dispute_comes_between_the_look_and_the_refund(account: Account) -> None:
    paid = account.pay()
    account.fault("dispute_before_refund")
    assert not account.v1.charges.retrieve(str(paid.latest_charge)).disputed
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.refunds.create({"payment_intent": paid.id})
    assert caught.value.code == "charge_disputed"
    assert account.books()["refunds"] == []
    assert len(account.v1.disputes.list({"payment_intent": paid.id}).data) == 1


@pytest.mark.parametrize("card", ["mastercard", "5555555555554444", "pm_card_mastercard"])
def test_a_fault_knows_the_card(account: Account, card: str) -> None:
    account.fault("error_500_before", match={"card": card}, times=None)
    paid = account.pay()
    with pytest.raises(stripe.APIError):
        account.pay("pm_card_mastercard")
    assert account.v1.refunds.create({"payment_intent": paid.id}).status == "succeeded"
    intent = account.v1.payment_intents.create(NEW)
    with pytest.raises(stripe.APIError):
        account.v1.payment_intents.confirm(
            intent.id, {"payment_method": "pm_card_mastercard", "return_url": RETURN_URL}
        )
    method = account.post("/v1/payment_methods", {"type": "card", "card[token]": "tok_mastercard"})
    assert method.status_code == 200
    with pytest.raises(stripe.APIError):
        account.pay(method.json()["id"])


def test_one_fault_is_taken_back(account: Account) -> None:
    kept = account.fault("error_500_before", times=None, match={"method": "GET"})
    gone = account.fault("error_500_before", times=None, match={"method": "POST"})
    left = account.sandbox.control("DELETE", f"faults/{gone['id']}")["data"]
    assert kept["id"] in [fault["id"] for fault in left]
    assert account.post("/v1/customers").status_code == 200
    assert account.get("/v1/customers").status_code == 500
    account.sandbox.control("DELETE", f"faults/{kept['id']}")
    assert (
        requests.delete(f"{account.sandbox.base}/_sandbox/faults/{gone['id']}", timeout=5).status_code == 404
    )


def test_deliveries_are_delayed_and_dropped_by_hand(account: Account, endpoint: Endpoint) -> None:
    listen(account, endpoint, "customer.created")
    endpoint.answers = itertools.chain([500], itertools.repeat(200))
    account.fault("webhook_delay", ms=60_000, times=2)
    account.v1.customers.create({})
    account.v1.customers.create({})
    rows = eventually(lambda: _waiting(account))
    sooner, never = rows[0]["id"], rows[1]["id"]
    assert account.sandbox.control("POST", f"events/{never}/drop") == {"deliveries": 1}
    assert account.sandbox.control("POST", f"events/{sooner}/delay", seconds=0.05) == {"deliveries": 1}
    eventually(lambda: len(endpoint.received) == 2)
    assert {event["id"] for event in endpoint.events()} == {sooner}
    missed = account.v1.events.list({"delivery_success": False}).data
    assert [event.id for event in missed] == [never]


def _waiting(account: Account) -> list[dict[str, Any]]:
    """Return the events whose delivery the fault has put off, once both are."""
    rows = account.sandbox.control("GET", f"events/{account.slug}")["data"]
    put_off = [row for row in rows if row["deliveries"] and row["deliveries"][0]["due"] > row["created"] + 30]
    return put_off if len(put_off) == 2 else []
