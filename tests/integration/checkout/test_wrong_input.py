"""Wrong input, asked as a page and as JSON: a clear message either way, and nothing moved."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from tests.factories import ItemFactory
from tests.shop import Shop
from web.core.models import Location
from web.payments.models import Cart, Order, Payment

pytestmark = pytest.mark.django_db

PAGE = {"Accept": "text/html"}
JSON = {"Accept": "application/json"}


def refused(
    client: Client, path: str, data: dict[str, object], *, status: int, code: str, words: str
) -> None:
    """Post a form both ways; assert the same refusal, in words on a page and as an error in JSON."""
    before = list(Cart.objects.values()), Payment.objects.count(), Order.objects.count()
    page = client.post(path, data, headers=PAGE)
    assert page.status_code == status, page.content
    assert page["Content-Type"].startswith("text/html")
    assert words in page.content.decode()
    answer = client.post(path, data, headers=JSON)
    assert answer.status_code == status, answer.content
    error = answer.json()["error"]
    assert (error["code"], error["money_moved"]) == (code, False)
    assert error["message"]
    assert error["next"]
    assert (list(Cart.objects.values()), Payment.objects.count(), Order.objects.count()) == before


def test_a_location_with_a_currency_that_cannot_be_charged(client: Client, shop: Shop) -> None:
    Location.objects.filter(id=shop.location.id).update(currency="kwd")
    item = ItemFactory.create(business=shop.business, currency="kwd", name="Dinar mat")
    data: dict[str, object] = {"item": item.id, "location": shop.location.id}
    refused(client, "/shop/add/", data, status=422, code="currency_not_supported", words="cannot be charged")


@pytest.mark.parametrize("token", ["", "unknown", "x" * 500])
def test_an_unknown_cart(client: Client, shop: Shop, token: str) -> None:
    data: dict[str, object] = {"cart": token, "item": shop.item.id, "quantity": 1}
    refused(
        client, "/checkout/lines/", data, status=404, code="cart_not_found", words="cannot find this cart"
    )


@pytest.mark.parametrize("quantity", [-1, 1000, 10**12, "many", "1.5"])
def test_quantities(client: Client, shop: Shop, cart: Cart, quantity: object) -> None:
    data = {"cart": cart.token, "item": shop.item.id, "quantity": quantity}
    refused(client, "/checkout/lines/", data, status=422, code="bad_quantity", words="whole number")


@pytest.mark.parametrize("amount", ["-1", "1.234", "ten", "12,50"])
def test_tips(client: Client, cart: Cart, amount: str) -> None:
    data: dict[str, object] = {"cart": cart.token, "amount": amount}
    refused(client, "/checkout/tip/", data, status=422, code="bad_amount", words="cannot be used")


def test_a_huge_tip(client: Client, cart: Cart) -> None:
    data: dict[str, object] = {"cart": cart.token, "amount": "999999999"}
    refused(client, "/checkout/tip/", data, status=422, code="cart_too_large", words="more than one payment")


def test_everything_works_below_another_address(client: Client, shop: Shop, settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.integration.checkout.mounted_urls"
    added = client.post("/payment/shop/add/", {"item": shop.item.id, "location": shop.location.id})
    assert added["Location"].startswith("/payment/checkout/?cart=")
    page = client.get(added["Location"])
    assert page.status_code == 200
    text = page.content.decode()
    assert "/payment/stripe-intent/" in text
    assert 'action="/checkout' not in text
    assert 'href="/checkout' not in text
