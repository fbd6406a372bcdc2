"""The till beside selling: discounts for who may give them, carts due on arrival, a customer's saved cards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import StaffFactory
from tests.integration.checkout.test_pages import cart_url, page
from tests.shop import Shop
from tests.stored import Desk
from web.core.models import Profile
from web.payments.models import Cart, PaymentSettings
from web.payments.operations import carts
from web.payments.queries.quotes import quote

SignIn = Callable[[Profile], Client]
DISCOUNT = "/checkout/till/discount/"


@pytest.fixture
def desk(shop: Shop) -> Desk:
    return Desk(shop)


@pytest.fixture
def till(desk: Desk, sign_in: SignIn) -> Client:
    return sign_in(desk.staff)


def total(cart: Cart) -> int:
    return quote(Cart.objects.get(id=cart.id)).totals.total.amount


def test_a_discount_is_given_shown_and_taken_back(till: Client, desk: Desk) -> None:
    cart = desk.cart()
    assert "Take it off" in page(till.get(cart_url(cart)))
    form = {"cart": cart.token, "off": "12,5", "unit": "percent", "reason": "A friend"}
    assert till.post(DISCOUNT, form)["Location"] == cart_url(cart)
    assert "$4.50: A friend" in page(till.get(cart_url(cart)))
    assert total(cart) == 3150
    till.post(DISCOUNT, form | {"off": "10.00", "unit": "amount"})
    assert total(cart) == 2600
    till.post(DISCOUNT, {"cart": cart.token, "unit": "none"})
    assert total(cart) == 3600


@pytest.mark.parametrize(
    ("off", "unit", "reason"),
    [
        ("", "percent", "A friend"),
        ("10", "percent", ""),
        ("10", "gold", "A friend"),
        ("nan", "percent", "A friend"),
        ("Infinity", "percent", "A friend"),
        ("abc", "percent", "A friend"),
        ("101", "percent", "A friend"),
        ("1.001", "amount", "A friend"),
    ],
)
def test_discounts_that_make_no_sense(till: Client, desk: Desk, off: str, unit: str, reason: str) -> None:
    cart = desk.cart()
    form = {"cart": cart.token, "off": off, "unit": unit, "reason": reason}
    html = page(till.post(DISCOUNT, form), 422)
    assert f'name="off" inputmode="decimal" autocomplete="off" maxlength="14" value="{off}"' in html
    assert total(cart) == 3600


def test_who_may_not_give_discounts_sees_no_form_and_gives_none(desk: Desk, sign_in: SignIn) -> None:
    cart = desk.cart()
    till = sign_in(StaffFactory.create(business=desk.business, groups=["store"]))
    assert "Take it off" not in page(till.get(cart_url(cart)))
    form = {"cart": cart.token, "off": "10", "unit": "percent", "reason": "A friend"}
    assert till.post(DISCOUNT, form).status_code == 403
    assert total(cart) == 3600


def test_carts_to_be_paid_on_arrival_are_listed_and_open_at_the_till(till: Client, desk: Desk) -> None:
    PaymentSettings.objects.filter(business=desk.business).update(pays_on_arrival=True)
    assert "To be paid on arrival" not in page(till.get("/checkout/"))
    cart = desk.cart()
    carts.pay_on_arrival(business=desk.business, token=cart.token, now=timezone.now(), payer=desk.customer)
    html = page(till.get("/checkout/"))
    assert f'<a href="{cart_url(cart)}">Mina Kim</a></span><span class="line-amount">$36.00' in html
    assert "Cash" in page(till.get(cart_url(cart)))


def test_saved_cards_are_one_tap_from_the_customer_where_they_are_kept(till: Client, desk: Desk) -> None:
    cart = desk.cart()
    link = f'href="/list-payment-cards/?customer={desk.customer.id}"'
    assert link not in page(till.get(cart_url(cart)))
    PaymentSettings.objects.filter(business=desk.business).update(keeps_cards=True)
    assert link in page(till.get(cart_url(cart)))
    page(till.get(f"/list-payment-cards/?customer={desk.customer.id}"))
