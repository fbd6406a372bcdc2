"""Webhooks: signed, in order, retried, never lost by a restart."""

import itertools
import signal
import time

import pytest
import stripe

from tests.contract.conftest import Account, Endpoint, Running, eventually


def listen(account: Account, endpoint: Endpoint, *events: str) -> tuple[str, str]:
    """Register the endpoint; return its id and secret."""
    made = account.v1.webhook_endpoints.create(
        {"url": endpoint.url, "enabled_events": list(events or ("*",))}  # type: ignore[typeddict-item]
    )
    assert made.secret is not None
    return made.id, made.secret


def verifies(received: tuple[dict[str, str], bytes], secret: str) -> bool:
    """Return whether the SDK accepts a delivery's signature."""
    headers, body = received
    try:
        return stripe.WebhookSignature.verify_header(
            body.decode(), headers["Stripe-Signature"], secret, tolerance=300
        )
    except stripe.SignatureVerificationError:
        return False


def test_a_payment_is_told_in_order_and_signed(account: Account, endpoint: Endpoint) -> None:
    endpoint_id, secret = listen(account, endpoint)
    paid = account.pay()
    eventually(lambda: "charge.updated" in endpoint.types())
    assert sorted(endpoint.types()[:3]) == sorted(account.types()[:3])
    assert endpoint.types()[3] == "charge.updated"
    assert all(verifies(received, secret) for received in endpoint.received)
    assert not verifies(endpoint.received[0], "whsec_other")
    told = next(event for event in endpoint.events() if event["type"] == "payment_intent.succeeded")
    assert (told["data"]["object"]["id"], told["pending_webhooks"]) == (paid.id, 1)
    with pytest.raises(AttributeError):
        _ = account.v1.webhook_endpoints.retrieve(endpoint_id).secret
    eventually(lambda: account.v1.events.list({"delivery_success": True}).data)
    eventually(lambda: not account.v1.events.list({"delivery_success": False}).data)


def test_an_endpoint_hears_what_it_asked_for(account: Account, endpoint: Endpoint) -> None:
    endpoint_id, _ = listen(account, endpoint, "payment_intent.succeeded")
    account.pay()
    eventually(lambda: endpoint.types() == ["payment_intent.succeeded"])
    account.v1.webhook_endpoints.update(endpoint_id, {"disabled": True})
    account.pay()
    account.v1.webhook_endpoints.update(endpoint_id, {"disabled": False})
    last = account.pay().id
    eventually(lambda: len(endpoint.received) == 2)
    assert endpoint.events()[1]["data"]["object"]["id"] == last


@pytest.mark.parametrize("refusal", [500, 400, 302])
def test_a_refused_delivery_is_tried_again_signed_anew(
    account: Account, endpoint: Endpoint, refusal: int
) -> None:
    _, secret = listen(account, endpoint, "customer.created")
    endpoint.answers = itertools.chain([refusal, refusal], itertools.repeat(200))
    customer = account.v1.customers.create({})
    eventually(lambda: len(endpoint.received) == 3)
    ids = {event["id"] for event in endpoint.events()}
    assert len(ids) == 1
    assert endpoint.events()[2]["data"]["object"]["id"] == customer.id
    assert all(verifies(received, secret) for received in endpoint.received)

    def delivered() -> bool:
        rows = account.sandbox.control("GET", f"deliveries/{account.slug}")["data"]
        return [(row["status"], row["attempts"]) for row in rows] == [("delivered", 3)]

    eventually(delivered)


def test_a_rolled_secret_signs_beside_the_old_one(account: Account, endpoint: Endpoint) -> None:
    endpoint_id, old = listen(account, endpoint, "customer.created")
    new = account.sandbox.control(
        "POST", f"webhook_endpoints/{endpoint_id}/roll_secret", overlap_seconds=3600
    )
    account.v1.customers.create({})
    eventually(lambda: endpoint.received)
    headers, _ = endpoint.received[0]
    assert headers["Stripe-Signature"].count("v1=") == 2
    assert verifies(endpoint.received[0], old)
    assert verifies(endpoint.received[0], new["secret"])
    account.sandbox.control("POST", f"webhook_endpoints/{endpoint_id}/roll_secret", overlap_seconds=0)
    account.v1.customers.create({})
    eventually(lambda: len(endpoint.received) == 2)
    assert not verifies(endpoint.received[1], old)


def test_an_event_is_sent_again_on_request(account: Account, endpoint: Endpoint) -> None:
    listen(account, endpoint, "customer.created")
    account.v1.customers.create({})
    eventually(lambda: len(endpoint.received) == 1)
    event_id = endpoint.events()[0]["id"]
    assert account.sandbox.control("POST", f"events/{event_id}/resend") == {"deliveries": 1}
    eventually(lambda: [event["id"] for event in endpoint.events()] == [event_id, event_id])


def test_delivery_is_given_up_after_three_days(own_sandbox: Running, endpoint: Endpoint) -> None:
    account = Account(own_sandbox, "studio")
    endpoint.answers = itertools.repeat(500)
    listen(account, endpoint, "customer.created")
    account.v1.customers.create({})
    eventually(lambda: endpoint.received)

    def ended() -> bool:
        own_sandbox.control("POST", "clock", advance=3600)
        return bool(own_sandbox.control("GET", "deliveries/studio")["data"][0]["status"] == "failed")

    eventually(ended)
    assert [event.type for event in account.v1.events.list({"delivery_success": False}).data] == [
        "customer.created"
    ]


def test_a_killed_process_forgets_nothing(own_sandbox: Running, endpoint: Endpoint) -> None:
    account = Account(own_sandbox, "studio")
    endpoint.answers = itertools.repeat(500)
    _, secret = listen(account, endpoint, "payment_intent.succeeded", "charge.updated")
    first = account.post(
        "/v1/payment_intents",
        {"amount": 700, "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa",
         "return_url": "https://shop.example", "metadata[cart]": "9"},
        Idempotency_Key="k1",
    )  # fmt: skip
    own_sandbox.control("POST", "clock", advance=100)
    own_sandbox.stop(signal.SIGKILL)

    endpoint.answers = itertools.repeat(200)
    heard = len(endpoint.received)
    own_sandbox.start()
    account = Account(own_sandbox, "studio")
    after = account.v1.payment_intents.retrieve(first.json()["id"])
    assert (after.status, after.metadata["cart"]) == ("succeeded", "9")
    repeated = account.post(
        "/v1/payment_intents",
        {"amount": 700, "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa",
         "return_url": "https://shop.example", "metadata[cart]": "9"},
        Idempotency_Key="k1",
    )  # fmt: skip
    assert repeated.content == first.content
    assert repeated.headers["Idempotent-Replayed"] == "true"
    assert own_sandbox.control("GET", "clock")["now"] > time.time() + 90
    eventually(
        lambda: (
            {"payment_intent.succeeded", "charge.updated"} <= {e["type"] for e in endpoint.events()[heard:]}
        )
    )
    assert all(verifies(received, secret) for received in endpoint.received)
    charge = account.v1.charges.retrieve(str(after.latest_charge))
    assert charge.balance_transaction is not None
    assert account.types().count("charge.updated") == 1


def test_it_ends_within_two_seconds(own_sandbox: Running) -> None:
    Account(own_sandbox, "studio").v1.customers.create({})
    assert own_sandbox.stop() < 2.0
    assert own_sandbox.process.returncode == 0
