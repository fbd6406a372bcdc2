"""One item given back to everybody who bought it: once each, however often it is asked and whenever it stops."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from django.utils import timezone

from tasks import relay
from tests.factories import ItemFactory, StaffFactory
from tests.giving_back import ask, paid_by_card, tell
from tests.shop import Shop, claim_one, waiting
from web.core.models import Item
from web.payments.models import AuditEntry, BulkRefund, BulkRefundOrder, Job, Method, Order, Refund
from web.payments.money import Money
from web.payments.operations import bulk_refunds, carts, desk
from web.payments.operations.refund_shares import Part
from web.payments.states import RefundState

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop() -> Shop:
    return Shop.make()


def start(
    shop: Shop, orders: int, *, item: Item | None = None, form_token: str = "a-form-of-many"
) -> BulkRefund:
    staff = StaffFactory.create(business=shop.business)
    return bulk_refunds.start(
        business=shop.business, item=item or shop.item, since=None, until=None, reason="teacher is ill",
        form_token=form_token, expected_orders=orders, staff=staff, now=timezone.now(),
    )  # fmt: skip


def run_all() -> None:
    for _ in range(20):
        if not waiting("ask_bulk_refund"):
            return
        relay.run(claim_one("ask_bulk_refund"))
    pytest.fail("never became quiet")


def by_cash(shop: Shop, method: Method = Method.CASH, note: str = "") -> Order:
    return desk.sell(
        business=shop.business, token=shop.cart().token, method=method, form_token=f"{method}-of-the-tests", note=note,
        expected_total_minor=3600, now=timezone.now(), staff=None,
    )  # fmt: skip


def test_everybody_gets_their_share_once_and_the_rest_is_listed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_refunds, "AT_ONCE", 2)
    payments = [paid_by_card(shop, quantity=quantity) for quantity in (1, 2, 1)]
    other = ItemFactory.create(business=shop.business, name="Water", price_minor=200)
    cart = shop.cart()
    carts.set_quantity(business=shop.business, token=cart.token, item_id=other.id, quantity=1)
    payments.append(paid_by_card(shop, cart))
    cash = by_cash(shop)
    gone = paid_by_card(shop)
    (whole,) = ask(gone).refunds  # its amount, without naming the item
    tell(gone, RefundState.SUCCEEDED, refund=str(whole.public_id))
    elsewhere = paid_by_card(Shop.make())
    bulk = start(shop, 6)
    assert start(shop, 6).id == bulk.id  # the same form twice
    run_all()
    asked = Refund.objects.filter(bulk=bulk).order_by("payment_id")
    assert [(one.payment_id, one.amount_minor) for one in asked] == [
        (payment.id, amount) for payment, amount in zip(payments, (3600, 7200, 3600, 3600), strict=True)
    ]
    assert waiting("submit_refund") == 5  # and the one from before
    rows = {row.order_id: (row.state, row.code) for row in BulkRefundOrder.objects.filter(bulk=bulk)}
    assert rows[cash.id] == ("refused", "paid_in_cash")
    assert gone.order_id is not None
    assert rows[gone.order_id] == ("refused", "refund_exceeds_what_is_left")
    assert not elsewhere.refunds.exists()
    bulk.refresh_from_db()
    assert bulk.finished_at is not None
    assert bulk_refunds.given_back(bulk) == {"requested": (4, Money(18000, "usd"))}
    assert bulk_refunds.resume(
        business=shop.business, bulk=bulk, staff=StaffFactory.create(business=shop.business), now=timezone.now()
    ) == 2  # fmt: skip
    run_all()
    assert Refund.objects.filter(bulk=bulk).count() == 4
    actions = AuditEntry.objects.filter(business=shop.business).values_list("action", flat=True)
    assert sorted(actions) == ["bulk_refund.asked", "bulk_refund.resumed"]


def test_a_worker_that_dies_between_two_orders_is_taken_up_where_it_was(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        paid_by_card(shop)
    bulk = start(shop, 3)
    real, calls = bulk_refunds._ask_one, []

    def die_at_the_second(*args: object, **options: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise SystemExit
        real(*args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as broken:
        broken.setattr(bulk_refunds, "_ask_one", die_at_the_second)
        lease = claim_one("ask_bulk_refund")
        with pytest.raises(SystemExit):
            relay.run(lease)
    assert Refund.objects.filter(bulk=bulk).count() == 1
    Job.objects.filter(id=lease.job_id).update(leased_until=timezone.now())
    relay.run(claim_one("ask_bulk_refund"))
    assert Refund.objects.filter(bulk=bulk).count() == 3
    assert set(BulkRefundOrder.objects.values_list("state", flat=True)) == {"asked"}


def test_an_order_whose_refund_is_under_way_is_listed_and_asked_for_later(shop: Shop) -> None:
    payment = paid_by_card(shop)
    (first,) = ask(payment, Part(Money(600, "usd"))).refunds
    bulk = start(shop, 1)
    run_all()
    assert BulkRefundOrder.objects.get().code == "refund_under_way"
    assert not Refund.objects.filter(bulk=bulk).exists()
    tell(payment, RefundState.FAILED, refund=str(first.public_id), amount=600)
    bulk_refunds.resume(
        business=shop.business, bulk=bulk, staff=StaffFactory.create(business=shop.business), now=timezone.now()
    )  # fmt: skip
    run_all()
    assert Refund.objects.get(bulk=bulk).amount_minor == 3600


def test_what_the_page_showed_is_what_happens(shop: Shop) -> None:
    with pytest.raises(bulk_refunds.NothingToRefundInBulk):
        start(shop, 0)
    paid_by_card(shop)
    with pytest.raises(bulk_refunds.SelectionChanged):
        start(shop, 2)
    assert not BulkRefund.objects.exists()


def test_what_was_paid_elsewhere_is_listed_to_be_given_back_by_hand(shop: Shop) -> None:
    by_cash(shop, Method.ALREADY_PAID, "ClassPass 4711")
    start(shop, 1)
    run_all()
    row = BulkRefundOrder.objects.get()
    assert (row.state, row.code) == ("refused", "paid_in_cash")
    assert not Refund.objects.exists()


def test_one_decision_at_a_time_for_an_item(shop: Shop) -> None:
    """The same form at once decides once; another form waits until the first is through, and then finds nothing."""
    paid_by_card(shop)
    made: list[BulkRefund] = []
    barrier = threading.Barrier(2)

    def press() -> None:
        try:
            barrier.wait(30)
            made.append(start(shop, 1))
        finally:
            connection.close()

    threads = [threading.Thread(target=press) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert made[0] == made[1] == BulkRefund.objects.get()
    assert waiting("ask_bulk_refund") == 1
    with pytest.raises(bulk_refunds.BulkUnderWay):
        start(shop, 1, form_token="another-form-of-a-colleague")
