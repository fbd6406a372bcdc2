"""Every object that the sandbox produces conforms to the pinned SDK's annotations."""

from typing import Any

import pytest
import stripe

from tests.contract import schema
from tests.contract.conftest import RETURN_URL, Account, eventually


def _every_kind(account: Account) -> None:
    """Bring every kind of object, and every state an intent can be in, into the account."""
    customer = account.v1.customers.create(
        {"email": "a@example.com", "name": "A", "address": {"line1": "1 Road", "country": "US"},
         "metadata": {"k": "v"}}
    )  # fmt: skip
    account.v1.customers.update(customer.id, {"phone": "123"})
    intents = account.v1.payment_intents
    intents.create(
        {"amount": 500, "currency": "usd", "allowed_payment_method_types": ["card", "card_present"]}
    )
    intents.create({"amount": 500, "currency": "usd", "payment_method": "pm_card_visa"})
    shipping = {"name": "A", "address": {"line1": "1 Road"}}
    paid = account.pay(customer=customer.id, setup_future_usage="off_session", shipping=shipping)
    account.pay(capture_method="manual")
    account.pay("pm_card_threeDSecure2Required")
    intents.cancel(account.pay("pm_card_threeDSecure2Required", return_url=RETURN_URL).id)
    waiting = account.pay("pm_card_authenticationRequired", use_stripe_sdk=True)
    account.sandbox.control("POST", f"payment_intents/{waiting.id}/authenticate", outcome="fail")
    captured = account.pay(capture_method="manual")
    intents.capture(captured.id)
    with pytest.raises(stripe.CardError):
        account.pay("pm_card_chargeDeclined")
    with pytest.raises(stripe.CardError):
        account.pay("pm_card_radarBlock")
    account.v1.refunds.create({"payment_intent": paid.id, "amount": 100, "reason": "duplicate"})
    for card in ("pm_card_refundFail", "pm_card_pendingRefund"):
        account.v1.refunds.create({"payment_intent": account.pay(card).id})
    account.client.v1.test_helpers.confirmation_tokens.create({"payment_method": "pm_card_visa"})
    account.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/none", "enabled_events": ["payout.paid"]})
    gone = account.v1.customers.create({})
    account.v1.customers.delete(gone.id)
    eventually(lambda: "refund.failed" in account.types() and account.types().count("refund.updated") >= 3)


def test_every_object_and_event_conforms(account: Account) -> None:
    _every_kind(account)
    seen: dict[str, int] = {}
    found: list[str] = []
    for kind in ("payment_intents", "charges", "refunds", "customers", "payment_methods", "webhook_endpoints",
                 "balance_transactions", "events"):  # fmt: skip
        answer = account.get(f"/v1/{kind}", {"limit": 100}).json()
        assert (answer["object"], answer["url"]) == ("list", f"/v1/{kind}")
        for obj in answer["data"]:
            found += schema.problems(obj)
            seen[obj["object"]] = seen.get(obj["object"], 0) + 1
            if obj["object"] == "event":
                found += schema.problems(obj["data"]["object"])
    assert found == []
    assert set(seen) == {
        "payment_intent", "charge", "refund", "customer", "payment_method", "webhook_endpoint",
        "balance_transaction", "event",
    }  # fmt: skip
    statuses = {intent["status"] for intent in account.books()["payment_intents"]}
    assert statuses == {
        "requires_payment_method", "requires_confirmation", "requires_action", "requires_capture", "succeeded",
        "canceled",
    }  # fmt: skip


def test_expanded_and_single_objects_conform(account: Account) -> None:
    paid = account.pay(customer=account.v1.customers.create({}).id)
    paths = ["latest_charge.balance_transaction", "customer", "payment_method", "latest_charge.refunds"]
    eventually(lambda: "charge.updated" in account.types())
    answer = account.get(f"/v1/payment_intents/{paid.id}", {"expand[]": paths}).json()
    assert schema.problems(answer) == []
    assert answer["latest_charge"]["balance_transaction"]["object"] == "balance_transaction"
    token = account.post("/v1/test_helpers/confirmation_tokens", {"payment_method": "pm_card_visa"}).json()
    assert schema.problems(token) == []
    assert schema.problems(account.get("/v1/account").json()) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"status": "paid"}, "payment_intent.status: 'paid' is not one of"),
        ({"amount": "5"}, "payment_intent.amount: '5' is not of type int"),
        ({"amount": None}, "payment_intent.amount: None is not of type int"),
        ({"colour": "red"}, "payment_intent.colour: not declared"),
        ({"automatic_payment_methods": {}}, "payment_intent.automatic_payment_methods.enabled: missing"),
        (
            {"last_payment_error": {"type": "sad"}},
            "payment_intent.last_payment_error.type: 'sad' is not one of",
        ),
        ({"payment_method_types": [1]}, "payment_intent.payment_method_types[0]: 1 is not of type str"),
        ({"metadata": {"a": 1}}, "payment_intent.metadata.a: 1 is not of type str"),
    ],
)
def test_the_derivation_can_fail(account: Account, change: dict[str, Any], problem: str) -> None:
    good = account.post("/v1/payment_intents", {"amount": "500", "currency": "usd"}).json()
    assert schema.problems(good) == []
    found = schema.problems({**good, **change})
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_a_missing_attribute_is_found(account: Account) -> None:
    good = account.post("/v1/payment_intents", {"amount": "500", "currency": "usd"}).json()
    del good["amount_received"]
    assert schema.problems(good) == ["payment_intent.amount_received: missing, required by PaymentIntent"]
