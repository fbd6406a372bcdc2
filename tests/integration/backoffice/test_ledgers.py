"""/credit-balance/ and /credit-services/: who may look, who may change, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import ProfileFactory, StaffFactory
from tests.shop import Shop
from tests.stored import Desk
from web.core.models import Business, Profile
from web.payments.models import Ledger, LedgerEntry, Method
from web.payments.operations import carts
from web.payments.operations import desk as desk_operations

pytestmark = pytest.mark.django_db
SignIn = Callable[[Profile], Client]
TOKEN = "form-of-the-adjustment"


@pytest.fixture
def desk(business: Business) -> Desk:
    return Desk(Shop.make(business=business))


def test_adjusting_money_and_credits_by_a_form_sent_twice(desk: Desk, sign_in: SignIn) -> None:
    client = sign_in(desk.staff)
    for address, amount, ledger, end in (
        ("credit-balance", "12.50", Ledger.MONEY, 1250),
        ("credit-services", "3", Ledger.CREDITS, 3),
    ):
        page = f"/{address}/{desk.customer.id}/"
        form = {"amount": amount, "reason": "a present", "form_token": f"{TOKEN}-{address}"}
        for _ in range(2):
            assert client.post(page, form).status_code == 302
        assert desk.balance(ledger) == (end, 0)
        html = client.get(page).content.decode()
        assert "a present" in html
        assert desk.customer.name in client.get(f"/{address}/").content.decode()
    assert LedgerEntry.objects.count() == 2


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"amount": "-1"}, "not enough"),
        ({"amount": "1.234"}, "not an amount"),
        ({"amount": "0"}, "not an amount"),
        ({"reason": ""}, "required"),
        ({"last_day": "2001-01-01"}, "has passed"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    desk: Desk, sign_in: SignIn, form: dict[str, Any], words: str
) -> None:
    given = {"amount": "1", "reason": "r", "form_token": TOKEN} | form
    answer = sign_in(desk.staff).post(f"/credit-balance/{desk.customer.id}/", given)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not LedgerEntry.objects.exists()


def test_who_may_look_and_who_may_change(desk: Desk, sign_in: SignIn, business: Business) -> None:
    page = f"/credit-services/{desk.customer.id}/"
    form = {"amount": "5", "reason": "r", "form_token": TOKEN}
    looks = sign_in(StaffFactory.create(business=business, groups=["customers"]))
    assert looks.get(page).status_code == 200
    assert "Write down the change" not in looks.get(page).content.decode()
    assert looks.post(page, form).status_code == 403
    other = sign_in(StaffFactory.create(business=business, groups=["store"]))
    assert other.get(page).status_code == other.post(page, form).status_code == 403
    stranger = ProfileFactory.create()
    may = sign_in(desk.staff)
    for wrong in (stranger.id, desk.staff.id, 10**9):
        assert may.get(f"/credit-services/{wrong}/").status_code == 404
        assert may.post(f"/credit-services/{wrong}/", form).status_code == 404
    assert not LedgerEntry.objects.exists()


def test_a_guests_pass_is_given_to_a_customer(desk: Desk, sign_in: SignIn) -> None:
    cart = desk.shop.cart()
    carts.set_quantity(business=desk.business, token=cart.token, item_id=desk.passes.id, quantity=1)
    order = desk_operations.sell(
        business=desk.business, token=cart.token, method=Method.CASH, form_token="form-of-the-guests-sale",
        expected_total_minor=21600, now=timezone.now(), staff=desk.staff,
    )  # fmt: skip
    client = sign_in(desk.staff)
    assert order.number in client.get("/credit-services/").content.decode()
    line = order.lines.get(gives_credits=10)
    for _ in range(2):
        assert client.post(f"/credit-services/{desk.customer.id}/", {"claim": line.id}).status_code == 302
    assert desk.balance(Ledger.CREDITS) == (10, 0)
    assert order.number not in client.get("/credit-services/").content.decode()
