"""Terminal as a server drives it: readers and their one action, cards and amounts, outcomes, events in their order."""

from typing import Any

import pytest
import requests
import stripe

from stack.reader import Reader, Unexpected
from tests.contract.conftest import Account, Running, eventually

PRESENT = ["card_present"]


def made(account: Account, code: str = "simulated-wpe", **rest: Any) -> stripe.terminal.Reader:
    """Return a new reader at a location of its own."""
    address = {"line1": "1 Mapo-daero", "city": "Seoul", "country": "US"}
    location = account.v1.terminal.locations.create({"display_name": "Desk", "address": address})  # type: ignore[typeddict-item]
    params = {"registration_code": code, "location": location.id, **rest}
    return account.v1.terminal.readers.create(params)  # type: ignore[arg-type]


def intent(account: Account, amount: int = 2000, **rest: Any) -> stripe.PaymentIntent:
    """Return an intent that a reader can process."""
    params = {"amount": amount, "currency": "usd", "allowed_payment_method_types": PRESENT, **rest}
    return account.v1.payment_intents.create(params)  # type: ignore[arg-type]


def process(
    account: Account, reader: stripe.terminal.Reader, what: stripe.PaymentIntent, **config: Any
) -> Any:
    """Ask a reader to process an intent."""
    params: Any = {"payment_intent": what.id}
    if config:
        params["process_config"] = config
    return account.v1.terminal.readers.process_payment_intent(reader.id, params)


def present(account: Account, reader: stripe.terminal.Reader, **params: Any) -> Any:
    """Hold a card to a simulated reader."""
    return account.v1.test_helpers.terminal.readers.present_payment_method(reader.id, params)  # type: ignore[arg-type]


