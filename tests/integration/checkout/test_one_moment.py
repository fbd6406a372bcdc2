"""A page shows one moment: what changes between two of its reads is seen by all of them, or by none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from tests.factories import StaffFactory
from tests.integration.checkout.test_pages import SignIn, cart_url, page
from tests.shop import Shop
from web.payments.models import Cart, Payment
from web.payments.queries import quotes
from web.payments.states import CartState, PaymentState


def cancelled_meanwhile(payment: Payment) -> None:
    """End the payment and open its cart again, from another connection."""

    def end() -> None:
        with closing(connection):
            Payment.objects.filter(id=payment.id).update(state=PaymentState.CANCELLED, next_check_at=None)
            carts = Cart.objects.filter(reference=payment.cart_reference)
            carts.update(state=CartState.OPEN, frozen_total_minor=None, committed_minor=0)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(end).result()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who", ["staff", "customer"])
def test_a_payment_ends_between_two_reads_of_a_page(
    client: Client, shop: Shop, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    cart = shop.cart()
    payment = shop.request(cart)

    def quote(*args: Any) -> Any:  # the cart was read, its payments were not
        cancelled_meanwhile(payment)
        return quotes.quote(*args)

    browser = sign_in(StaffFactory.create(business=shop.business)) if who == "staff" else client
    monkeypatch.setattr("web.payments.queries.sales.quote", quote)
    before = page(browser.get(cart_url(cart)))
    monkeypatch.undo()
    assert "A part of this sale is paid" not in before
    assert str(payment.public_id) in before  # it still follows the payment
    after = page(browser.get(cart_url(cart)))
    assert str(payment.public_id) not in after or reverse("payment:till_add") in after
