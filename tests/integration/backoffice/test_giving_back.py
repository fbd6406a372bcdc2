"""The pages that give money back: two steps, one refund however often it is clicked, and who may not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from tests.factories import PASSWORD, StaffFactory
from tests.giving_back import ask, paid_by_card, succeed, tell
from tests.shop import Shop
from web.core.models import Business, Profile
from web.payments.models import (
    BulkRefund,
    Dispute,
    Order,
    Payment,
    PaymentSettings,
    Reader,
    ReaderAction,
    Refund,
)
from web.payments.money import Money
from web.payments.operations.refund_shares import Part
from web.payments.states import RefundState

pytestmark = pytest.mark.django_db
SignIn = Callable[[Profile], Client]


@pytest.fixture
def shop(business: Business) -> Shop:
    return Shop.make(business=business)


@pytest.fixture
def manager(business: Business, sign_in: SignIn) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=["purchases", "refunds"]))


@pytest.fixture
def clerk(business: Business, sign_in: SignIn) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=["purchases", "store", "checkin"]))


def order_of(payment: Payment) -> Order:
    assert payment.order is not None
    return payment.order


def url(payment: Payment) -> str:
    return f"/purchases/{order_of(payment).number}/refund/"


def hidden(html: str) -> dict[str, str]:
    """Return the hidden fields of the page's form, as a browser would send them."""
    return dict(re.findall(r'<input type="hidden" name="(?!csrf)([^"]+)" value="([^"]*)">', html))


ALL: dict[str, Any] = {"how": "whole", "destination": "method", "reason": "class cancelled", "step": "check"}


def test_a_refund_in_two_steps(manager: Client, shop: Shop) -> None:
    payment = paid_by_card(shop, quantity=2)
    number = order_of(payment).number
    assert f"/purchases/{number}/refund/" in manager.get(f"/purchases/{number}/").content.decode()
    form = manager.get(url(payment)).content.decode()
    assert 'value="72.00"' in form  # what is left, prefilled
    second = manager.post(url(payment), {**ALL, "how": "amount", "amount": "12.50"}).content.decode()
    assert "Give $12.50 back" in second
    assert "•••• 4242" in second
    assert not Refund.objects.exists()  # nothing yet
    fields = {**hidden(second), "step": "give"}
    for _ in range(2):  # the same click twice
        answer = manager.post(url(payment), fields, follow=True)
        told = answer.content.decode()
        assert "$12.50 is being given back." in told
        assert "notice-money" not in told, "what the page calls money is not the notice's"
    refund = Refund.objects.get()
    assert (refund.amount_minor, refund.reason, refund.state) == (1250, "class cancelled", "requested")
    assert refund.created_by is not None
    page = manager.get(f"/purchases/{number}/").content.decode()
    for shown in ("On its way back", "Refund asked for", f"/purchases/{number}/refunds/", "Withdraw"):
        assert shown in page
    timeline = page[page.index('class="timeline"') :]
    assert str(refund.created_by.name) in timeline
    assert f"staff {refund.created_by.id}" not in timeline
    tell(payment, RefundState.SUCCEEDED, refund=str(refund.public_id), amount=1250)
    fragment = manager.get(f"/purchases/{number}/refunds/").content.decode()
    assert "$59.50" in fragment  # net
    assert "hx-get" not in fragment  # nothing under way: it stops asking


def test_a_refund_by_item_and_by_percent(manager: Client, shop: Shop) -> None:
    payment = paid_by_card(shop, quantity=3)
    line = order_of(payment).lines.get()
    second = manager.post(url(payment), {**ALL, "how": "items", f"line_{line.id}": "2"}).content.decode()
    assert "Give $72.00 back" in second
    assert "2 \N{MULTIPLICATION SIGN} Yoga mat" in second
    third = manager.post(url(payment), {**ALL, "how": "percent", "percent": "12.5"}).content.decode()
    assert "Give $13.50 back" in third
    edited = manager.post(url(payment), {**hidden(third), "step": "edit"})
    assert edited.status_code == 200
    assert 'value="12.5"' in edited.content.decode()


def test_the_last_click_twice_where_nothing_of_the_item_is_left_after_the_first(
    manager: Client, shop: Shop
) -> None:
    payment = paid_by_card(shop)
    line = order_of(payment).lines.get()
    second = manager.post(url(payment), {**ALL, "how": "items", f"line_{line.id}": "1"}).content.decode()
    fields = {**hidden(second), "step": "give"}
    for _ in range(2):
        answer = manager.post(url(payment), fields, follow=True)
        assert "$36.00 is being given back." in answer.content.decode()
    assert Refund.objects.get().amount_minor == 3600


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"how": "amount", "amount": "12,5"}, "Enter an amount"),
        ({"how": "amount", "amount": "0"}, "This is not an amount"),
        ({"how": "amount", "amount": "36.01"}, "more than is left"),
        ({"how": "percent", "percent": ""}, "Enter a percentage"),
        ({"how": "percent", "percent": "101"}, "less than or equal to 100"),
        ({"how": "items"}, "Say how many"),
        ({"how": "all"}, "Select a valid choice"),
        ({"reason": ""}, "This field is required"),
        ({"destination": "moon"}, "Select a valid choice"),
        ({"step": "give", "expected": "100", "form_token": "x" * 30}, "no longer what the page showed"),
    ],
)
def test_what_makes_no_sense_is_said_beside_it(
    manager: Client, shop: Shop, typed: dict[str, str], words: str
) -> None:
    payment = paid_by_card(shop)
    answer = manager.post(url(payment), {**ALL, **typed})
    assert answer.status_code in (409, 422)
    assert words in answer.content.decode()
    assert not Refund.objects.exists()


