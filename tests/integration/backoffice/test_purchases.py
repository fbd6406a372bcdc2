"""/purchases/: what was sold, its story, and what waits for a person."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import StaffFactory
from tests.shop import Shop
from web.core.models import Business, Profile
from web.payments.models import Method, Order, Payment
from web.payments.operations import desk


@pytest.fixture
def staff(business: Business, sign_in: Callable[[Profile], Client]) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=["purchases"]))


def sold(shop: Shop) -> Order:
    return desk.sell(
        business=shop.business,
        token=shop.cart().token,
        method=Method.CASH,
        form_token=f"form-of-{Payment.objects.count()}-sale",
        expected_total_minor=3600,
        now=timezone.now(),
        staff=None,
    )


def test_orders_are_listed_and_another_businesss_are_not(
    staff: Client, business: Business, other_business: Business
) -> None:
    assert "No purchases yet" in staff.get("/purchases/").content.decode()
    mine, theirs = sold(Shop.make(business=business)), sold(Shop.make(business=other_business))
    html = staff.get("/purchases/").content.decode()
    assert mine.number in html
    assert "Cash" in html
    assert theirs.number not in html
    assert staff.get(f"/purchases/{theirs.number}/").status_code == 404


def test_an_order_tells_its_story(staff: Client, business: Business) -> None:
    order = sold(Shop.make(business=business))
    html = staff.get(f"/purchases/{order.number}/").content.decode()
    for shown in ("Yoga mat", "$36.00", "Payment requested", "Order made", "Ada Guest"):
        assert shown in html


def test_what_waits_for_a_person_is_on_top(staff: Client, business: Business) -> None:
    shop = Shop.make(business=business)
    shop.request(shop.cart())
    held = shop.request(shop.cart())
    Payment.objects.filter(id=held.id).update(
        state="held", held_reason="second_success", next_check_at=None, amount_received_minor=3600
    )
    html = staff.get("/purchases/").content.decode()
    assert "Needs attention" in html
    assert "The sale was already paid" in html
    assert "Being paid for" in html
