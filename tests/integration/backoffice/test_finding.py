"""/purchases/: finding one order among many, paging by key, totals, and the CSV of exactly what is shown."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.factories import ItemFactory, LocationFactory, ProfileFactory, StaffFactory
from tests.shop import Shop, given_back
from web.backoffice.csv_files import safe
from web.core.models import Business, Profile
from web.payments.management.commands.generate_orders import generate
from web.payments.models import AuditEntry, Dispute, Method, Order, OrderLine, Payment, Reader
from web.payments.operations import desk
from web.payments.queries import finding
from web.payments.queries.finding import Filters, Key

SignIn = Callable[[Profile], Client]
NUMBER = re.compile(r'class="row-link mono" href="/purchases/([0-9A-Z-]+)/"')


@pytest.fixture
def staff(business: Business, sign_in: SignIn) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=["purchases"]))


@pytest.fixture
def shop(business: Business) -> Shop:
    return Shop.make(business=business)


def sold(shop: Shop, *, quantity: int = 1, **changes: Any) -> Order:
    """Sell for cash, then change what a test is about."""
    order = desk.sell(
        business=shop.business,
        token=shop.cart(quantity=quantity).token,
        method=Method.CASH,
        form_token=f"form-of-{Payment.objects.count()}-sale",
        expected_total_minor=shop.item.price_minor * quantity,
        now=timezone.now(),
        staff=None,
    )
    Order.objects.filter(id=order.id).update(**changes)
    order.refresh_from_db()
    return order


def paid_by_card(shop: Shop, order: Order, **changes: Any) -> Payment:
    """Make the order's payment one by card."""
    facts = {
        "method": "online",
        "account": shop.account,
        "intent_id": f"pi_{order.id}",
        "charge_id": f"ch_{order.id}",
        "card_brand": "visa",
        "card_last4": "4242",
    }
    order.payments.update(**{**facts, **changes})
    return order.payments.get()


def reader(shop: Shop, label: str) -> Reader:
    return Reader.objects.create(
        business=shop.business, account=shop.account, location=shop.location, label=label, created_at=timezone.now()
    )  # fmt: skip


def disputed(payment: Payment, **facts: Any) -> Dispute:
    now = timezone.now()
    return Dispute.objects.create(
        **{
            "business": payment.business,
            "account": payment.account,
            "payment": payment,
            "stripe_dispute_id": f"dp_{payment.id}",
            "charge_id": payment.charge_id,
            "amount_minor": payment.amount_minor,
            "currency": payment.currency,
            "status": "needs_response",
            "taken_minor": payment.amount_minor,
            "snapshot_at": now,
            "opened_at": now,
            **facts,
        }
    )


def numbers(response: Any) -> list[str]:
    assert response.status_code == 200
    return NUMBER.findall(response.content.decode())


def searched(staff: Client, text: str) -> list[str]:
    return numbers(staff.get("/purchases/", {"q": text}))


def test_the_search_box_finds_by_all_that_people_have(staff: Client, shop: Shop) -> None:
    other = sold(shop, customer_name="Bob Weber", customer_email="bob@weber.example")
    order = sold(
        shop, quantity=2, customer_name="김민준 Ada-Lou O'Hara", customer_email="ada.lou+x@mail.example"
    )
    payment = paid_by_card(shop, order)
    given_back(payment, 100, stripe_refund_id="re_one")
    for text in (
        order.number,
        order.number.replace("-", "").lower(),
        order.number[:4],
        "ada",
        "lou o'hara",
        "김민",
        "ADA.LOU+X@mail.example",
        "mail.exam",
        payment.intent_id,
        payment.charge_id,
        str(payment.public_id),
        "re_one",
        "72",
        "$72.00",
        "72.00 usd",
        "4242",
    ):
        assert searched(staff, str(text)) == [order.number], text
    assert searched(staff, "36.00") == [other.number]
    for text in (
        "nobody",
        "pi_none",
        "re_none",
        "9999",
        "72.00 krw",
        "...",
        "'):* | '~",
        "\\",
        "ada weber",
        "%",
    ):
        assert searched(staff, text) == [], text


