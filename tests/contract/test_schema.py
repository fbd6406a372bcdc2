"""Every object that the sandbox produces conforms to the pinned SDK's annotations."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe

from tests import produced
from tests.contract import schema
from tests.contract.conftest import RETURN_URL, Account, Running, eventually

DAY = 24 * 3600
LEAST_KINDS = 63  # types of objects and of events, together
OBJECTS = {
    "account", "balance", "balance_transaction", "charge", "confirmation_token", "customer", "dispute", "event",
    "payment_intent", "payment_method", "payment_method_domain", "payout", "radar.early_fraud_warning", "refund",
    "setup_attempt", "setup_intent", "terminal.configuration", "terminal.connection_token", "terminal.location",
    "terminal.reader", "webhook_endpoint",
}  # fmt: skip


def _declined(call: Callable[[], object]) -> None:
    with pytest.raises(stripe.CardError):
        call()


def _payments(account: Account) -> None:
    """Bring an intent into every state it can be in."""
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
    account.v1.payment_methods.update(str(paid.payment_method), {"metadata": {"a": "1"}})
    account.pay(capture_method="manual")
    account.pay("pm_card_threeDSecure2Required")
    intents.cancel(account.pay("pm_card_threeDSecure2Required", return_url=RETURN_URL).id)
    waiting = account.pay("pm_card_authenticationRequired", use_stripe_sdk=True)
    account.sandbox.control("POST", f"payment_intents/{waiting.id}/authenticate", outcome="fail")
    captured = account.pay(capture_method="manual")
    intents.capture(captured.id)
    _declined(lambda: account.pay("pm_card_chargeDeclined"))
    _declined(lambda: account.pay("pm_card_radarBlock"))
    account.v1.refunds.create({"payment_intent": paid.id, "amount": 100, "reason": "duplicate"})
    for card in ("pm_card_refundFail", "pm_card_pendingRefund", "pm_card_refundRequiresAction"):
        account.v1.refunds.create({"payment_intent": account.pay(card).id})


def _others(account: Account) -> None:
    """Make every other kind of object, and let each end in each way."""
    account.client.v1.test_helpers.confirmation_tokens.create({"payment_method": "pm_card_visa"})
    account.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/none", "enabled_events": ["payout.paid"]})
    account.v1.payment_method_domains.create({"domain_name": "shop.example.com"})
    gone = account.v1.customers.create({})
    account.v1.payment_methods.attach("pm_card_visa", {"customer": gone.id})
    account.v1.customers.delete(gone.id)
    setups = account.v1.setup_intents
    setups.cancel(setups.create({}).id)
    for card, outcome in (
        ("visa", None),
        ("threeDSecure2Required", "authorise"),
        ("threeDSecure2Required", "fail"),
    ):
        made = setups.create({"confirm": True, "payment_method": f"pm_card_{card}", "return_url": RETURN_URL})
        if outcome:
            account.sandbox.control("POST", f"setup_intents/{made.id}/authenticate", outcome=outcome)
    _declined(
        lambda: setups.create(
            {"confirm": True, "payment_method": "pm_card_chargeDeclined", "return_url": RETURN_URL}
        )
    )
    for card in ("createDispute", "createDisputeInquiry", "createDispute", "createIssuerFraudWarning"):
        account.pay(f"pm_card_{card}")
    eventually(lambda: account.types().count("charge.dispute.created") == 3)
    won, _, lost = account.v1.disputes.list().data
    account.v1.disputes.update(won.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    account.v1.disputes.close(lost.id)


def _readers(account: Account) -> None:
    """Bring a reader's action of every type to each of its ends."""
    terminal, helpers = account.v1.terminal, account.v1.test_helpers.terminal.readers
    address: Any = {
        "country": "CA",
        "line1": "1 Road",
        "city": "Toronto",
        "state": "ON",
        "postal_code": "M5V 1A1",
    }
    tips: Any = {"tipping": {"usd": {"percentages": [10, 15, 20]}}, "name": "Tips"}
    configuration = terminal.configurations.create(tips)
    terminal.configurations.delete(terminal.configurations.create({"name": "Gone"}).id)
    place = terminal.locations.create(
        {"display_name": "Desk", "address": address, "configuration_overrides": configuration.id}
    )
    reader = terminal.readers.create({"registration_code": "simulated-wpe", "location": place.id})
    terminal.readers.delete(terminal.readers.create({"registration_code": "simulated-s700"}).id)
    kinds: Any = ["card_present", "interac_present"]
    for currency, presented in (("usd", "card_present"), ("usd", "declined"), ("cad", "interac_present")):
        new: Any = {"amount": 2000, "currency": currency, "allowed_payment_method_types": kinds}
        asked = account.v1.payment_intents.create(new)
        config: Any = {"enable_customer_cancellation": True, "tipping": {"amount_eligible": 1500}}
        terminal.readers.process_payment_intent(
            reader.id, {"payment_intent": asked.id, "process_config": config}
        )
        shown: Any = {"type": presented, "amount_tip": 300}
        if presented == "declined":
            shown = {"type": "card_present", "card_present": {"number": "4000000000000002"}}
        helpers.present_payment_method(reader.id, shown)
    terminal.readers.refund_payment(reader.id, {"payment_intent": asked.id, "amount": 100})
    helpers.present_payment_method(reader.id, {"type": "interac_present"})
    customer = account.v1.customers.create({})
    for manual in (True, False):
        new = {"amount": 900, "currency": "usd", "allowed_payment_method_types": kinds, "customer": customer.id,
               "capture_method": "manual" if manual else "automatic", "setup_future_usage": "off_session"}  # fmt: skip
        asked = account.v1.payment_intents.create(new)
        terminal.readers.collect_payment_method(reader.id, {"payment_intent": asked.id})
        helpers.present_payment_method(reader.id, {})
        terminal.readers.confirm_payment_intent(reader.id, {"payment_intent": asked.id})
        _confirmed(account, asked.id)
    for number in ("4242424242424242", "4000000000000002"):
        setup = account.v1.setup_intents.create({"allowed_payment_method_types": ["card_present"]})
        terminal.readers.process_setup_intent(
            reader.id, {"setup_intent": setup.id, "allow_redisplay": "limited"}
        )
        helpers.present_payment_method(reader.id, {"card_present": {"number": number}})
    cart: Any = {
        "currency": "usd",
        "total": 5,
        "line_items": [{"amount": 5, "description": "Mat", "quantity": 1}],
    }
    terminal.readers.set_reader_display(reader.id, {"type": "cart", "cart": cart})
    toggle: Any = {"title": "News", "default_value": "enabled"}
    choices: Any = {"choices": [{"id": "y", "text": "Yes"}]}
    inputs: Any = [
        {"type": "selection", "custom_text": {"title": "Mat?"}, "selection": choices, "toggles": [toggle]}
    ]
    inputs += [
        {"type": kind, "custom_text": {"title": kind}} for kind in ("email", "numeric", "phone", "text")
    ]
    for end in (helpers.succeed_input_collection, helpers.timeout_input_collection):
        terminal.readers.collect_inputs(reader.id, {"inputs": inputs, "metadata": {"a": "1"}})
        answer = end(reader.id).to_dict()
        assert schema.problems(answer) == []


