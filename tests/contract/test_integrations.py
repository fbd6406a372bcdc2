"""What real integrations do with the SDK: paging, retries, raw requests, webhooks, options of one call, expansion."""

import json
from typing import Any

import pytest
import stripe

from tests.contract.conftest import Account, Endpoint, eventually
from tests.contract.test_webhooks import listen

NEW: Any = {"amount": 1500, "currency": "usd"}


def test_paging_walks_through_everything_in_both_directions(account: Account) -> None:
    ids = [account.v1.customers.create({"name": str(number)}).id for number in range(7)]
    forward = [one.id for one in account.v1.customers.list({"limit": 3}).auto_paging_iter()]
    assert forward == ids[::-1]
    backward = account.v1.customers.list({"limit": 3, "ending_before": ids[0]})
    assert [one.id for one in backward.auto_paging_iter()] == ids[1:]


def test_paging_keeps_its_filters(account: Account) -> None:
    customer = account.v1.customers.create({}).id
    mine = [account.v1.payment_intents.create({**NEW, "customer": customer}).id for _ in range(5)]
    for _ in range(3):
        account.v1.payment_intents.create(NEW)
    found = account.v1.payment_intents.list({"customer": customer, "limit": 2}).auto_paging_iter()
    assert [intent.id for intent in found] == mine[::-1]
    before = account.v1.payment_intents.list({"customer": customer, "limit": 2, "ending_before": mine[1]})
    assert ([intent.id for intent in before.data], before.has_more) == ([mine[3], mine[2]], True)
    refunded = account.pay()
    parts = [account.v1.refunds.create({"payment_intent": refunded.id, "amount": 100}).id for _ in range(3)]
    charge = str(refunded.latest_charge)
    assert [
        one.id for one in account.v1.refunds.list({"charge": charge, "limit": 1}).auto_paging_iter()
    ] == parts[::-1]
    assert account.v1.refunds.list({"charge": "ch_none"}).data == []


def test_lists_are_filtered_by_time(account: Account) -> None:
    made = account.v1.customers.create({})
    for bounds, count in (
        ({"gte": made.created}, 1), ({"gt": made.created}, 0), ({"lte": made.created}, 1), ({"lt": made.created}, 0),
        ({"gte": made.created, "lt": made.created + 1}, 1), (made.created, 1), (made.created - 60, 0),
    ):  # fmt: skip
        assert len(account.v1.customers.list({"created": bounds}).data) == count  # type: ignore[typeddict-item]


def test_four_levels_are_expanded_and_no_more(account: Account) -> None:
    account.pay()
    eventually(lambda: "charge.updated" in account.types())
    path = "data.latest_charge.balance_transaction.source"
    intent = account.v1.payment_intents.list({"expand": [path]}).data[0]
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert isinstance(charge.balance_transaction, stripe.BalanceTransaction)
    source = charge.balance_transaction.source
    assert isinstance(source, stripe.Charge)
    assert isinstance(source.payment_intent, str)
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        account.v1.payment_intents.list({"expand": [f"{path}.payment_intent"]})
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        account.v1.payment_intents.list({"expand": ["data.latest_charge.balance_transaction.fee_details"]})


@pytest.mark.parametrize(
    ("kind", "options", "answered"),
    [
        ("error_500_before", {}, True), ("reset_before", {}, True), ("reset_after", {}, True),
        ("error_500_after", {}, False), ("rate_limit_429", {}, False), ("rate_limit_429", {"should_retry": True}, True),
        ("lock_timeout_429", {"should_retry": True}, True), ("error_500_before", {"should_retry": False}, False),
        ("garbage_200", {}, False), ("truncated_body", {}, False),
    ],
)  # fmt: skip
def test_what_the_sdk_retries_by_itself(
    account: Account, kind: str, options: dict[str, Any], answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.01)
    monkeypatch.setattr(stripe.HTTPClient, "MAX_DELAY", 0.02)
    account.fault(kind, **options)
    client = account.sandbox.client(account.key, max_network_retries=2)
    if answered:
        assert client.v1.payment_intents.create(NEW).amount == 1500
    else:
        with pytest.raises(stripe.StripeError):
            client.v1.payment_intents.create(NEW)
    after = kind in {"reset_after", "error_500_after", "garbage_200", "truncated_body"}
    assert len(account.books()["payment_intents"]) == int(answered or after)


def test_raw_requests_reach_every_endpoint(account: Account) -> None:
    answer = account.client.raw_request("post", "/v1/customers", name="Raw", metadata={"a": "1"})
    made = account.client.deserialize(answer, api_mode="V1")
    assert isinstance(made, stripe.Customer)
    assert (made.name, answer.code) == ("Raw", 200)
    found = account.client.raw_request("get", f"/v1/customers/{made.id}")
    assert json.loads(found.body)["metadata"] == {"a": "1"}


def test_one_request_goes_to_another_account(account: Account) -> None:
    other = Account(account.sandbox, f"{account.slug}b")
    made = account.v1.customers.create({"name": "B"}, {"api_key": other.key})
    assert other.v1.customers.retrieve(made.id).name == "B"
    own = {"stripe_account": f"acct_{account.slug}"}
    assert account.v1.customers.list({}, own).data == []  # type: ignore[arg-type]
    with pytest.raises(stripe.PermissionError) as caught:
        account.v1.customers.list({}, {"stripe_account": f"acct_{other.slug}"})
    assert caught.value.error is not None
    assert caught.value.error.code == "account_invalid"
    with pytest.raises(stripe.AuthenticationError):
        account.v1.customers.list({}, {"api_key": "sk_test_nonsense"})


def test_a_replay_says_so(account: Account) -> None:
    first = account.v1.payment_intents.create(NEW, {"idempotency_key": "k1"})
    again = account.v1.payment_intents.create(NEW, {"idempotency_key": "k1"})
    assert first.last_response is not None
    assert again.last_response is not None
    assert (first.id, first.last_response.headers.get("Idempotent-Replayed")) == (again.id, None)
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.request_id
    with pytest.raises(stripe.IdempotencyError):
        account.v1.payment_intents.create({**NEW, "amount": 1501}, {"idempotency_key": "k1"})


def test_an_event_is_constructed_or_refused(account: Account, endpoint: Endpoint) -> None:
    _, secret = listen(account, endpoint, "payment_intent.succeeded")
    paid = account.pay(metadata={"cart": "7"})
    eventually(lambda: endpoint.received)
    headers, body = endpoint.received[0]
    event = account.client.construct_event(body, headers["Stripe-Signature"], secret)
    assert (event.type, event.data.object["id"]) == ("payment_intent.succeeded", paid.id)
    assert event.data.object["metadata"]["cart"] == "7"
    with pytest.raises(stripe.SignatureVerificationError):
        account.client.construct_event(body + b" ", headers["Stripe-Signature"], secret)
    with pytest.raises(stripe.SignatureVerificationError):
        account.client.construct_event(body, headers["Stripe-Signature"], "whsec_other")
    long_ago = stripe.WebhookSignature._compute_signature(f"1.{body.decode()}", secret)
    with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
        account.client.construct_event(body, f"t=1,v1={long_ago}", secret)


def test_the_sdk_reads_what_an_event_is_about(account: Account) -> None:
    paid = account.pay()
    event = account.v1.events.list({"type": "payment_intent.succeeded"}).data[0]
    assert event.data.object["object"] == "payment_intent"
    assert event.data.object["id"] == paid.id