def test_the_refusal_shows_the_refund_that_is_under_way(manager: Client, shop: Shop) -> None:
    payment = paid_by_card(shop)
    ask(payment, Part(Money(1000, "usd")), reason="the first one")
    answer = manager.post(url(payment), ALL)
    assert answer.status_code == 409
    for shown in ("Another refund of this payment is under way", "the first one", "$10.00"):
        assert shown in answer.content.decode()


def test_without_the_right_there_is_no_button_and_no_refund(
    clerk: Client, client: Client, shop: Shop
) -> None:
    payment = paid_by_card(shop)
    number = order_of(payment).number
    assert "Give money back" not in clerk.get(f"/purchases/{number}/").content.decode()
    for address in (
        url(payment), f"/purchases/payments/{payment.public_id}/refund/",
        f"/purchases/payments/{payment.public_id}/attach/", "/purchases/refunds/",
    ):  # fmt: skip
        assert clerk.post(address, {**ALL, "step": "give"}).status_code == 403, address
        assert client.post(address, {**ALL, "step": "give"}).status_code == 302, (
            address
        )  # to the sign-in page
    assert not Refund.objects.exists()


def test_another_businesss_objects_are_not_there(manager: Client, other_business: Business) -> None:
    theirs = Shop.make(business=other_business, price_minor=36000)
    payment = paid_by_card(theirs)
    (refund,) = ask(payment).refunds
    bulk = BulkRefund.objects.create(
        business=other_business, item=theirs.item, item_name="x", reason="x", form_token="x", created_at=timezone.now()
    )  # fmt: skip
    for address in (
        url(payment), f"/purchases/{order_of(payment).number}/refunds/",
        f"/purchases/refunds/{bulk.public_id}/",
    ):  # fmt: skip
        assert manager.get(address).status_code == 404, address
    for address in (
        url(payment), f"/purchases/refunds/{refund.public_id}/withdraw/",
        f"/purchases/payments/{payment.public_id}/refund/", f"/purchases/payments/{payment.public_id}/attach/",
        f"/purchases/refunds/{bulk.public_id}/resume/",
    ):  # fmt: skip
        assert manager.post(address, ALL).status_code == 404, address
    wrong_item = manager.post(
        "/purchases/refunds/", {"item": str(theirs.item.id), "reason": "x", "step": "check"}
    )
    assert wrong_item.status_code == 422
    assert Refund.objects.get().state == RefundState.REQUESTED


def test_withdraw(manager: Client, shop: Shop) -> None:
    payment = paid_by_card(shop)
    (refund,) = ask(payment).refunds
    answer = manager.post(f"/purchases/refunds/{refund.public_id}/withdraw/", follow=True)
    assert "withdrawn" in answer.content.decode()
    payment.refresh_from_db()
    assert payment.refunded_minor == 0


def test_held_money_is_given_back_in_one_click_or_completes_its_sale(manager: Client, shop: Shop) -> None:
    held = succeed(shop.request(shop.cart()), amount=Money(100, "usd"))
    page = manager.get("/purchases/").content.decode()
    assert "Give $1.00 back" in page
    assert "Complete the sale with it" not in page  # it is not what was asked for
    address = f"/purchases/payments/{held.public_id}/refund/"
    assert address in page
    for _ in range(2):  # the same click twice
        manager.post(address, hidden(page))
    refund = Refund.objects.get()
    assert (refund.amount_minor, refund.reason) == (100, "The amount is not what was asked for")
    page = manager.get("/purchases/").content.decode()
    assert "It is being given back." in page
    assert "It is being given back" not in manager.get("/purchases/?q=nothing").content.decode()


def test_disputes_stand_on_the_order_and_on_top(manager: Client, shop: Shop) -> None:
    payment = paid_by_card(shop)
    now = timezone.now()
    Dispute.objects.create(
        business=shop.business, account=shop.account, payment=payment, stripe_dispute_id="dp_1",
        charge_id="ch_x", amount_minor=3600, currency="usd", reason="fraudulent", status="needs_response",
        evidence_due_at=now, taken_minor=3600, fee_minor=1500, fee_currency="usd", snapshot_at=now, opened_at=now,
    )  # fmt: skip
    page = manager.get(f"/purchases/{order_of(payment).number}/").content.decode()
    for shown in (
        "Needs an answer",
        "it was not them",
        "Answer at Stripe until",
        "Taken back by the bank",
        "$0.00",
    ):
        assert shown in page
    assert "dp_1" in manager.get("/purchases/").content.decode()
    answer = manager.post(url(payment), ALL)
    assert (answer.status_code, Refund.objects.count()) == (409, 0)
    assert "The cardholder disputes this payment" in answer.content.decode()