def _confirmed(account: Account, intent: str) -> None:
    """Wait until a reader has confirmed what it collected."""
    eventually(lambda: account.v1.payment_intents.retrieve(intent).latest_charge)


def _time_passes(account: Account) -> None:
    """Let authorisations expire and the balance be paid out."""
    eventually(lambda: "charge.dispute.funds_reinstated" in account.types())
    eventually(lambda: "refund.failed" in account.types() and account.types().count("refund.updated") >= 3)
    account.sandbox.control("POST", "clock", advance=8 * DAY)
    eventually(lambda: "charge.expired" in account.types() and account.v1.payouts.list().data)
    eventually(lambda: "payout.reconciliation_completed" in account.types())
    payout = account.v1.payouts.list().data[0].id
    account.sandbox.control("POST", f"payouts/{payout}/settle", outcome="paid")
    account.sandbox.control("POST", f"payouts/{payout}/settle", outcome="failed")
    by_hand = account.v1.payouts.create({"amount": 100, "currency": "usd"})
    account.v1.payouts.cancel(by_hand.id)


def test_every_kind_of_object_and_event_conforms(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    _payments(account)
    _others(account)
    _readers(account)
    _time_passes(account)
    everything = produced.dump(own_sandbox.base)
    everything += [account.get("/v1/account").json(), account.get("/v1/balance").json()]
    everything.append(account.post("/v1/terminal/connection_tokens").json())
    kinds, found = produced.checked(everything)
    print(
        f"{len(kinds)} kinds, {sum(kinds.values())} objects and events checked: {dict(sorted(kinds.items()))}"
    )
    assert found == []
    assert {kind for kind in kinds if not kind.startswith("event ")} == OBJECTS
    assert len(kinds) >= LEAST_KINDS, sorted(kinds)
    statuses = {intent["status"] for intent in account.books()["payment_intents"]}
    assert statuses == {
        "requires_payment_method", "requires_confirmation", "requires_action", "succeeded", "canceled",
    }  # fmt: skip


def test_every_list_is_a_list_with_its_url(account: Account) -> None:
    for kind in ("payment_intents", "charges", "refunds", "customers", "payment_methods", "webhook_endpoints", "events",
                 "balance_transactions", "setup_intents", "disputes", "payouts", "payment_method_domains",
                 "terminal/readers", "terminal/locations", "terminal/configurations"):  # fmt: skip
        answer = account.get(f"/v1/{kind}", {"limit": 100}).json()
        assert (answer["object"], answer["url"], answer["has_more"], answer["data"]) == (
            "list", f"/v1/{kind}", False, [],
        )  # fmt: skip


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
