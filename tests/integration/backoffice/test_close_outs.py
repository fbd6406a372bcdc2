"""/close-out/: what a drawer should hold, closed once, by one person at a time, and never changed."""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from tests.factories import LocationFactory, ProfileFactory, StaffFactory
from tests.shop import Shop, given_back
from web.core.models import Business, Profile
from web.payments.models import AuditEntry, BalanceEntry, CloseOut, CloseOutLine, Method, Payment
from web.payments.money import Money
from web.payments.operations import close_outs, desk
from web.payments.queries.close_outs import takings

SignIn = Callable[[Profile], Client]


@pytest.fixture
def dana(business: Business) -> Profile:
    return StaffFactory.create(business=business, name="Dana", groups=["store"])


@pytest.fixture
def staff(dana: Profile, sign_in: SignIn) -> Client:
    return sign_in(dana)


@pytest.fixture
def shop(business: Business) -> Shop:
    return Shop.make(business=business)


def sold(shop: Shop, *, by: Profile | None = None, method: Method = Method.CASH) -> Payment:
    return desk.sell(
        business=shop.business,
        token=shop.cart().token,
        method=method,
        form_token=f"form-of-{Payment.objects.count()}-sale",
        expected_total_minor=3600,
        now=timezone.now(),
        staff=by,
        note="a gift" if method is Method.COMPLIMENTARY else "",
    ).payments.get()


def form(html: str, **typed: str) -> dict[str, str]:
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html))
    return {**fields, "opening_float": "50", "note": "", **typed}


def drawer(browser: Client, **asked: Any) -> str:
    response = browser.get("/close-out/", asked)
    assert response.status_code == 200
    return response.content.decode()


def test_a_drawer_is_counted_and_closed(staff: Client, shop: Shop, dana: Profile, business: Business) -> None:
    sold(shop, by=dana)
    back = sold(shop, by=dana)
    given_back(back, 600, created_by=dana)
    given_back(back, 100, created_by=dana, destination="balance")  # no cash left the drawer
    sold(shop, by=dana, method=Method.COMPLIMENTARY)
    html = drawer(staff)
    assert "$66.00" in html
    response = staff.post("/close-out/", form(html, counted="116.00"))
    assert response.status_code == 302
    made = CloseOut.objects.get()
    assert (made.cash_sales_minor, made.cash_refunds_minor) == (7200, 600)
    assert (made.expected_minor, made.counted_minor, made.difference_minor) == (11600, 11600, 0)
    page = staff.get(response["Location"]).content.decode()
    assert "$116.00" in page
    assert "Dana" in page
    entry = AuditEntry.objects.get(business=business, action="shift.closed")
    assert entry.actor == f"staff {dana.id}"
    assert "Nothing to close" in drawer(staff), "what is closed out is not closed out again"
    sold(shop, by=dana)
    again = drawer(staff)
    assert 'value="50.00"' in again, "the same float as last time is proposed"
    assert "$36.00" in again


def test_a_difference_needs_a_reason(staff: Client, shop: Shop) -> None:
    sold(shop)
    html = drawer(staff)
    response = staff.post("/close-out/", form(html, counted="80"))
    assert response.status_code == 422
    assert "does not hold what it should" in response.content.decode()
    assert not CloseOut.objects.exists()
    assert (
        staff.post("/close-out/", form(html, counted="80", note="A tip for the courier")).status_code == 302
    )
    assert CloseOut.objects.get().difference_minor == -600


def test_a_sale_in_between_is_seen_first(staff: Client, shop: Shop) -> None:
    sold(shop)
    html = drawer(staff)
    sold(shop)
    response = staff.post("/close-out/", form(html, counted="86"))
    assert response.status_code == 422
    assert "came in since this page was opened" in response.content.decode()
    assert 'name="shown" value="72.00"' in response.content.decode(), (
        "the new amount is what is counted against now"
    )
    assert not CloseOutLine.objects.exists()


@pytest.mark.parametrize(
    "typed", [{"counted": "-1"}, {"counted": "12,50"}, {"counted": ""}, {"opening_float": "x"}]
)
def test_amounts_that_are_none(staff: Client, shop: Shop, typed: dict[str, str]) -> None:
    html = drawer(staff, location=shop.location.id)
    assert staff.post("/close-out/", form(html, **{"counted": "1", **typed})).status_code == 422
    assert not CloseOut.objects.exists()


def test_each_drawer_by_itself(staff: Client, shop: Shop, dana: Profile, business: Business) -> None:
    mina = StaffFactory.create(business=business, name="Mina")
    elsewhere = Shop(
        business, LocationFactory.create(business=business, name="Uptown"), shop.item, shop.account
    )
    sold(shop, by=dana)
    sold(shop, by=mina)
    sold(shop, by=mina)
    sold(elsewhere, by=dana)
    for asked, cash in (({"staff": dana.id}, "$36.00"), ({"staff": mina.id}, "$72.00"), ({}, "$108.00")):
        html = drawer(staff, location=shop.location.id, **asked)
        assert f'<dd class="total">{cash}</dd>' in html, asked
    html = drawer(staff, location=shop.location.id, staff=mina.id)
    assert staff.post("/close-out/", form(html, counted="122")).status_code == 302
    assert '<dd class="total">$36.00</dd>' in drawer(staff, location=shop.location.id), (
        "Mina's are closed out"
    )
    assert '<dd class="total">$36.00</dd>' in drawer(staff, location=elsewhere.location.id)


