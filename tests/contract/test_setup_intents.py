"""Saving a card for later: confirmed, authenticated, declined, cancelled; on a customer and then used."""

from typing import Any

import pytest
import stripe

from tests.contract.conftest import RETURN_URL, Account


def setup(account: Account, card: str, **rest: Any) -> stripe.SetupIntent:
    """Create and confirm a setup intent in one call."""
    return account.v1.setup_intents.create(
        {"confirm": True, "payment_method": card, "return_url": RETURN_URL, **rest}  # type: ignore[typeddict-item]
    )


def test_a_card_is_saved_on_its_customer_and_pays_later(account: Account) -> None:
    customer = account.v1.customers.create({})
    intent = account.v1.setup_intents.create({"customer": customer.id, "metadata": {"a": "1"}})
    assert (intent.status, intent.usage) == ("requires_payment_method", "off_session")
    changed = account.v1.setup_intents.update(
        intent.id, {"payment_method": "pm_card_visa", "description": "d"}
    )
    assert (changed.status, changed.description) == ("requires_confirmation", "d")
    done = account.v1.setup_intents.confirm(
        intent.id, {"return_url": RETURN_URL, "expand": ["latest_attempt"]}
    )
    assert done.status == "succeeded"
    assert isinstance(done.latest_attempt, stripe.SetupAttempt)
    assert done.latest_attempt.status == "succeeded"
    saved = account.v1.payment_methods.list({"customer": customer.id}).data
    assert [method.id for method in saved] == [done.payment_method]
    paid = account.pay(saved[0].id, customer=customer.id, off_session=True)
    assert paid.status == "succeeded"
    assert account.types()[1:4] == [
        "setup_intent.created",
        "setup_intent.succeeded",
        "payment_method.attached",
    ]
    listed = account.v1.setup_intents.list({"customer": customer.id})
    assert [one.id for one in listed.data] == [intent.id]
    assert account.v1.setup_intents.list({"payment_method": "pm_none"}).data == []


@pytest.mark.parametrize(
    ("outcome", "status", "event"),
    [("authorise", "succeeded", "setup_intent.succeeded"),
     ("fail", "requires_payment_method", "setup_intent.setup_failed")],
)  # fmt: skip
def test_three_d_secure_is_asked_of_the_customer(
    account: Account, outcome: str, status: str, event: str
) -> None:
    customer = account.v1.customers.create({})
    waiting = setup(account, "pm_card_authenticationRequiredOnSetup", customer=customer.id)
    assert waiting.status == "requires_action"
    assert waiting.next_action is not None
    assert waiting.next_action.redirect_to_url is not None
    assert account.types()[-1] == "setup_intent.requires_action"
    account.sandbox.control("POST", f"setup_intents/{waiting.id}/authenticate", outcome=outcome)
    after = account.v1.setup_intents.retrieve(waiting.id)
    assert (after.status, after.next_action) == (status, None)
    assert event in account.types()
    attempts = account.v1.setup_attempts.list({"setup_intent": waiting.id}).data
    assert [attempt.status for attempt in attempts] == ["succeeded" if outcome == "authorise" else "failed"]
    if outcome == "authorise":
        again = account.pay(str(after.payment_method), customer=customer.id, off_session=True)
        assert again.status == "succeeded"
    else:
        assert after.last_setup_error is not None
        assert after.last_setup_error.code == "setup_intent_authentication_failure"
        assert account.v1.payment_methods.list({"customer": customer.id}).data == []


def test_a_declined_card_is_not_saved(account: Account) -> None:
    customer = account.v1.customers.create({})
    with pytest.raises(stripe.CardError) as caught:
        setup(account, "pm_card_visa_chargeDeclinedInsufficientFunds", customer=customer.id)
    error = caught.value.error
    assert error is not None
    assert (error.code, error.decline_code) == ("card_declined", "insufficient_funds")
    assert error.setup_intent.status == "requires_payment_method"
    assert error.setup_intent.last_setup_error.decline_code == "insufficient_funds"
    assert account.types()[-1] == "setup_intent.setup_failed"
    assert account.v1.payment_methods.list({"customer": customer.id}).data == []
    again = account.v1.setup_intents.confirm(
        error.setup_intent.id, {"payment_method": "pm_card_visa", "return_url": RETURN_URL}
    )
    assert (again.status, again.last_setup_error) == ("succeeded", None)


def test_what_ended_stays_ended(account: Account) -> None:
    intent = account.v1.setup_intents.create({})
    done = account.v1.setup_intents.cancel(intent.id, {"cancellation_reason": "abandoned"})
    assert (done.status, done.cancellation_reason) == ("canceled", "abandoned")
    assert account.types() == ["setup_intent.created", "setup_intent.canceled"]
    for call in (account.v1.setup_intents.cancel, account.v1.setup_intents.confirm):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            call(intent.id)
        assert caught.value.code == "setup_intent_unexpected_state"
        assert caught.value.error is not None
        assert caught.value.error.setup_intent.status == "canceled"


def test_a_page_confirms_with_the_client_secret_alone(account: Account) -> None:
    intent = account.v1.setup_intents.create({"metadata": {"secret": "1"}})
    url, page = f"/v1/setup_intents/{intent.id}", account.public_key
    assert account.get(url, {"client_secret": "wrong"}, key=page).status_code == 404
    card = {"payment_method_data[type]": "card", "payment_method_data[card][token]": "tok_visa"}
    assert account.post(f"{url}/confirm", card, key=page).status_code == 400
    done = account.post(f"{url}/confirm", {"client_secret": intent.client_secret, **card}, key=page).json()
    assert done.get("status") == "succeeded", done
    assert not {"metadata", "customer"} & set(done)


def test_a_confirmation_token_saves_once(account: Account) -> None:
    made = account.client.v1.test_helpers.confirmation_tokens.create({"payment_method": "pm_card_visa"})
    params: Any = {"confirm": True, "confirmation_token": made.id, "return_url": RETURN_URL}
    done = account.v1.setup_intents.create(params)
    assert done.status == "succeeded"
    assert account.v1.confirmation_tokens.retrieve(made.id).setup_intent == done.id
    with pytest.raises(stripe.InvalidRequestError, match="already been used"):
        account.v1.setup_intents.create(params)
