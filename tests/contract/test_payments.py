"""Payments as the SDK sees them: states, events in their order, declines, 3-D Secure, capture, cancelling."""

import pytest
import stripe

from tests.contract.conftest import RETURN_URL, Account, eventually

PAID = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


def test_a_payment_is_created_confirmed_and_settled_later(account: Account) -> None:
    intent = account.v1.payment_intents.create({"amount": 1999, "currency": "EUR", "metadata": {"cart": "7"}})
    assert (intent.status, intent.currency, intent.amount_received) == ("requires_payment_method", "eur", 0)
    assert intent.client_secret is not None
    assert intent.client_secret.startswith(f"{intent.id}_secret_")

    paid = account.v1.payment_intents.confirm(
        intent.id, {"payment_method": "pm_card_visa", "return_url": RETURN_URL, "expand": ["latest_charge"]}
    )
    assert (paid.status, paid.amount_received, paid.metadata["cart"]) == ("succeeded", 1999, "7")
    charge = paid.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.status, charge.captured, charge.balance_transaction) == ("succeeded", True, None)

    eventually(lambda: "charge.updated" in account.types())
    assert account.types() == [*PAID, "charge.updated"]
    settled = account.v1.charges.retrieve(charge.id, {"expand": ["balance_transaction"]})
    entry = settled.balance_transaction
    assert isinstance(entry, stripe.BalanceTransaction)
    assert (entry.amount, entry.fee, entry.net, entry.source) == (1999, 88, 1911, charge.id)
    updated = account.v1.events.list({"type": "charge.updated"}).data[0]
    assert updated.data.previous_attributes.to_dict() == {"balance_transaction": None}


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", None),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", None),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
def test_a_decline_is_a_card_error_with_the_whole_intent(
    account: Account, card: str, code: str, decline_code: str | None
) -> None:
    with pytest.raises(stripe.CardError) as caught:
        account.pay(card)
    error = caught.value.error
    assert error is not None
    assert (caught.value.http_status, error.code, getattr(error, "decline_code", None)) == (
        402,
        code,
        decline_code,
    )
    intent = error.payment_intent
    assert (intent.status, intent.last_payment_error.code) == ("requires_payment_method", code)
    assert intent.payment_method is None
    assert error.charge == intent.latest_charge
    assert account.types() == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    again = account.v1.payment_intents.confirm(
        intent.id, {"payment_method": "pm_card_visa", "return_url": RETURN_URL}
    )
    assert (again.status, again.last_payment_error) == ("succeeded", None)


@pytest.mark.parametrize(
    ("outcome", "status", "last"),
    [("authorise", "succeeded", "payment_intent.succeeded"),
     ("fail", "requires_payment_method", "payment_intent.payment_failed")],
)  # fmt: skip
def test_three_d_secure_waits_for_the_customer(
    account: Account, outcome: str, status: str, last: str
) -> None:
    intent = account.pay("pm_card_threeDSecure2Required")
    assert intent.status == "requires_action"
    assert intent.next_action is not None
    assert intent.next_action.type == "redirect_to_url"
    account.sandbox.control("POST", f"payment_intents/{intent.id}/authenticate", outcome=outcome)
    after = account.v1.payment_intents.retrieve(intent.id)
    assert (after.status, after.next_action) == (status, None)
    middle = ["charge.succeeded"] if outcome == "authorise" else []
    assert (
        account.types()[:4] == ["payment_intent.created", "payment_intent.requires_action", *middle, last][:4]
    )
    if outcome == "fail":
        assert after.last_payment_error is not None
        assert after.last_payment_error.code == "payment_intent_authentication_failure"
        assert after.latest_charge is None


def test_off_session_authentication_is_declined(account: Account) -> None:
    with pytest.raises(stripe.CardError) as caught:
        account.pay("pm_card_authenticationRequired", off_session=True)
    assert caught.value.code == "authentication_required"