def test_cards_are_held_against_what_stripe_booked(staff: Client, shop: Shop, dana: Profile) -> None:
    now = timezone.now()
    for number, booked in enumerate((3600, 3500, None)):
        payment = sold(shop, by=dana)
        Payment.objects.filter(id=payment.id).update(
            method="online", account=shop.account, charge_id=f"ch_{number}"
        )
        if booked is not None:
            BalanceEntry.objects.create(
                account=shop.account, entry_id=f"txn_{number}", kind="charge", category="charge", payment=payment,
                source_id=f"ch_{number}", amount_minor=booked, fee_minor=100, net_minor=booked - 100, currency="usd",
                created_at=now, available_at=now,
            )  # fmt: skip
    html = drawer(staff)
    assert "Booked by Stripe so far (2 of 3)" in html
    assert "\N{MINUS SIGN}$1.00" in html
    assert "Stripe booked other amounts than we took" in html
    staff.post("/close-out/", form(html, counted="50"))
    made = CloseOut.objects.get()
    assert (made.card_sales_minor, made.card_booked_minor, made.card_booked_ours_minor) == (10800, 7100, 7200)


def test_the_first_close_out_begins_today_and_later_ones_look_back(shop: Shop, dana: Profile) -> None:
    old = sold(shop)
    Payment.objects.filter(id=old.id).update(state_changed_at=timezone.now() - timedelta(days=3))
    sold(shop)
    taken = takings(shop.location, staff_id=None, reader_id=None, now=timezone.now())
    assert taken.cash.amount == 3600


def test_the_same_click_twice_is_one_close_out(staff: Client, shop: Shop) -> None:
    sold(shop)
    body = form(drawer(staff), counted="86")
    first, second = (staff.post("/close-out/", body) for _ in range(2))
    assert first["Location"] == second["Location"]
    assert CloseOut.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_people_close_at_once(business: Business) -> None:
    shop, dana = Shop.make(business=business), StaffFactory.create(business=business)
    sold(shop)
    results: list[object] = []
    barrier = threading.Barrier(2)

    def close(token: str) -> None:
        barrier.wait(10)
        try:
            results.append(
                close_outs.close(
                    business=business,
                    location=shop.location,
                    staff=None,
                    reader_id=None,
                    opening_float=Money(0, "usd"),
                    counted=Money(3600, "usd"),
                    shown=Money(3600, "usd"),
                    note="",
                    form_token=token,
                    closed_by=dana,
                    now=timezone.now(),
                )
            )
        except close_outs.CountChanged as refusal:
            results.append(refusal)
        finally:
            connection.close()

    threads = [threading.Thread(target=close, args=(f"form-of-one-drawer-{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(type(result).__name__ for result in results) == ["CloseOut", "CountChanged"]
    assert CloseOutLine.objects.count() == 1


def test_a_close_out_is_never_changed(staff: Client, shop: Shop) -> None:
    sold(shop)
    staff.post("/close-out/", form(drawer(staff), counted="86"))
    for change in (
        lambda: CloseOut.objects.update(counted_minor=0),
        lambda: CloseOut.objects.all()._raw_delete("default"),
        lambda: CloseOutLine.objects.all()._raw_delete("default"),
    ):
        with pytest.raises(DatabaseError, match="this record is kept"), transaction.atomic():
            change()  # type: ignore[no-untyped-call]


def test_the_export(staff: Client, shop: Shop) -> None:
    sold(shop)
    staff.post("/close-out/", form(drawer(staff), counted="80", note="=1+1"))
    response: Any = staff.get("/close-out/export/")
    header, row = csv.reader(
        io.StringIO(b"".join(response.streaming_content).decode().removeprefix("\ufeff"))
    )
    told = dict(zip(header, row, strict=True))
    assert (told["Expected"], told["Difference"], told["Note"]) == ("86.00", "-6.00", "'=1+1")


def test_who_may(
    client: Client, business: Business, other_business: Business, sign_in: SignIn, shop: Shop
) -> None:
    for path in ("/close-out/", "/close-out/export/"):
        assert client.get(path).status_code == 302
        assert sign_in(ProfileFactory.create(business=business)).get(path).status_code == 403
        assert (
            sign_in(StaffFactory.create(business=business, groups=["schedule"])).get(path).status_code == 403
        )
    theirs = Shop.make(business=other_business)
    stranger = StaffFactory.create(business=other_business, groups=["store"])
    other = sign_in(stranger)
    assert other.get("/close-out/", {"location": shop.location.id}).status_code == 404
    assert other.get("/close-out/", {"staff": StaffFactory.create(business=business).id}).status_code == 404
    html = other.get("/close-out/").content.decode()
    assert theirs.location.name in html
    mine = sign_in(StaffFactory.create(business=business, groups=["store"]))
    sold(shop)
    address = mine.post("/close-out/", form(drawer(mine), counted="86"))["Location"]
    assert other.get(address).status_code == 404
    response: Any = other.get("/close-out/export/")
    assert len(b"".join(response.streaming_content).splitlines()) == 1