def code_of(call: Any) -> str | None:
    """Return the code of the refusal of a call."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        call()
    error = caught.value.error
    assert error is not None
    assert caught.value.http_status == 400
    return error.code


def test_a_payment_at_a_reader(account: Account) -> None:
    reader, asked = made(account), intent(account)
    started = process(account, reader, asked)
    assert (started.action.status, started.action.type) == ("in_progress", "process_payment_intent")
    assert started.action.process_payment_intent.payment_intent == asked.id
    done = present(account, reader)
    assert (done.action.status, done.action.failure_code, done.action.api_error) == ("succeeded", None, None)
    paid = account.v1.payment_intents.retrieve(asked.id, {"expand": ["latest_charge"]})
    assert (paid.status, paid.amount_received) == ("succeeded", 2000)
    charge = paid.latest_charge
    assert isinstance(charge, stripe.Charge)
    details = charge.payment_method_details
    assert details is not None
    shown = details.card_present
    assert shown is not None
    assert (details.type, shown.brand, shown.last4, shown.read_method) == (
        "card_present",
        "visa",
        "4242",
        "contactless_emv",
    )
    assert (shown.amount_authorized, shown.reader, shown.location) == (2000, reader.id, reader.location)
    assert shown.receipt is not None
    assert shown.receipt.authorization_code is not None
    eventually(lambda: "charge.updated" in account.types())
    assert account.types() == [
        "payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "terminal.reader.action_succeeded",
        "charge.updated",
    ]  # fmt: skip


def test_a_declined_card_leaves_the_intent_for_the_next_one(account: Account) -> None:
    reader, asked = made(account), intent(account)
    process(account, reader, asked)
    failed = present(account, reader, type="card_present", card_present={"number": "4000000000009995"})
    assert (failed.action.status, failed.action.failure_code) == ("failed", "card_declined")
    assert (failed.action.api_error.type, failed.action.api_error.decline_code) == (
        "card_error",
        "insufficient_funds",
    )
    left = account.v1.payment_intents.retrieve(asked.id)
    assert (left.status, left.payment_method, left.amount) == ("requires_payment_method", None, 2000)
    assert account.types() == [
        "payment_intent.created", "charge.failed", "payment_intent.payment_failed", "terminal.reader.action_failed",
    ]  # fmt: skip
    process(account, reader, asked)
    present(account, reader)
    assert account.v1.payment_intents.retrieve(asked.id).status == "succeeded"


@pytest.mark.parametrize(
    ("ending", "decline_code"),
    [(1, "call_issuer"), (5, "generic_decline"), (55, "incorrect_pin"), (65, "withdrawal_count_limit_exceeded"),
     (75, "pin_try_exceeded"), (2, None), (3, None), (0, None)],
)  # fmt: skip
def test_the_amount_decides_for_a_card_that_nobody_chose(
    account: Account, ending: int, decline_code: str | None
) -> None:
    reader, asked = made(account), intent(account, 2000 + ending)
    process(account, reader, asked)
    shown = present(account, reader).action
    assert (shown.api_error.decline_code if shown.api_error else None) == decline_code
    process(account, reader, other := intent(account, 2000 + ending))
    present(account, reader, card_present={"number": "4242424242424242"})
    assert account.v1.payment_intents.retrieve(other.id).status == "succeeded"


def test_older_software_tells_no_error_of_the_api(account: Account) -> None:
    reader = made(account, "simulated-s700")
    assert reader.device_type == "simulated_stripe_s700"
    account.sandbox.control("POST", f"readers/{reader.id}/software", version="2.41.9")
    process(account, reader, intent(account, 2005))
    action = present(account, reader).action
    assert (action.status, action.failure_code, action.api_error) == ("failed", "card_declined", None)


@pytest.mark.parametrize("how", ["intent", "option", "preferred"])
def test_a_held_payment_is_captured_later(account: Account, how: str) -> None:
    rest: dict[str, Any] = {"capture_method": "manual"}
    if how != "intent":
        word = "manual" if how == "option" else "manual_preferred"
        rest = {"payment_method_options": {"card_present": {"capture_method": word}}}
    reader, asked = made(account), intent(account, **rest)
    process(account, reader, asked)
    present(account, reader)
    held = account.v1.payment_intents.retrieve(asked.id)
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 2000, 0)
    assert account.types()[1:] == [
        "charge.succeeded", "payment_intent.amount_capturable_updated", "terminal.reader.action_succeeded",
    ]  # fmt: skip
    assert account.v1.payment_intents.capture(asked.id).status == "succeeded"


def test_an_authorisation_at_a_reader_ends_after_two_days(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    reader, asked = made(account), intent(account, capture_method="manual")
    process(account, reader, asked)
    present(account, reader)
    own_sandbox.control("POST", "clock", advance=2 * 24 * 3600 - 60)
    assert account.v1.payment_intents.retrieve(asked.id).status == "requires_capture"
    own_sandbox.control("POST", "clock", advance=120)
    eventually(lambda: account.v1.payment_intents.retrieve(asked.id).status == "canceled")


def test_a_new_payment_replaces_one_that_waits_without_an_event(account: Account) -> None:
    reader, first, second = made(account), intent(account), intent(account, 3000)
    process(account, reader, first)
    replaced = process(account, reader, second)
    assert replaced.action.process_payment_intent.payment_intent == second.id
    assert "terminal.reader.action_failed" not in account.types()
    present(account, reader)
    assert account.v1.payment_intents.retrieve(first.id).status == "requires_payment_method"
    assert account.v1.payment_intents.retrieve(second.id).status == "succeeded"


def test_busy_while_it_authorises_and_too_late_to_cancel(account: Account) -> None:
    reader, first, second = made(account), intent(account), intent(account)
    process(account, reader, first)
    touch(account, reader, "present", card="visa", processing_ms=600_000)
    readers = account.v1.terminal.readers
    assert code_of(lambda: process(account, reader, second)) == "terminal_reader_busy"
    assert code_of(lambda: readers.cancel_action(reader.id)) == "terminal_reader_busy"
    action = readers.retrieve(reader.id).action
    assert action is not None
    assert (action.status, account.v1.payment_intents.retrieve(first.id).status) == (
        "in_progress", "requires_payment_method",
    )  # fmt: skip
    touch(account, reader, "finish")
    assert account.v1.payment_intents.retrieve(first.id).status == "succeeded"
    process(account, reader, second)


def test_cancelling_resets_the_reader_and_leaves_the_intent(account: Account) -> None:
    reader, asked = made(account), intent(account)
    process(account, reader, asked)
    assert account.v1.terminal.readers.cancel_action(reader.id).action is None
    assert account.v1.payment_intents.retrieve(asked.id).status == "requires_payment_method"
    assert account.types() == ["payment_intent.created"]
    with pytest.raises(stripe.InvalidRequestError, match="not waiting"):
        present(account, reader)


def test_what_a_reader_cannot_process(account: Account) -> None:
    reader, asked = made(account), intent(account)
    process(account, reader, asked)
    present(account, reader)
    assert code_of(lambda: process(account, reader, asked)) == "intent_invalid_state"
    gone = intent(account)
    account.v1.payment_intents.cancel(gone.id)
    assert code_of(lambda: process(account, reader, gone)) == "intent_invalid_state"
    online = account.v1.payment_intents.create({"amount": 500, "currency": "usd"})
    with pytest.raises(stripe.InvalidRequestError, match="must include card_present"):
        process(account, reader, online)
    late = intent(account)
    process(account, reader, late)
    account.v1.payment_intents.cancel(late.id)
    action = present(account, reader).action
    assert (action.status, action.failure_code) == ("failed", "intent_invalid_state")


def touch(account: Account, reader: stripe.terminal.Reader, what: str, **given: Any) -> Any:
    """Do something to a reader as a person."""
    return account.sandbox.control("POST", f"readers/{reader.id}/{what}", **given)


def test_two_minutes_without_a_sign_of_life_is_offline(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    reader = made(account)
    now = own_sandbox.control("GET", "clock")["now"]
    assert reader.last_seen_at is not None
    assert abs(reader.last_seen_at / 1000 - now) < 60
    touch(account, reader, "unplug")
    seen = account.v1.terminal.readers.retrieve(reader.id)
    assert seen.status == "online"  # Stripe does not know yet
    assert code_of(lambda: process(account, reader, intent(account))) == "terminal_reader_offline"
    own_sandbox.control("POST", "clock", advance=121)
    later = account.v1.terminal.readers.retrieve(reader.id)
    assert (later.status, later.last_seen_at) == ("offline", seen.last_seen_at)
    assert [one.id for one in account.v1.terminal.readers.list({"status": "offline"}).data] == [reader.id]
    assert code_of(lambda: account.v1.terminal.readers.cancel_action(reader.id)) == "terminal_reader_offline"
    touch(account, reader, "plug_in")
    assert account.v1.terminal.readers.retrieve(reader.id).status == "online"
    process(account, reader, intent(account))


def test_a_timeout_may_have_reached_the_reader_or_not(account: Account) -> None:
    reader, asked = made(account), intent(account)
    account.fault("reader_timeout", match={"reader": reader.id})
    assert code_of(lambda: process(account, reader, asked)) == "terminal_reader_timeout"
    assert account.v1.terminal.readers.retrieve(reader.id).action is None
    account.fault("reader_timeout_accepted", match={"reader": reader.id})
    assert code_of(lambda: process(account, reader, asked)) == "terminal_reader_timeout"
    action = account.v1.terminal.readers.retrieve(reader.id).action
    assert action is not None
    assert action.process_payment_intent is not None
    assert (action.status, action.process_payment_intent.payment_intent) == ("in_progress", asked.id)
    present(account, reader)
    assert account.v1.payment_intents.retrieve(asked.id).status == "succeeded"


@pytest.mark.parametrize("kind", ["reader_offline", "reader_busy"])
def test_a_reader_refuses_on_request(account: Account, kind: str) -> None:
    reader, asked = made(account), intent(account)
    account.fault(kind)
    assert code_of(lambda: process(account, reader, asked)) == f"terminal_{kind}"
    process(account, reader, asked)


@pytest.mark.parametrize("authorised", [False, True])
def test_a_reader_is_stuck_and_nobody_hears_of_it(account: Account, authorised: bool) -> None:
    reader, asked = made(account), intent(account)
    account.fault("reader_stuck", authorised=authorised)
    process(account, reader, asked)
    if authorised:
        touch(account, reader, "present", card="visa")
    else:
        answer = account.sandbox.control("GET", f"readers/{reader.id}/screen")
        assert (answer["plugged_in"], answer["asks"]) == (False, "nothing")
    action = account.v1.terminal.readers.retrieve(reader.id).action
    assert action is not None
    assert action.status == "in_progress"
    status = "succeeded" if authorised else "requires_payment_method"
    assert account.v1.payment_intents.retrieve(asked.id).status == status
    assert not [kind for kind in account.types() if kind.startswith("terminal")]
    touch(account, reader, "plug_in")
    stuck = account.v1.terminal.readers.retrieve(reader.id).action
    assert stuck is not None
    assert stuck.status == "in_progress"
    assert account.v1.terminal.readers.cancel_action(reader.id).action is None


def test_a_customer_cancels_where_it_is_offered(account: Account) -> None:
    reader, asked = made(account), intent(account)
    process(account, reader, asked)
    refused = post(account, reader, "cancel")
    assert (refused.status_code, "no cancel button" in refused.text) == (400, True)
    process(account, reader, asked, enable_customer_cancellation=True)
    assert account.sandbox.control("GET", f"readers/{reader.id}/screen")["can_cancel"] is True
    touch(account, reader, "cancel")
    action = account.v1.terminal.readers.retrieve(reader.id).action
    assert action is not None
    assert (action.status, action.failure_code, action.api_error) == ("failed", "customer_canceled", None)
    account.fault("reader_customer_cancels")
    process(account, reader, asked)
    eventually(lambda: account.types().count("terminal.reader.action_failed") == 2)
    assert account.v1.payment_intents.retrieve(asked.id).status == "requires_payment_method"


def post(account: Account, reader: stripe.terminal.Reader, what: str, **given: Any) -> Any:
    """Try something at a reader that may be refused."""
    return requests.post(
        f"{account.sandbox.base}/_sandbox/readers/{reader.id}/{what}", json=given, timeout=10
    )


@pytest.mark.parametrize("authorised", [True, False])
def test_a_connection_error_may_have_taken_the_money(account: Account, authorised: bool) -> None:
    reader, asked = made(account), intent(account)
    account.fault("reader_connection_error", authorised=authorised)
    process(account, reader, asked)
    action = present(account, reader).action
    assert (action.status, action.failure_code) == ("failed", "connection_error")
    status = "succeeded" if authorised else "requires_payment_method"
    assert account.v1.payment_intents.retrieve(asked.id).status == status
    assert ("payment_intent.succeeded" in account.types()) is authorised


def test_declined_once_then_paid(account: Account) -> None:
    reader, asked = made(account), intent(account)
    account.fault("reader_declines", decline_code="lost_card")
    process(account, reader, asked)
    assert present(account, reader).action.api_error.decline_code == "lost_card"
    process(account, reader, asked)
    assert present(account, reader).action.status == "succeeded"


def test_another_till_takes_the_reader(account: Account) -> None:
    reader, asked = made(account), intent(account)
    account.fault("reader_replaced")
    started = process(account, reader, asked)
    assert started.action.process_payment_intent.payment_intent == asked.id
    action = account.v1.terminal.readers.retrieve(reader.id).action
    assert action is not None
    assert action.process_payment_intent is not None
    assert action.process_payment_intent.payment_intent != asked.id
    present(account, reader)
    assert account.v1.payment_intents.retrieve(asked.id).status == "requires_payment_method"


def test_a_tip_is_chosen_on_the_reader(account: Account) -> None:
    tipping: Any = {"tipping": {"usd": {"percentages": [15, 20, 25], "fixed_amounts": [100, 200, 300],
                                        "smart_tip_threshold": 1000}}}  # fmt: skip
    configuration = account.v1.terminal.configurations.create(tipping)
    reader = made(account)
    account.v1.terminal.locations.update(str(reader.location), {"configuration_overrides": configuration.id})
    asked = intent(account, 2000, capture_method="manual")
    process(account, reader, asked)
    shown = account.sandbox.control("GET", f"readers/{reader.id}/screen")
    assert (shown["asks"], [tip["amount"] for tip in shown["tips"]]) == ("tip", [300, 400, 500])
    assert touch(account, reader, "tip", amount=400)["amount"] == 2400
    touch(account, reader, "present", card="visa_chargeDeclined")
    assert account.v1.payment_intents.retrieve(asked.id).amount == 2000
    process(account, reader, asked, tipping={"amount_eligible": 800})
    small = account.sandbox.control("GET", f"readers/{reader.id}/screen")
    assert [tip["amount"] for tip in small["tips"]] == [100, 200, 300]
    present(account, reader, amount_tip=250)
    held = account.v1.payment_intents.retrieve(asked.id)
    assert held.amount_details is not None
    assert held.amount_details.tip is not None
    assert (held.amount, held.amount_capturable, held.amount_details.tip.amount) == (2250, 2250, 250)
    process(account, reader, intent(account), skip_tipping=True)
    assert account.sandbox.control("GET", f"readers/{reader.id}/screen")["asks"] == "card"


def test_a_card_is_collected_looked_at_and_confirmed(account: Account) -> None:
    reader, asked = made(account), intent(account)
    readers = account.v1.terminal.readers
    readers.collect_payment_method(reader.id, {"payment_intent": asked.id})
    action = present(account, reader, card_present={"number": "5555555555554444"}).action
    assert (action.type, action.status) == ("collect_payment_method", "succeeded")
    assert action.collect_payment_method.payment_method.card_present.brand == "mastercard"
    assert account.v1.payment_intents.retrieve(asked.id).status == "requires_confirmation"
    started = readers.confirm_payment_intent(reader.id, {"payment_intent": asked.id}).action
    assert started is not None
    assert started.status == "in_progress"
    eventually(lambda: account.v1.payment_intents.retrieve(asked.id).status == "succeeded")
    assert [kind for kind in account.types() if kind.startswith("terminal")] == [
        "terminal.reader.action_updated", "terminal.reader.action_succeeded", "terminal.reader.action_succeeded",
    ]  # fmt: skip


def test_a_card_is_saved_at_a_reader_and_charged_later(account: Account) -> None:
    customer, reader = account.v1.customers.create({}), made(account)
    setup = account.v1.setup_intents.create(
        {"customer": customer.id, "allowed_payment_method_types": ["card_present"]}
    )
    readers = account.v1.terminal.readers
    readers.process_setup_intent(reader.id, {"setup_intent": setup.id, "allow_redisplay": "always"})
    action = present(account, reader).action
    saved = account.v1.payment_methods.retrieve(action.process_setup_intent.generated_card)
    assert saved.card is not None
    assert (saved.type, saved.customer, saved.allow_redisplay) == ("card", customer.id, "always")
    paid = account.pay(saved.id, customer=customer.id)
    assert paid.status == "succeeded"
    asked = intent(account, customer=customer.id, setup_future_usage="off_session")
    process(account, reader, asked)
    present(account, reader)
    charge = account.v1.charges.list({"payment_intent": asked.id}).data[0]
    assert charge.payment_method_details is not None
    assert charge.payment_method_details.card_present is not None
    made_card = charge.payment_method_details.card_present.generated_card
    assert made_card in [one.id for one in account.v1.customers.payment_methods.list(customer.id).data]


def test_interac_is_taken_at_once_and_refunded_at_the_reader(account: Account) -> None:
    reader = made(account)
    types = ["card_present", "interac_present"]
    asked = intent(account, currency="cad", allowed_payment_method_types=types, capture_method="manual")
    process(account, reader, asked)
    present(account, reader, type="interac_present")
    assert account.v1.payment_intents.retrieve(asked.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="in person"):
        account.v1.refunds.create({"payment_intent": asked.id})
    readers = account.v1.terminal.readers
    readers.refund_payment(reader.id, {"payment_intent": asked.id, "amount": 500, "metadata": {"line": "1"}})
    other = present(account, reader, type="card_present").action
    assert (other.status, other.failure_code) == ("failed", "card_declined")
    readers.refund_payment(reader.id, {"payment_intent": asked.id, "amount": 500, "metadata": {"line": "1"}})
    action = present(account, reader, type="interac_present").action
    refund = account.v1.refunds.retrieve(action.refund_payment.refund)
    assert refund.metadata is not None
    assert (action.status, refund.amount, refund.status, refund.metadata["line"]) == (
        "succeeded",
        500,
        "succeeded",
        "1",
    )
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        readers.refund_payment(reader.id, {"payment_intent": asked.id, "amount": 1501})


def test_a_cart_is_shown_and_inputs_are_collected(account: Account) -> None:
    reader = made(account)
    readers = account.v1.terminal.readers
    cart: Any = {
        "currency": "usd",
        "total": 500,
        "line_items": [{"amount": 500, "description": "Mat", "quantity": 1}],
    }
    readers.set_reader_display(reader.id, {"type": "cart", "cart": cart})
    eventually(lambda: "terminal.reader.action_succeeded" in account.types())
    inputs: Any = [
        {"type": "email", "custom_text": {"title": "Receipt?"}},
        {"type": "selection", "required": True, "custom_text": {"title": "Mat?"},
         "selection": {"choices": [{"id": "y", "text": "Yes"}, {"id": "n", "text": "No"}]}},
    ]  # fmt: skip
    readers.collect_inputs(reader.id, {"inputs": inputs})
    helpers = account.v1.test_helpers.terminal.readers
    done = helpers.succeed_input_collection(reader.id, {"skip_non_required_inputs": "all"}).action
    assert done is not None
    assert done.collect_inputs is not None
    email, mat = done.collect_inputs.inputs
    assert mat.selection is not None
    assert (email.skipped, mat.skipped, mat.selection.id) == (True, False, "y")
    readers.collect_inputs(reader.id, {"inputs": inputs})
    failed = helpers.timeout_input_collection(reader.id).action
    assert failed is not None
    assert (failed.status, failed.failure_code) == ("failed", "collect_inputs_timed_out")


def test_an_input_nobody_touches_times_out(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    reader = made(account)
    inputs: Any = [{"type": "phone", "custom_text": {"title": "Phone?"}}]
    account.v1.terminal.readers.collect_inputs(reader.id, {"inputs": inputs})
    own_sandbox.control("POST", "clock", advance=121)
    eventually(lambda: "terminal.reader.action_failed" in account.types())


def test_as_many_readers_as_somebody_wants_each_with_a_code_of_its_own(account: Account) -> None:
    assert [made(account, f"sandbox-reader-{n}").device_type for n in (1, 500)] == ["bbpos_wisepos_e"] * 2


def test_locations_and_readers_are_kept_found_and_forgotten(account: Account) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.terminal.readers.create({"registration_code": "nobody-knows-this"})
    assert caught.value.param == "registration_code"
    one, two = made(account, label="One"), made(account, "simulated-s700", metadata={"desk": "2"})
    readers = account.v1.terminal.readers

    def found(**params: Any) -> list[str]:
        return [reader.id for reader in readers.list(params).data]  # type: ignore[arg-type]

    assert found() == [two.id, one.id]
    assert found(location=one.location) == [one.id]
    assert found(device_type="simulated_stripe_s700") == [two.id]
    assert found(serial_number=one.serial_number) == [one.id]
    assert (found(status="online"), found(status="offline")) == ([two.id, one.id], [])
    assert (found(limit=1), found(starting_after=two.id), found(ending_before=one.id)) == (
        [two.id],
        [one.id],
        [two.id],
    )
    renamed = readers.update(one.id, {"label": "Desk 1", "metadata": {"a": "1"}})
    assert (renamed.label, renamed.metadata["a"]) == ("Desk 1", "1")
    expanded = readers.retrieve(one.id, {"expand": ["location"]})
    assert isinstance(expanded.location, stripe.terminal.Location)
    assert expanded.location.display_name == "Desk"
    with pytest.raises(stripe.InvalidRequestError, match="readers are registered"):
        account.v1.terminal.locations.delete(str(one.location))
    assert readers.delete(one.id).deleted is True
    assert (found(), readers.retrieve(one.id).deleted) == ([two.id], True)
    with pytest.raises(stripe.InvalidRequestError, match="No such reader"):
        process(account, one, intent(account))
    assert account.v1.terminal.locations.delete(str(one.location)).deleted is True
    assert [place.id for place in account.v1.terminal.locations.list().data] == [two.location]
    token = account.v1.terminal.connection_tokens.create({"location": str(two.location)})
    assert (token.secret.startswith("pst_test_"), token.location) == (True, two.location)
    asked = intent(account)
    process(account, two, asked)
    deep = readers.retrieve(two.id, {"expand": ["action.process_payment_intent.payment_intent"]}).action
    assert deep is not None
    assert deep.process_payment_intent is not None
    assert isinstance(deep.process_payment_intent.payment_intent, stripe.PaymentIntent)


def test_a_reader_outlives_a_restart(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    reader, asked = made(account), intent(account)
    process(account, reader, asked)
    touch(account, reader, "present", card="visa", processing_ms=1500)
    own_sandbox.stop()
    own_sandbox.start()
    account = Account(own_sandbox, "studio")
    eventually(lambda: account.v1.payment_intents.retrieve(asked.id).status == "succeeded")


def test_readers_that_pay_by_themselves(account: Account) -> None:
    readers = [made(account) for _ in range(4)]
    person = account.sandbox.control(
        "POST", f"accounts/{account.slug}/auto_readers", after_ms=5, processing_ms=5, seed=3,
        outcomes={"pay": 3, "decline": 1},
    )  # fmt: skip
    assert person["readers"] == 4
    asked = [intent(account) for _ in readers]
    for reader, one in zip(readers, asked, strict=True):
        process(account, reader, one)
    eventually(lambda: sum(kind.startswith("terminal.reader.action") for kind in account.types()) == 4)
    statuses = {account.v1.payment_intents.retrieve(one.id).status for one in asked}
    assert statuses <= {"succeeded", "requires_payment_method"}
    touch(account, readers[0], "auto", off=True)
    process(account, readers[0], intent(account))
    assert account.sandbox.control("GET", f"readers/{readers[0].id}/screen")["asks"] == "card"


def test_the_person_of_the_tests(account: Account) -> None:
    base = account.sandbox.base
    reader = Reader.register(sandbox=base, key=account.key, label="Till")
    assert [one.id for one in Reader.everyone(sandbox=base, account=account.slug)] == [reader.id]
    asked = intent(account, 2055)
    params: Any = {"payment_intent": asked.id, "process_config": {"enable_customer_cancellation": True}}
    account.v1.terminal.readers.process_payment_intent(reader.id, params)
    seen = reader.wait_until_asked(of=asked.id)
    assert (seen.asks, seen.amount, seen.currency, seen.can_cancel) == ("card", 2055, "usd", True)
    assert reader.cancel().failure_code == "customer_canceled"
    account.v1.terminal.readers.process_payment_intent(reader.id, params)
    assert reader.decline().failure_code == "card_declined"
    account.v1.terminal.readers.process_payment_intent(reader.id, params)
    assert reader.tap(processing_ms=600_000).asks == "authorising"
    assert reader.finish().action_status == "succeeded"
    with pytest.raises(Unexpected, match="not waiting"):
        reader.insert()
    assert reader.unplug().plugged_in is False
    assert reader.plug_in().plugged_in is True
