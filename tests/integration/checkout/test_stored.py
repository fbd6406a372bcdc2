"""A customer's own balance and credits at the checkout, discounts, and paying on arrival."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone

from tests.shop import Shop
from tests.stored import Desk, usd
from web.core.models import Business, Profile
from web.payments.models import Cart, Ledger, Order, Payment, PaymentSettings
from web.payments.operations import carts
from web.payments.queries import sales
from web.payments.queries.quotes import quote

pytestmark = pytest.mark.django_db
SignIn = Callable[[Profile], Client]


@pytest.fixture
def desk(business: Business) -> Desk:
    return Desk(Shop.make(business=business))


def test_a_customer_pays_a_part_with_what_they_have(
    desk: Desk, sign_in: SignIn, ask: Callable[..., object], client: Client
) -> None:
    desk.has(usd(1000))
    desk.has(1)
    cart = desk.cart(desk.drop_in, desk.shop.item)
    mine = sign_in(desk.customer)
    page = f"/checkout/?cart={cart.token}"
    assert "you have 1" in mine.get(page).content.decode()
    assert "you have 1" not in client.get(page).content.decode()  # who merely holds the link learns nothing
    assert (
        mine.post("/checkout/stored/", {"cart": cart.token, "balance": "on", "credits": "on"}).status_code
        == 302
    )
    html = mine.get(page).content.decode()
    assert 'data-due="2600"' in html
    assert 'data-due="5600"' in client.get(page).content.decode()
    body = {"cart": cart.token, "form_token": "form-token-of-the-tests", "expected_total": 5600}
    refused = ask("/stripe-intent/", body | {"expected_due": 2599}, browser=mine)
    assert refused.status_code == 409  # type: ignore[attr-defined]
    assert not Payment.objects.exists()
    asked = ask("/stripe-intent/", body | {"expected_due": 2600}, browser=mine)
    assert asked.status_code == 202  # type: ignore[attr-defined]
    assert Payment.objects.get(method="online").amount_minor == 2600
    assert (desk.balance(), desk.balance(Ledger.CREDITS)) == ((1000, 1000), (1, 1))


def test_a_cart_that_the_balance_pays_whole_needs_no_card(
    desk: Desk, sign_in: SignIn, client: Client
) -> None:
    desk.has(usd(9000))
    cart = desk.cart()
    mine = sign_in(desk.customer)
    mine.post("/checkout/stored/", {"cart": cart.token, "balance": "on"})
    form = {"cart": cart.token, "expected_total": "3600", "form_token": "form-token-of-the-tests"}
    client.post("/checkout/free/", form)  # not by who merely holds the link
    assert not Order.objects.exists()
    for _ in range(2):
        assert mine.post("/checkout/free/", form).status_code == 302
    assert Order.objects.get().payments.get().method == "balance"
    assert desk.balance() == (5400, 0)


def test_somebody_elses_balance_is_not_chosen(desk: Desk, client: Client) -> None:
    desk.has(usd(9000))
    cart = desk.cart()
    assert client.post("/checkout/stored/", {"cart": cart.token, "balance": "on"}).status_code == 409
    cart.refresh_from_db()
    assert not cart.uses_balance


def test_discounts_by_percent_and_amount_need_a_reason(desk: Desk) -> None:
    cart = desk.cart(quantity=2)

    def off(**given: object) -> int:
        carts.set_discount(
            business=desk.business, token=cart.token, now=timezone.now(), staff=desk.staff,
            **({"reason": "a friend"} | given),  # type: ignore[arg-type]
        )  # fmt: skip
        return quote(Cart.objects.get(id=cart.id)).totals.total.amount

    assert off(percent=Decimal("12.5")) == 6300
    carts.set_quantity(business=desk.business, token=cart.token, item_id=desk.shop.item.id, quantity=1)
    assert off(percent=Decimal("12.5")) == 3150
    assert off(amount="10.00") == 2600
    assert off(amount="99.00") == 0
    for wrong in ({"percent": Decimal(101)}, {"percent": Decimal(-1)}, {"amount": "-1"}, {"amount": "1.001"}):
        with pytest.raises(carts.BadAmount):
            off(**wrong)
    with pytest.raises(carts.DiscountReasonMissing):
        off(amount="1", reason=" ")
    assert off(reason="") == 3600  # nothing clears it


def test_paying_on_arrival_where_the_business_allows_it(desk: Desk, sign_in: SignIn) -> None:
    cart = desk.cart()
    mine = sign_in(desk.customer)
    assert mine.post("/checkout/arrival/", {"cart": cart.token}).status_code == 409
    PaymentSettings.objects.filter(business=desk.business).update(pays_on_arrival=True)
    for _ in range(2):
        assert mine.post("/checkout/arrival/", {"cart": cart.token}).status_code == 302
    assert sales.due_on_arrival(desk.business) == [cart]
    assert sales.due_on_arrival(Shop.make().business) == []
    assert "when you arrive" in mine.get(f"/checkout/?cart={cart.token}").content.decode()
    assert not Payment.objects.exists()
