"""Paying in parts at the till: what the customer has stored is shown, used and given back; cash takes a part."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tests.integration.checkout.test_pages import cart_url, page
from tests.shop import Shop
from tests.stored import Desk, books_are_right, usd
from web.core.models import Profile
from web.payments.models import Cart, Payment

SignIn = Callable[[Profile], Client]


@pytest.fixture
def desk(shop: Shop) -> Desk:
    return Desk(shop)


@pytest.fixture
def till(desk: Desk, sign_in: SignIn) -> Client:
    return sign_in(desk.staff)


def body(cart: Cart, form: str, **rest: str) -> dict[str, str]:
    return {"cart": cart.token, "expected_total": "3600", "form_token": f"form-of-a-part-{form}", **rest}


def test_a_balance_is_shown_used_and_given_back(till: Client, desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    html = page(till.get(cart_url(cart)))
    assert "Balance $10.00" in html
    assert "Use balance" in html
    till.post("/checkout/till/stored/", body(cart, "balance", ledger="money"))
    html = page(till.get(cart_url(cart)))
    for shown in ("set aside", "Give back", "A part of this sale is paid"):
        assert shown in html
    assert desk.balance() == (1000, 1000)
    part = Payment.objects.get()
    give_back = {"cart": cart.token, "payment": str(part.public_id)}
    till.post("/checkout/till/stored/give-back/", give_back)
    assert desk.balance() == (1000, 0)
    assert "Scan or type an item" in page(till.get(cart_url(cart))), "the sale can change again"
    books_are_right()


def test_a_balance_and_cash_pay_one_sale(till: Client, desk: Desk) -> None:
    desk.has(usd(1000))
    cart = desk.cart()
    till.post("/checkout/till/stored/", body(cart, "balance", ledger="money"))
    response = till.post("/checkout/till/sell/", body(cart, "cash-1", method="cash", amount="6.00"))
    assert response["Location"] == cart_url(cart)
    assert "A part of this sale is paid" in page(till.get(cart_url(cart)))
    response = till.post("/checkout/till/sell/", body(cart, "cash-2", method="cash"))
    assert response["Location"] == f"/receipt/{cart.token}/"
    parts = Payment.objects.order_by("id").values_list("method", "state", "amount_minor")
    assert list(parts) == [
        ("balance", "succeeded", 1000),
        ("cash", "succeeded", 600),
        ("cash", "succeeded", 2000),
    ]
    assert desk.balance() == (0, 0)
    books_are_right()


@pytest.mark.parametrize("amount", ["-1", "0", "99.00", "abc", "1.234"])
def test_parts_that_make_no_sense(till: Client, desk: Desk, amount: str) -> None:
    cart = desk.cart()
    page(till.post("/checkout/till/sell/", body(cart, "wrong", method="cash", amount=amount)), 422)
    assert not Payment.objects.exists()


def test_what_was_paid_elsewhere_says_where(till: Client, desk: Desk) -> None:
    cart = desk.cart()
    page(till.post("/checkout/till/sell/", body(cart, "else", method="already_paid")), 422)
    till.post("/checkout/till/sell/", body(cart, "else", method="already_paid", note="the old system"))
    assert Payment.objects.get().note == "the old system"


def test_anothers_stored_money_is_out_of_reach(till: Client, desk: Desk, shop: Shop) -> None:
    desk.has(usd(1000))
    cart = shop.cart()
    assert "Use balance" not in page(till.get(cart_url(cart)))
    page(till.post("/checkout/till/stored/", body(cart, "balance", ledger="money")), 409)
    page(till.post("/checkout/till/stored/", body(cart, "balance", ledger="gold")), 422)
    assert desk.balance() == (1000, 0)
