"""Charging on a card reader from the till, without JavaScript: every form of the reader strip and what it refuses."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import ProfileFactory, StaffFactory
from tests.integration.checkout.test_pages import cart_url, in_one_payment, page
from tests.shop import Shop
from web.core.models import Business, Profile
from web.payments.models import Cart, Payment, Reader, ReaderAction
from web.payments.states import ActionState, PaymentState

SignIn = Callable[[Profile], Client]


def reader_of(shop: Shop, label: str = "Front desk") -> Reader:
    return Reader.objects.create(
        business=shop.business,
        account=shop.account,
        location=shop.location,
        state=Reader.State.READY,
        label=label,
        stripe_reader_id=f"tmr_{uuid.uuid4().hex}",
        created_at=timezone.now(),
    )


@pytest.fixture
def reader(shop: Shop) -> Reader:
    return reader_of(shop)


@pytest.fixture
def dana(business: Business) -> Profile:
    return StaffFactory.create(business=business, groups=["store"], name="Dana Desk")


@pytest.fixture
def till(dana: Profile, shop: Shop, cart: Cart, sign_in: SignIn) -> Client:
    Cart.objects.filter(id=cart.id).update(location=shop.location, created_by=dana)
    return sign_in(dana)


def charge(till: Client, cart: Cart, on: Reader, /, **changes: Any) -> Any:
    body = {
        "cart": cart.token,
        "reader": on.public_id,
        "expected_total": "3600",
        "form_token": f"form-of-the-charge-{cart.id}",
        **changes,
    }
    return till.post("/checkout/till/charge/", body)


def ends(state: str, payment_state: str, **facts: Any) -> None:
    """Bring the one payment on a reader to a state, as the worker would have written it."""
    actions = ReaderAction.objects.filter(finished_at=None)
    payments = Payment.objects.filter(id=actions.get().payment_id)
    now = timezone.now()
    actions.update(state=ActionState.SENDING, sent_at=now, deadline_at=now, next_poll_at=now)
    if state == ActionState.FAILED:
        code = facts["failure_code"]
        actions.update(state=state, failure_code=code, finished_at=now, next_poll_at=None)
    else:
        actions.update(state=state)
    payments.update(state=payment_state, decline_code=facts.get("decline_code", ""))


def test_charging_queues_the_payment_and_the_strip_follows_it(
    till: Client, cart: Cart, reader: Reader
) -> None:
    html = page(till.get(cart_url(cart)))
    assert "Charge $36.00" in html
    assert "Front desk" in html
    for _ in range(2):
        assert charge(till, cart, reader)["Location"] == cart_url(cart)
    action = ReaderAction.objects.get()
    assert (action.state, action.payment.amount_minor, action.payment.method) == ("queued", 3600, "terminal")
    html = page(till.get(cart_url(cart)))
    for shown in (
        "Waiting for the reader.",
        "Queued",
        'data-follow="',
        "Serve the next one",
        'aria-current="step"',
    ):
        assert shown in html
    assert "Approved" in html, "the step is named"
    assert 'data-kind="waiting"' in html, "and not reached"


def test_the_queue_names_who_holds_the_reader_and_for_how_much(
    till: Client, shop: Shop, cart: Cart, reader: Reader, business: Business, sign_in: SignIn
) -> None:
    hana = sign_in(StaffFactory.create(business=business, groups=["store"], name="Hana Front"))
    other = shop.cart(quantity=2)
    charge(hana, other, reader, expected_total="7200")
    charge(till, cart, reader)
    html = page(till.get(cart_url(cart)))
    for shown in ("Hana Front", "$72.00", "This sale", "next, after one other"):
        assert shown in html
    assert "Hana Front" in page(till.get(cart_url(shop.cart()))), "the reader says who has it"


def test_another_reader_takes_over(till: Client, shop: Shop, cart: Cart, reader: Reader) -> None:
    door = reader_of(shop, "Studio door")
    charge(till, cart, reader)
    body = {"cart": cart.token, "action": ReaderAction.objects.get().public_id, "reader": door.public_id}
    till.post("/checkout/till/charge/hand-over/", body)
    assert ReaderAction.objects.get(finished_at=None).reader == door


def test_a_decline_is_told_to_staff_and_tried_again_on_the_same_payment(
    till: Client, cart: Cart, reader: Reader
) -> None:
    charge(till, cart, reader)
    ends("failed", PaymentState.DECLINED, failure_code="card_declined", decline_code="insufficient_funds")
    html = page(till.get(cart_url(cart)))
    for shown in (
        "Declined: there is not enough money on the card.",
        "The customer was not charged.",
        "Try again",
    ):
        assert shown in html
    assert "You were not charged" not in html
    charge(till, cart, reader, form_token="form-of-the-second-try")
    assert ReaderAction.objects.count() == 2
    assert Payment.objects.count() == 1, "the same payment, the same intent"


def test_the_strip_says_approved_only_of_money_that_came(till: Client, cart: Cart, reader: Reader) -> None:
    charge(till, cart, reader)
    ends("waiting", PaymentState.AWAITING)
    ReaderAction.objects.update(
        state=ActionState.SUCCEEDED, finished_at=timezone.now(), next_poll_at=None
    )  # the reader is done; its intent has not said so yet
    html = page(till.get(f"/checkout/till/state/?cart={cart.token}"))
    assert 'data-kind="ok"' not in html
    assert "badge-ok" not in html


def test_cancelling_is_certain_at_once_only_in_the_queue(till: Client, cart: Cart, reader: Reader) -> None:
    charge(till, cart, reader)
    body = {"cart": cart.token, "action": ReaderAction.objects.get().public_id}
    assert till.post("/checkout/till/charge/cancel/", body)["Location"] == cart_url(cart)
    assert Payment.objects.get().state == "cancelled"
    html = page(till.get(cart_url(cart)))
    assert "The payment was cancelled. Nothing was charged." in html
    assert "Scan or type an item" in html, "the sale can be changed again"
    charge(till, cart, reader, form_token="form-of-another-charge")
    ends("waiting", PaymentState.AWAITING)
    body["action"] = ReaderAction.objects.get(finished_at=None).public_id
    till.post("/checkout/till/charge/cancel/", body)
    assert Payment.objects.filter(state="cancelling").count() == 1
    assert "Cancelling…" in page(till.get(cart_url(cart)))


def test_nothing_new_costs_no_body_although_forms_carry_new_tokens(
    till: Client, cart: Cart, reader: Reader
) -> None:
    charge(till, cart, reader)
    ends("failed", PaymentState.DECLINED, failure_code="card_declined")
    address = f"/checkout/till/state/?cart={cart.token}"
    first = till.get(address)
    assert "form_token" in page(first)
    again = till.get(address, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"reader": "nonsense"}, 404),
        ({"reader": uuid.UUID(int=1)}, 404),
        ({"expected_total": "3500"}, 409),
        ({"expected_total": "x"}, 422),
        ({"cart": "nosuchcart"}, 404),
    ],
)
def test_charges_that_make_no_sense(
    till: Client, cart: Cart, reader: Reader, changes: dict[str, Any], status: int
) -> None:
    page(charge(till, cart, reader, **changes), status)
    assert not Payment.objects.exists()


def test_another_businesss_reader_and_action_do_not_exist(
    till: Client, cart: Cart, reader: Reader, other_business: Business
) -> None:
    theirs = Shop.make(business=other_business)
    page(charge(till, cart, reader_of(theirs)), 404)
    assert not Payment.objects.exists()
    body = {"cart": cart.token, "action": uuid.uuid4(), "reader": reader.public_id}
    page(till.post("/checkout/till/charge/cancel/", body), 404)
    page(till.post("/checkout/till/charge/hand-over/", body), 404)
    page(till.post("/checkout/till/charge/capture/", {"cart": cart.token, "payment": uuid.uuid4()}), 404)


def test_it_is_closed_to_customers(business: Business, cart: Cart, reader: Reader, sign_in: SignIn) -> None:
    customer = sign_in(ProfileFactory.create(business=business))
    assert charge(customer, cart, reader).status_code == 403


def test_the_receipt_at_the_till_leads_on(till: Client, shop: Shop, cart: Cart, dana: Profile) -> None:
    in_one_payment(shop, cart)
    html = page(till.get(f"/receipt/{cart.token}/"))
    assert "Paid $36.00" in re.sub(r"\s+", " ", html)
    assert "New sale" in html
    assert "Previous sale" in html


def test_who_may_refund_finds_the_previous_sales_refund(
    till: Client, shop: Shop, cart: Cart, business: Business, sign_in: SignIn
) -> None:
    order = in_one_payment(shop, cart)
    address = f'href="/purchases/{order.number}/refund/"'
    assert address not in page(till.get("/checkout/")), "not without the right"
    hana = StaffFactory.create(business=business, groups=["store", "refunds"])
    type(order).objects.filter(id=order.id).update(created_by=hana)
    browser = sign_in(hana)
    assert address in page(browser.get("/checkout/"))
    assert address in page(browser.get(f"/receipt/{order.token}/"))
