"""/stripe-intent/: what it answers to right and to wrong requests, and that wrong ones change nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import LocationFactory, ProfileFactory, StaffFactory
from tests.integration.checkout.conftest import FORM_TOKEN, wanted
from tests.shop import Shop
from web.core.crypto import seal
from web.core.models import Business, Profile
from web.payments.models import Cart, Job, Method, Payment, PaymentSettings, StripeAccount
from web.payments.operations import carts, desk
from web.payments.states import PaymentState

Ask = Callable[..., Any]


def error_of(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/json"
    error: dict[str, Any] = response.json()["error"]
    assert error["message"]
    assert error["next"]
    assert isinstance(error["money_moved"], bool)
    return error


def nothing_was_asked() -> bool:
    return not Payment.objects.exists() and not Job.objects.exists()


def test_a_request_is_written_down_and_answered_at_once(ask: Ask, cart: Cart) -> None:
    response = ask("/stripe-intent/", wanted(cart))
    assert response.status_code == 202
    answer = response.json()
    payment = Payment.objects.get()
    assert answer == {
        "payment": str(payment.public_id),
        "state": "requested",
        "status_url": f"/stripe-intent/{payment.public_id}/",
        "cancel_url": f"/stripe-intent/{payment.public_id}/cancel/",
        "check_url": f"/stripe-intent/{payment.public_id}/check/",
        "poll_after_ms": 250,
    }
    assert payment.amount_minor == 3600
    assert Job.objects.get().name == "create_intent"
    cart.refresh_from_db()
    assert cart.state == "frozen"
    assert response["Cache-Control"] == "no-store"


def test_the_same_form_again_gets_the_same_payment(ask: Ask, cart: Cart) -> None:
    answers = {ask("/stripe-intent/", wanted(cart)).json()["payment"] for _ in range(4)}
    assert len(answers) == 1
    assert Payment.objects.count() == 1


def test_another_form_while_one_is_live_gets_that_payment(ask: Ask, cart: Cart) -> None:
    first = ask("/stripe-intent/", wanted(cart)).json()["payment"]
    second = ask("/stripe-intent/", wanted(cart, form_token="another-form-token")).json()["payment"]
    assert first == second


def test_a_forged_request_is_refused(cart: Cart, client: Client) -> None:
    strict = Client(SERVER_NAME="sunrise.localhost", enforce_csrf_checks=True)
    response = strict.post(
        "/stripe-intent/",
        wanted(cart),
        content_type="application/json",
        headers={"Accept": "application/json"},
    )
    assert error_of(response, 403)["code"] == "form_expired"
    assert nothing_was_asked()


@pytest.mark.parametrize("token", ["nosuchcart", "x" * 40])
def test_an_unknown_cart(ask: Ask, shop: Shop, token: str) -> None:
    body = {"cart": token, "form_token": FORM_TOKEN, "expected_total": 3600}
    assert error_of(ask("/stripe-intent/", body), 404)["code"] == "cart_not_found"
    assert nothing_was_asked()


def test_another_businesss_cart_is_as_good_as_unknown(ask: Ask, shop: Shop, other_business: Business) -> None:
    theirs = Shop.make(business=other_business).cart()
    assert error_of(ask("/stripe-intent/", wanted(theirs)), 404)["code"] == "cart_not_found"
    theirs.refresh_from_db()
    assert theirs.state == "open"
    assert nothing_was_asked()


def test_a_changed_total_tells_the_new_one(ask: Ask, cart: Cart) -> None:
    error = error_of(ask("/stripe-intent/", wanted(cart, total=3500)), 409)
    assert error["code"] == "total_changed"
    assert error["details"] == {"total": 3600}
    assert nothing_was_asked()


def test_a_cart_that_became_an_order_is_not_paid_again(ask: Ask, cart: Cart, shop: Shop) -> None:
    order = desk.sell(
        business=shop.business,
        token=cart.token,
        method=Method.CASH,
        form_token="cash-form",
        expected_total_minor=3600,
        now=timezone.now(),
        staff=None,
    )
    error = error_of(ask("/stripe-intent/", wanted(cart)), 409)
    assert error["code"] == "already_paid"
    assert error["details"]["order"] == {"number": order.number, "receipt_url": f"/receipt/{order.token}/"}
    assert Payment.objects.filter(method="online").count() == 0


def test_without_keys_nobody_is_charged(ask: Ask, cart: Cart) -> None:
    StripeAccount.objects.update(state=StripeAccount.State.RETIRED)
    error = error_of(ask("/stripe-intent/", wanted(cart)), 503)
    assert error["code"] == "gateway_not_configured"
    assert error["money_moved"] is False
    assert nothing_was_asked()


def test_a_gateway_switched_off(ask: Ask, cart: Cart) -> None:
    PaymentSettings.objects.update(gateway="none")
    assert error_of(ask("/stripe-intent/", wanted(cart)), 503)["code"] == "gateway_not_configured"


def test_a_currency_that_is_not_supported(shop: Shop) -> None:
    dinar = LocationFactory.create(business=shop.business, currency="kwd")
    with pytest.raises(carts.CurrencyNotSupported):
        carts.open_cart(business=shop.business, location=dinar, now=timezone.now())


def test_a_guest_without_an_address(ask: Ask, cart: Cart) -> None:
    Cart.objects.update(guest_email="")
    assert error_of(ask("/stripe-intent/", wanted(cart)), 422)["code"] == "buyer_incomplete"


def test_guests_where_only_customers_may_pay(ask: Ask, cart: Cart) -> None:
    PaymentSettings.objects.update(guests_may_pay=False)
    assert error_of(ask("/stripe-intent/", wanted(cart)), 409)["code"] == "sign_in_first"
    assert nothing_was_asked()


def test_a_policy_has_to_be_accepted_as_it_reads_now(ask: Ask, cart: Cart, shop: Shop) -> None:
    PaymentSettings.objects.update(refund_policy="No refunds.", refund_popup=True)
    assert error_of(ask("/stripe-intent/", wanted(cart)), 422)["code"] == "policy_not_accepted"
    carts.accept_policy(business=shop.business, token=cart.token, now=timezone.now())
    PaymentSettings.objects.update(refund_policy="No refunds at all.")
    assert error_of(ask("/stripe-intent/", wanted(cart)), 422)["code"] == "policy_not_accepted"
    carts.accept_policy(business=shop.business, token=cart.token, now=timezone.now())
    assert ask("/stripe-intent/", wanted(cart)).status_code == 202


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        ('{"cart": "abc", ', 400, "malformed_json"),
        (" ", 400, "malformed_json"),
        ("\xff\xfe", 400, "malformed_json"),
        ("[" * 3000, 400, "malformed_json"),
        ("[]", 422, "invalid_request"),
        ("null", 422, "invalid_request"),
        ('"cart"', 422, "invalid_request"),
        ("{}", 422, "invalid_request"),
        (
            '{"cart": "a\\u0000b", "form_token": "form-token-of-tests", "expected_total": 1}',
            422,
            "invalid_request",
        ),
        (
            '{"cart": "abc", "form_token": "form-token-of-tests", "expected_total": "3600"}',
            422,
            "invalid_request",
        ),
        (
            '{"cart": "abc", "form_token": "form-token-of-tests", "expected_total": 36.5}',
            422,
            "invalid_request",
        ),
        (
            '{"cart": "abc", "form_token": "form-token-of-tests", "expected_total": true}',
            422,
            "invalid_request",
        ),
        (
            '{"cart": "abc", "form_token": "form-token-of-tests", "expected_total": -1}',
            422,
            "invalid_request",
        ),
        (
            '{"cart": "abc", "form_token": "form-token-of-tests", "expected_total": 1e30}',
            422,
            "invalid_request",
        ),
        ('{"cart": "abc", "form_token": "short", "expected_total": 1}', 422, "invalid_request"),
        ('{"cart": "abc", "form_token": "form token of tests", "expected_total": 1}', 422, "invalid_request"),
        ('{"cart": 5, "form_token": "form-token-of-tests", "expected_total": 1}', 422, "invalid_request"),
        (
            '{"cart": "abc", "form_token": "form-token-of-tests", "expected_total": 1, "amount": 5}',
            422,
            "invalid_request",
        ),
        (" " * 5000, 413, "body_too_large"),
    ],
)
def test_bodies_that_make_no_sense(ask: Ask, shop: Shop, raw: str, status: int, code: str) -> None:
    data = raw.encode("latin-1")
    assert error_of(ask("/stripe-intent/", raw=data), status)["code"] == code
    assert nothing_was_asked()


def test_what_is_wrong_is_named_without_repeating_what_was_sent(ask: Ask, shop: Shop) -> None:
    error = error_of(ask("/stripe-intent/", {"cart": "abc", "sk_live_secret": 1}), 422)
    fields = {problem["field"]: problem["problem"] for problem in error["details"]["fields"]}
    assert fields == {
        "form_token": "is missing",
        "expected_total": "is missing",
        "sk_live_secret": "is not known here",
    }


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_wrong_content_type(ask: Ask, cart: Cart, content_type: str) -> None:
    response = ask("/stripe-intent/", raw=b"{}", content_type=content_type)
    assert error_of(response, 415)["code"] == "wrong_content_type"


def test_a_wrong_method(client: Client, shop: Shop) -> None:
    response = client.get("/stripe-intent/", headers={"Accept": "application/json"})
    assert error_of(response, 405)["code"] == "method_not_allowed"
    assert response["Allow"] == "POST"


def test_a_person_gets_a_page(client: Client, shop: Shop) -> None:
    response = client.get(f"/stripe-intent/{uuid.uuid4()}/", headers={"Accept": "text/html"})
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")
    assert b"We cannot find this payment." in response.content


class TestStatus:
    @pytest.fixture
    def payment(self, ask: Ask, cart: Cart) -> Payment:
        ask("/stripe-intent/", wanted(cart))
        payment = Payment.objects.get()
        Payment.objects.update(
            state=PaymentState.AWAITING, intent_id="pi_1", client_secret_sealed=seal("pi_1_secret_2")
        )
        payment.refresh_from_db()
        return payment

    def url(self, payment: Payment) -> str:
        return f"/stripe-intent/{payment.public_id}/"

    def test_the_payers_browser_gets_the_client_secret(self, client: Client, payment: Payment) -> None:
        response = client.get(self.url(payment))
        answer = response.json()
        assert answer["state"] == "awaiting"
        assert answer["client_secret"] == "pi_1_secret_2"
        assert answer["publishable_key"].startswith("pk_test_")
        assert answer["amount"] == 3600
        assert answer["currency"] == "usd"
        assert answer["is_final"] is False
        assert answer["order"] is None
        assert response["Cache-Control"] == "no-store"

    def test_nobody_else_sees_it(self, payment: Payment) -> None:
        assert Client(SERVER_NAME="sunrise.localhost").get(self.url(payment)).status_code == 404

    def test_who_holds_the_link_sees_the_state_and_no_secret(self, payment: Payment, cart: Cart) -> None:
        stranger = Client(SERVER_NAME="sunrise.localhost")
        answer = stranger.get(self.url(payment), {"cart": cart.token}).json()
        assert answer["is_payer"] is False
        assert "client_secret" not in answer
        assert answer["message"] == "This order is being paid on another device."

    def test_another_carts_link_shows_nothing(self, payment: Payment, shop: Shop) -> None:
        stranger = Client(SERVER_NAME="sunrise.localhost")
        assert stranger.get(self.url(payment), {"cart": shop.cart().token}).status_code == 404

    def test_another_business_does_not_know_it(
        self, payment: Payment, cart: Cart, other_business: Business, sign_in: Callable[[Profile], Client]
    ) -> None:
        staff = sign_in(StaffFactory.create(business=other_business, groups=["store"]))
        assert staff.get(self.url(payment), {"cart": cart.token}).status_code == 404

    def test_the_signed_in_customer_may_pay_elsewhere(
        self, payment: Payment, business: Business, sign_in: Callable[[Profile], Client]
    ) -> None:
        customer = ProfileFactory.create(business=business)
        Payment.objects.update(customer=customer)
        assert "client_secret" in sign_in(customer).get(self.url(payment)).json()

    def test_staff_may_see_it_and_a_tampered_cookie_may_not(
        self, payment: Payment, business: Business, sign_in: Callable[[Profile], Client]
    ) -> None:
        assert (
            "client_secret" in sign_in(StaffFactory.create(business=business)).get(self.url(payment)).json()
        )
        forger = Client(SERVER_NAME="sunrise.localhost")
        forger.cookies["payer"] = "x" * 43
        assert forger.get(self.url(payment)).status_code == 404

    def test_after_the_end_there_is_no_secret(self, client: Client, payment: Payment) -> None:
        Payment.objects.update(state=PaymentState.CANCELLED, client_secret_sealed="", next_check_at=None)
        answer = client.get(self.url(payment)).json()
        assert answer["is_final"] is True
        assert "client_secret" not in answer
        assert answer["money_moved"] is False

    def test_a_decline_says_what_to_do(self, client: Client, payment: Payment) -> None:
        Payment.objects.update(state=PaymentState.DECLINED, decline_code="insufficient_funds")
        answer = client.get(self.url(payment)).json()
        assert answer["message"] == "The card does not have enough money."
        assert "not charged" in answer["next"]
        assert answer["client_secret"]

    def test_cancel_is_a_request(self, ask: Ask, payment: Payment) -> None:
        response = ask(self.url(payment) + "cancel/")
        assert response.status_code == 202
        assert response.json()["state"] == "cancelling"
        assert Job.objects.filter(name="cancel_intent").count() == 1

    def test_the_link_is_enough_to_cancel_on_another_device(
        self, ask: Ask, payment: Payment, cart: Cart
    ) -> None:
        stranger = Client(SERVER_NAME="sunrise.localhost")
        assert ask(self.url(payment) + "cancel/", browser=stranger).status_code == 404
        answer = ask(self.url(payment) + "cancel/", {"cart": cart.token}, browser=stranger)
        assert answer.status_code == 202

    def test_a_check_queues_a_read_once(self, ask: Ask, payment: Payment) -> None:
        for _ in range(3):
            assert ask(self.url(payment) + "check/", {}).status_code == 202
        assert Job.objects.filter(name="read_intent").count() == 1

    def test_a_check_takes_no_unknown_fields(self, ask: Ask, payment: Payment) -> None:
        assert (
            error_of(ask(self.url(payment) + "check/", {"state": "succeeded"}), 422)["code"]
            == "invalid_request"
        )

    def test_held_money_is_said_to_have_moved(
        self, ask: Ask, client: Client, payment: Payment, cart: Cart
    ) -> None:
        Payment.objects.update(
            state=PaymentState.HELD, held_reason="amount", client_secret_sealed="", next_check_at=None
        )
        assert client.get(self.url(payment)).json()["money_moved"] is True
        error = error_of(ask("/stripe-intent/", wanted(cart, form_token="another-form-token")), 409)
        assert error["code"] == "money_held"
        assert error["money_moved"] is True
