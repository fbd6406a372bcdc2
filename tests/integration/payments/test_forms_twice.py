"""One form, two carts, at the same moment: each cart has its own lock, so only a constraint sees both."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tests.shop import PAYER_KEY, Shop
from tests.stored import Desk, books_are_right, usd
from web.payments.models import Cart, Ledger, Method, Order, Payment
from web.payments.operations import desk as tills
from web.payments.operations import intents, tenders
from web.payments.operations.payments import FormReused

FORM = "one-form-for-two-carts"


def by_cash(desk: Desk, cart: Cart) -> None:
    tills.take(
        business=desk.business, token=cart.token, method=Method.CASH, form_token=FORM, expected_total_minor=3600,
        now=timezone.now(), staff=desk.staff,
    )  # fmt: skip


def by_balance(desk: Desk, cart: Cart) -> None:
    tenders.use(
        business=desk.business, token=cart.token, ledger=Ledger.MONEY, form_token=FORM, expected_total_minor=3600,
        now=timezone.now(), staff=desk.staff,
    )  # fmt: skip


def by_card(desk: Desk, cart: Cart) -> None:
    intents.request(
        business=desk.business, token=cart.token, form_token=FORM, expected_total_minor=3600,
        payer_key=PAYER_KEY, now=timezone.now(),
    )  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("pay", "module"),
    [(by_cash, tills), (by_balance, tenders), (by_card, intents)],
    ids=["cash", "balance", "card"],
)
def test_one_of_two_carts_is_paid(
    pay: Callable[[Desk, Cart], None], module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(Shop.make())
    desk.has(usd(9000))
    carts = [desk.cart(), desk.cart()]
    both, price = threading.Barrier(2, timeout=20), module.price

    def priced(*args: Any, **kwargs: Any) -> Any:
        both.wait()  # neither has written anything, and both have looked for the form
        return price(*args, **kwargs)

    monkeypatch.setattr(module, "price", priced)

    def outcome(cart: Cart) -> str:
        try:
            pay(desk, cart)
        except FormReused:
            return "refused"
        finally:
            connection.close()
        return "paid"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(outcome, carts)) == ["paid", "refused"]
    assert Payment.objects.filter(form_token=FORM).count() == 1
    assert Order.objects.count() + Cart.objects.count() == 2, "the other cart can be paid with a new form"
    books_are_right()


@pytest.mark.django_db
def test_a_form_whose_reservation_was_undone_sets_nothing_aside() -> None:
    desk = Desk(Shop.make())
    desk.has(usd(1000))
    cart = desk.cart()
    by_balance(desk, cart)
    payment = Payment.objects.get(form_token=FORM)
    tenders.undo(business=desk.business, payment_id=payment.id, now=timezone.now(), actor="staff 1")
    with pytest.raises(tenders.NotReserved):
        by_balance(desk, cart)
    assert desk.balance() == (1000, 0)