def test_nothing_of_another_business_is_found(staff: Client, shop: Shop, other_business: Business) -> None:
    theirs = Shop.make(business=other_business)
    order = sold(theirs, customer_name="Ada Secret")
    payment = paid_by_card(theirs, order)
    mine = sold(shop)
    for text in (
        order.number,
        "ada secret",
        "pi_",
        payment.intent_id,
        payment.charge_id,
        "4242",
        str(payment.public_id),
    ):
        assert searched(staff, str(text)) == [], text
    stranger = StaffFactory.create(business=other_business)
    for name, value in (("location", theirs.location.id), ("staff", stranger.id)):
        response = staff.get("/purchases/", {name: value})
        assert numbers(response) == [mine.number], "an unknown choice narrows nothing, and says so"
        assert "errorlist" in response.content.decode()
    rows = list(csv.reader(io.StringIO(_text(staff.get("/purchases/export/")))))
    assert [row[0] for row in rows[1:]] == [mine.number]
    assert "$36.00" in staff.get("/purchases/totals/").content.decode()


def test_filters(staff: Client, shop: Shop, business: Business) -> None:
    seller = StaffFactory.create(business=business, name="Dana")
    place = LocationFactory.create(business=business, name="Uptown")
    # 23:30 in New York is the next day in UTC: the day is the business's.
    late = sold(shop, created_at=datetime(2026, 3, 2, 4, 30, tzinfo=UTC), created_by=seller)
    early = sold(shop, created_at=datetime(2026, 3, 2, 5, 30, tzinfo=UTC), location=place)
    OrderLine.objects.filter(order=early).update(item_type="gift_card")
    given_back(paid_by_card(shop, early), 3600)
    paid_part = sold(shop, created_at=datetime(2026, 4, 1, tzinfo=UTC))
    given_back(paid_part.payments.get(), 1)
    desk, door = reader(shop, "Front desk"), reader(shop, "Studio door")
    on_reader = sold(shop, created_at=datetime(2026, 5, 1, tzinfo=UTC))
    disputed(paid_by_card(shop, on_reader, method="terminal", reader=door))
    for asked, expected in (
        ({"since": "2026-03-01", "until": "2026-03-01"}, {late}),
        ({"since": "2026-03-02", "until": "2026-03-02"}, {early}),
        ({"until": "2026-03-02"}, {late, early}),
        ({"type": "gift_card"}, {early}),
        ({"method": "online"}, {early}),
        ({"method": "cash", "until": "2026-03-31"}, {late, paid_part}),
        ({"status": "paid"}, {late, on_reader}),
        ({"status": "refunded"}, {early}),
        ({"status": "partly_refunded"}, {paid_part}),
        ({"staff": seller.id}, {late}),
        ({"location": place.id}, {early}),
        ({"staff": seller.id, "location": place.id}, set()),
        ({"reader": door.id}, {on_reader}),
        ({"reader": desk.id}, set()),
        ({"status": "disputed"}, {on_reader}),
    ):
        assert set(numbers(staff.get("/purchases/", asked))) == {order.number for order in expected}, asked
    wrong = staff.get("/purchases/", {"since": "2026-03-02", "until": "2026-03-01"})
    assert "This is before the first day." in wrong.content.decode()
    assert numbers(staff.get("/purchases/", {"since": "0001-01-01", "until": "9999-12-31"})) != []


def test_pages_by_key_show_every_order_once(staff: Client, shop: Shop, business: Business) -> None:
    ItemFactory.create(business=business, name="Pass", price_minor=12000)
    StaffFactory.create(business=business)
    generate(business, orders=120, days=3)
    Order.objects.filter(business=business).update(created_at=timezone.now())  # all in one moment: ids decide
    seen: list[str] = []
    address = "/purchases/?method="
    while address:
        response = staff.get(address)
        seen += numbers(response)
        older = re.search(r'rel="next" href="\?([^"]+)"', response.content.decode())
        address = f"/purchases/?{older[1]}".replace("&amp;", "&") if older else ""
    ids = {order.number: order.id for order in Order.objects.all()}
    assert [ids[number] for number in seen] == sorted(ids.values(), reverse=True)
    newer = re.search(r'rel="prev" href="\?([^"]+)"', response.content.decode())
    assert newer
    back = numbers(staff.get(f"/purchases/?{newer[1]}".replace("&amp;", "&")))
    assert back == seen[50:100]
    first = numbers(staff.get("/purchases/", {"before": str(Key(timezone.now(), min(ids.values())))}))
    assert first == seen[:50], "newer than all is the first page"
    assert numbers(staff.get("/purchases/", {"after": "nonsense"})) == seen[:50]