def test_manual_capture_holds_then_takes_a_part(account: Account) -> None:
    held = account.pay(capture_method="manual")
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 2500, 0)
    done = account.v1.payment_intents.capture(
        held.id, {"amount_to_capture": 2000, "expand": ["latest_charge"]}
    )
    assert (done.status, done.amount_capturable, done.amount_received) == ("succeeded", 0, 2000)
    charge = done.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.captured, charge.amount_captured) == (True, 2000)
    assert account.types()[:5] == [
        "payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated",
        "charge.captured", "payment_intent.succeeded",
    ]  # fmt: skip


def test_cancelling_works_until_there_is_money(account: Account) -> None:
    intent = account.v1.payment_intents.create({"amount": 900, "currency": "usd"})
    done = account.v1.payment_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (done.status, done.cancellation_reason) == ("canceled", "abandoned")
    assert done.canceled_at is not None
    assert account.types() == ["payment_intent.created", "payment_intent.canceled"]

    held = account.pay(capture_method="manual")
    assert account.v1.payment_intents.cancel(held.id).status == "canceled"
    assert account.types()[-2:] == ["charge.refunded", "payment_intent.canceled"]

    paid = account.pay()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.payment_intents.cancel(paid.id)
    assert caught.value.code == "payment_intent_unexpected_state"
    assert caught.value.error is not None
    assert caught.value.error.payment_intent.status == "succeeded"


def test_confirming_twice_takes_the_money_once(account: Account) -> None:
    paid = account.pay()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.payment_intents.confirm(
            paid.id, {"payment_method": "pm_card_visa", "return_url": RETURN_URL}
        )
    assert caught.value.code == "payment_intent_unexpected_state"
    assert len(account.books()["charges"]) == 1


@pytest.mark.parametrize(
    ("params", "param", "code"),
    [
        ({"amount": 49, "currency": "usd"}, "amount", "amount_too_small"),
        ({"amount": 99, "currency": "krw"}, "amount", "amount_too_small"),
        ({"amount": 100_000_000, "currency": "usd"}, "amount", "amount_too_large"),
        ({"amount": 100, "currency": "xxx"}, "currency", None),
        ({"amount": 1000, "currency": "kwd"}, "currency", None),
        ({"amount": 10050, "currency": "ugx"}, "amount", None),
        ({"amount": "12.5", "currency": "usd"}, "amount", "parameter_invalid_integer"),
        ({"amount": "", "currency": "usd"}, "amount", "parameter_invalid_empty"),
        ({"currency": "usd"}, "amount", "parameter_missing"),
        ({"amount": 100, "currency": "usd", "colour": "red"}, "colour", "parameter_unknown"),
        ({"amount": 100, "currency": "usd", "shipping": {"x": "1"}}, "shipping[x]", "parameter_unknown"),
        ({"amount": 100, "currency": "usd", "capture_method": "later"}, "capture_method", None),
        ({"amount": 100, "currency": "usd", "customer": "cus_none"}, "customer", "resource_missing"),
    ],
)
def test_refused_parameters_leave_nothing_behind(
    account: Account, params: dict[str, object], param: str, code: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.payment_intents.create(params)  # type: ignore[arg-type]
    assert (caught.value.http_status, caught.value.param, caught.value.code) == (400, param, code)
    assert account.books()["payment_intents"] == []
    assert account.types() == []


def test_zero_decimal_amounts_are_whole(account: Account) -> None:
    assert account.pay(amount=50, currency="jpy").amount_received == 50


def test_metadata_is_merged_and_unset(account: Account) -> None:
    intent = account.v1.payment_intents.create(
        {"amount": 500, "currency": "usd", "metadata": {"a": "1", "b": "2"}}
    )
    merged = account.v1.payment_intents.update(intent.id, {"metadata": {"b": "", "c": "3"}})
    assert merged.metadata.to_dict() == {"a": "1", "c": "3"}
    assert account.v1.payment_intents.update(intent.id, {"metadata": ""}).metadata.to_dict() == {}


def test_an_update_moves_the_state(account: Account) -> None:
    intent = account.v1.payment_intents.create({"amount": 500, "currency": "usd"})
    changed = account.v1.payment_intents.update(intent.id, {"amount": 700, "payment_method": "pm_card_visa"})
    assert (changed.amount, changed.status) == (700, "requires_confirmation")
    paid = account.pay()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.payment_intents.update(paid.id, {"amount": 1})
    assert caught.value.code == "payment_intent_unexpected_state"


def test_a_saved_card_is_used_again_and_a_spent_one_is_not(account: Account) -> None:
    customer = account.v1.customers.create({"email": "a@example.com"})
    first = account.pay(customer=customer.id, setup_future_usage="off_session")
    assert "payment_method.attached" in account.types()
    saved = account.v1.payment_methods.list({"customer": customer.id}).data
    assert [method.id for method in saved] == [first.payment_method]
    again = account.pay(saved[0].id, customer=customer.id, off_session=True)
    assert again.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="belongs to a"):
        account.pay(saved[0].id)
    single = account.pay()
    with pytest.raises(stripe.InvalidRequestError, match="previously used"):
        account.pay(str(single.payment_method))