def test_one_item_for_everybody(manager: Client, shop: Shop) -> None:
    paid_by_card(shop)
    paid_by_card(shop, quantity=2)
    asked = {"item": str(shop.item.id), "reason": "teacher is ill", "step": "check"}
    second = manager.post("/purchases/refunds/", asked).content.decode()
    assert "Give $108.00 back?" in second
    assert "Refund 2 orders" in second
    answers = [
        manager.post("/purchases/refunds/", {**hidden(second), "step": "give"}, follow=True) for _ in range(2)
    ]
    bulk = BulkRefund.objects.get()
    for answer in answers:
        assert "0 of 2 orders asked for" in answer.content.decode()
    fragment = manager.get(f"/purchases/refunds/{bulk.public_id}/", headers={"hx-request": "true"})
    assert "<html" not in fragment.content.decode()
    future = manager.post("/purchases/refunds/", {**asked, "since": "2099-01-01"})
    assert future.status_code == 409


def test_an_interac_card_is_given_its_money_back_at_a_reader(
    manager: Client, shop: Shop, business: Business
) -> None:
    """The second step asks at which reader; its state is shown with the refund, and it can be called off there."""
    payment = paid_by_card(shop)
    Payment.objects.update(card_brand="interac")
    second = manager.post(url(payment), ALL)
    assert "can only be refunded with the card on a reader" in second.content.decode()  # there is none
    reader = Reader.objects.create(
        business=business, account=shop.account, location=shop.location, state="ready", label="Counter",
        stripe_reader_id="tmr_1", created_at=timezone.now(),
    )  # fmt: skip
    second_step = manager.post(url(payment), ALL).content.decode()
    assert f'<option value="{reader.public_id}">Counter' in second_step
    fields = {**hidden(second_step), "step": "give"}
    without = manager.post(url(payment), fields)
    assert (without.status_code, Refund.objects.exists()) == (409, False)
    number = order_of(payment).number
    for _ in range(2):
        manager.post(url(payment), {**fields, "reader": str(reader.public_id)})
    refund = Refund.objects.get()
    place = ReaderAction.objects.get()
    assert (place.refund_id, place.reader_id, place.state) == (refund.id, reader.id, "queued")
    page = manager.get(f"/purchases/{number}/").content.decode()
    assert "The refund waits for the reader." in page
    assert "Put into the queue of a reader" in page
    withdrawal = f"/purchases/refunds/{refund.public_id}/withdraw/"
    ReaderAction.objects.update(
        state="sending", sent_at=timezone.now(), deadline_at=timezone.now(), next_poll_at=timezone.now()
    )
    ReaderAction.objects.update(state="waiting")
    Refund.objects.update(state="submitting")
    fragment = manager.get(f"/purchases/{number}/refunds/").content.decode()
    assert "Present the card that paid." in fragment
    assert withdrawal in fragment
    answer = manager.post(withdrawal, follow=True).content.decode()
    assert "is being taken off its reader" in answer
    assert "Cancelling" in answer
    assert withdrawal not in answer
    place.refresh_from_db()
    assert (place.state, Refund.objects.get().state) == ("cancelling", "submitting")


def test_above_the_limit_of_a_day_it_is_confirmed_first(
    shop: Shop, business: Business, client: Client
) -> None:
    """By who asks, over all that they gave back in a day; what was asked for is not asked for again."""
    PaymentSettings.objects.update_or_create(business=business, defaults={"refund_limit_minor": 5000})
    person = StaffFactory.create(business=business, groups=["purchases", "refunds"])
    with time_machine.travel(timezone.now(), tick=False) as clock:
        client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
        clock.shift(700)  # the password was given too long ago
        first, second = paid_by_card(shop), paid_by_card(shop)
        page = client.post(url(first), ALL).content.decode()  # 36.00: within the limit
        client.post(url(first), {**hidden(page), "step": "give"})
        given = Refund.objects.get()

        for step in ("check", "give"):  # who skips the first page is asked as well
            answer = client.post(url(second), {**ALL, "how": "amount", "amount": "14.01", "step": step})
            assert (answer.status_code, answer.headers["Location"].startswith("/accounts/confirm/")) == (
                302,
                True,
            )
            held = client.post(f"/purchases/payments/{second.public_id}/refund/", {"expected": "3600"})
            assert held.headers["Location"].startswith("/accounts/confirm/")
        assert list(Refund.objects.all()) == [given]

        back = answer.headers["Location"].partition("next=")[2]
        client.post("/accounts/confirm/", {"password": PASSWORD, "next": unquote(back)})
        page = client.get(unquote(back)).content.decode()
        assert "Give $14.01 back" in page
        client.post(url(second), {**hidden(page), "step": "give"})
        assert Refund.objects.exclude(id=given.id).get().amount_minor == 1401