def test_a_page_costs_as_many_queries_as_ever(
    business: Business, shop: Shop, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        sold(shop)
    with django_assert_num_queries(4):  # the orders, their lines, their payments, what is disputed of these
        assert len(finding.page(business, Filters()).orders) == 3


def test_totals_are_of_what_is_filtered(staff: Client, shop: Shop, business: Business) -> None:
    sold(shop, quantity=2)
    order = sold(shop)
    given_back(order.payments.get(), 600)
    won = sold(shop, currency="krw")
    Payment.objects.filter(order=won).update(currency="krw")
    html = " ".join(staff.get("/purchases/totals/").content.decode().split())
    for shown in ("<dd>2</dd>", "$108.00", "$6.00", "$102.00", "₩3,600", "Orders (USD)"):
        assert shown in html
    assert "$36.00" in staff.get("/purchases/totals/", {"q": order.number}).content.decode()
    assert "Nothing to add up" in staff.get("/purchases/totals/", {"q": "nobody"}).content.decode()
    assert "$108.00" in staff.get("/purchases/?totals=1").content.decode(), "without JavaScript too"


def test_totals_by_reader_and_what_disputes_took(staff: Client, shop: Shop) -> None:
    door = reader(shop, "Studio door")
    orders = [sold(shop) for _ in range(3)]
    for order in orders[:2]:
        payment = paid_by_card(shop, order, method="terminal", reader=door)
    given_back(payment, 600)
    disputed(payment)
    disputed(paid_by_card(shop, orders[2]), status="won", taken_minor=0, closed_at=timezone.now())
    totals = " ".join(staff.get("/purchases/totals/").content.decode().split())
    for shown in ("<dt>Disputed</dt><dd>$36.00</dd>", "<dt>Net</dt><dd>$66.00</dd>", "On card readers"):
        assert shown in totals
    assert re.search(r"Studio door</th>.*>2</td>.*\$72\.00</td>.*\$6\.00</td>", totals)
    one = staff.get("/purchases/totals/", {"q": orders[0].number}).content.decode()
    assert re.search(r"Studio door</th>.*>1</td>.*\$36\.00</td>.*\$0\.00</td>", " ".join(one.split()))
    html = staff.get("/purchases/").content.decode()
    assert (html.count("badge badge-failed"), html.count(">Disputed</span>")) == (1, 2), "one was won"
    rows = csv.DictReader(io.StringIO(_text(staff.get("/purchases/export/"))))
    (row,) = [row for row in rows if row["Order"] == orders[1].number]
    assert (row["Refunded"], row["Disputed"], row["Net"]) == ("-6.00", "-36.00", "-6.00")


def _text(response: Any) -> str:
    return b"".join(response.streaming_content).decode().removeprefix("\ufeff")


def test_the_export_honours_the_filters_and_runs_no_formula(
    staff: Client, shop: Shop, business: Business
) -> None:
    evil = sold(shop, customer_name='=HYPERLINK("http://evil")', customer_email="a@b.example", quantity=2)
    OrderLine.objects.filter(order=evil).update(description="@SUM(1)")
    given_back(evil.payments.get(), 200)
    sold(shop, customer_name="Bob")
    response = staff.get("/purchases/export/", {"q": "72.00"})
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    header, *rows = csv.reader(io.StringIO(_text(response)))
    (row,) = [dict(zip(header, row, strict=True)) for row in rows]
    assert row["Order"] == evil.number
    assert row["Customer"] == '\'=HYPERLINK("http://evil")'
    assert (row["Total"], row["Refunded"], row["Net"]) == ("72.00", "-2.00", "70.00")
    assert (row["Status"], row["Methods"], row["Currency"]) == ("Partly refunded", "Cash", "USD")
    entry = AuditEntry.objects.get(business=business)
    assert (entry.action, entry.changes) == ("purchases.exported", {"q": True}), "never what was searched for"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\u3000=1", "＝1"])  # noqa: RUF001
def test_no_cell_is_a_formula(text: str) -> None:
    assert safe(text) == f"'{text}"
    assert safe(-5) == "-5"


def test_the_export_holds_one_batch_at_a_time(
    staff: Client, shop: Shop, business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "EXPORT_BATCH", 2)
    orders = [sold(shop) for _ in range(5)]
    rows = list(csv.reader(io.StringIO(_text(staff.get("/purchases/export/")))))[1:]
    assert [row[0] for row in rows] == [order.number for order in orders[::-1]]


@pytest.mark.parametrize("path", ["/purchases/", "/purchases/totals/", "/purchases/export/"])
def test_who_may(path: str, client: Client, business: Business, sign_in: SignIn) -> None:
    assert client.get(path).status_code == 302
    assert sign_in(ProfileFactory.create(business=business)).get(path).status_code == 403
    assert sign_in(StaffFactory.create(business=business, groups=["store"])).get(path).status_code == 403
    assert not AuditEntry.objects.exists()