def test_attaching_a_bad_card_is_declined(account: Account) -> None:
    customer = account.v1.customers.create({})
    with pytest.raises(stripe.CardError):
        account.v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})
    method = account.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    assert method.customer == customer.id
    assert account.v1.payment_methods.detach(method.id).customer is None


def test_a_confirmation_token_pays_once(account: Account) -> None:
    made = account.client.v1.test_helpers.confirmation_tokens.create({"payment_method": "pm_card_visa"})
    shown = account.v1.confirmation_tokens.retrieve(made.id)
    assert shown.payment_method_preview is not None
    assert shown.payment_method_preview.card is not None
    assert shown.payment_method_preview.card.last4 == "4242"
    params = {"amount": 800, "currency": "usd", "confirm": True, "confirmation_token": made.id,
              "return_url": RETURN_URL}  # fmt: skip
    assert account.v1.payment_intents.create(params).status == "succeeded"  # type: ignore[arg-type]
    with pytest.raises(stripe.InvalidRequestError, match="already been used"):
        account.v1.payment_intents.create(params)  # type: ignore[arg-type]


def test_refunds_never_exceed_the_charge(account: Account) -> None:
    paid = account.pay(amount=1000)
    first = account.v1.refunds.create({"payment_intent": paid.id, "amount": 400, "metadata": {"line": "1"}})
    assert (first.status, first.amount, first.charge) == ("succeeded", 400, paid.latest_charge)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        account.v1.refunds.create({"payment_intent": paid.id, "amount": 601})
    rest = account.v1.refunds.create({"charge": str(paid.latest_charge)})
    assert rest.amount == 600
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.refunds.create({"payment_intent": paid.id})
    assert caught.value.code == "charge_already_refunded"
    charge = account.v1.charges.retrieve(str(paid.latest_charge), {"expand": ["refunds"]})
    assert (charge.amount_refunded, charge.refunded) == (1000, True)
    assert charge.refunds is not None
    assert [refund.id for refund in charge.refunds.data] == [rest.id, first.id]
    kinds = [kind for kind in account.types() if "refund" in kind]
    assert kinds[:2] == ["refund.created", "charge.refunded"]
    eventually(lambda: account.types().count("refund.updated") == 2)


def test_a_refund_succeeds_then_fails(account: Account) -> None:
    paid = account.pay("pm_card_refundFail")
    refund = account.v1.refunds.create({"payment_intent": paid.id})
    assert refund.status == "succeeded"
    eventually(lambda: "refund.failed" in account.types())
    failed = account.v1.refunds.retrieve(refund.id)
    assert failed.status == "failed"
    assert failed.failure_balance_transaction is not None
    charge = account.v1.charges.retrieve(str(paid.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (0, False)


def test_a_pending_refund_succeeds_later(account: Account) -> None:
    paid = account.pay("pm_card_pendingRefund")
    refund = account.v1.refunds.create({"payment_intent": paid.id})
    assert refund.status == "pending"
    eventually(lambda: account.v1.refunds.retrieve(refund.id).status == "succeeded")
