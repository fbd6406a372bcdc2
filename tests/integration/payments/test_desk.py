"""Sales at the desk: paid and ordered in one step, once, however often the button is pressed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tests.factories import StaffFactory
from tests.shop import Shop, waiting
from web.payments.models import Cart, Method, Order, Payment
from web.payments.operations import carts, desk, intents
from web.payments.operations.intents import PaymentUnderWay
from web.payments.queries.quotes import quote

pytestmark = pytest.mark.django_db


def sell(shop: Shop, cart: Cart, **changes: Any) -> Order:
    given: dict[str, Any] = {
        "business": shop.business,
        "token": cart.token,
        "method": Method.CASH,
        "form_token": "form-of-the-tests-1",
        "expected_total_minor": quote(cart).totals.total.amount,
        "now": timezone.now(),
        "staff": None,
    }
    return desk.sell(**(given | changes))


def test_cash_makes_the_order_and_a_receipt_job() -> None:
    shop = Shop.make()
    staff = StaffFactory.create(business=shop.business)
    order = sell(shop, shop.cart(), staff=staff)
    payment = Payment.objects.get()
    assert (payment.method, payment.state, payment.order) == ("cash", "succeeded", order)
    assert payment.created_by == staff
    assert not Cart.objects.exists()
    assert waiting("send_receipt") == 1


def test_the_same_form_again_returns_the_same_order() -> None:
    shop = Shop.make()
    cart = shop.cart()
    total = quote(cart).totals.total.amount
    first = sell(shop, cart)
    assert sell(shop, cart, expected_total_minor=total) == first
    with pytest.raises(intents.AlreadyPaid):
        sell(shop, cart, expected_total_minor=total, form_token="another-form-token")
    assert Payment.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_tills_at_once_sell_once() -> None:
    shop = Shop.make()
    cart = shop.cart()
    outcomes: list[str] = []

    def press(number: int) -> None:
        try:
            sell(shop, cart, form_token=f"form-of-till-{number}-x")
            outcomes.append("sold")
        except intents.AlreadyPaid:
            outcomes.append("already paid")
        finally:
            connection.close()

    threads = [threading.Thread(target=press, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["already paid"] * 3 + ["sold"]
    assert Order.objects.count() == Payment.objects.count() == 1


def test_complimentary_needs_a_reason_and_keeps_it() -> None:
    shop = Shop.make()
    cart = shop.cart()
    with pytest.raises(desk.ReasonMissing):
        sell(shop, cart, method=Method.COMPLIMENTARY, note="  ")
    order = sell(shop, cart, method=Method.COMPLIMENTARY, note="teacher's birthday")
    assert order.payments.get().note == "teacher's birthday"


def test_not_beside_a_live_payment_and_not_at_another_total() -> None:
    shop = Shop.make()
    cart = shop.cart()
    with pytest.raises(intents.TotalChanged) as caught:
        sell(shop, cart, expected_total_minor=1)
    assert caught.value.details["total"] == quote(cart).totals.total
    shop.request(cart)
    cart.refresh_from_db()
    with pytest.raises(PaymentUnderWay):
        sell(shop, cart)


@pytest.mark.parametrize(
    "change",
    [
        lambda shop, cart: carts.set_quantity(
            business=shop.business, token=cart.token, item_id=shop.item.id, quantity=2
        ),
        lambda shop, cart: carts.set_tip(business=shop.business, token=cart.token, percent=10),
        lambda shop, cart: carts.set_buyer(
            business=shop.business, token=cart.token, name="Eve", email="eve@example.com"
        ),
    ],
)
def test_a_cart_that_is_being_paid_does_not_change(change: Callable[[Shop, Cart], object]) -> None:
    shop = Shop.make()
    cart = shop.cart()
    shop.request(cart)
    with pytest.raises(carts.CartFrozen):
        change(shop, cart)


def test_another_business_never_finds_the_cart() -> None:
    shop, other = Shop.make(), Shop.make()
    cart = shop.cart()
    with pytest.raises(carts.CartNotFound):
        sell(other, cart)
    with pytest.raises(carts.CartNotFound):
        other.request(cart)
