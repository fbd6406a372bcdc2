"""/reconciliation/: balance transactions and payouts brought in from Stripe, and held against what we took."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tasks import balance as tasks
from tasks.intents import create_intent, read_intent
from tasks.snapshots import of_event
from tests.contract.conftest import Running, eventually
from tests.factories import ProfileFactory, StaffFactory
from tests.integration.conftest import AtStripe
from tests.shop import Shop, claim_one, waiting
from web.core.models import Business, Profile
from web.payments.jobs import Lease
from web.payments.models import BalanceCursor, BalanceEntry, InboxEvent, Job, Payment, Payout
from web.payments.money import Money
from web.payments.operations import arrivals, balance, inbox, intents
from web.payments.queries import reconciliation
from web.payments.queries.reconciliation import Verdict
from web.payments.snapshots import EntrySnapshot, PayoutSnapshot

SignIn = Callable[[Profile], Client]
DAY = 24 * 3600


@pytest.fixture
def studio(business: Business, at_stripe: Callable[..., AtStripe]) -> AtStripe:
    return at_stripe(business=business)


@pytest.fixture
def own_studio(business: Business, tmp_path: Path, settings: Settings) -> Iterator[AtStripe]:
    """A studio at a sandbox of its own: its clock is moved, and everybody else's must not be."""
    running = Running(str(tmp_path / "state.sqlite3"), "--webhook-retry-base-ms", "20")
    settings.STRIPE_API_BASE = running.base
    yield AtStripe(running, Shop.make(business=business, slug="payouts"), "payouts")
    running.stop()


@pytest.fixture
def staff(business: Business, sign_in: SignIn) -> Client:
    return sign_in(StaffFactory.create(business=business, groups=["purchases"]))


def sold(studio: AtStripe) -> Payment:
    """Sell online, as a customer, the page and the workers do."""
    payment = studio.shop.request(studio.shop.cart())
    create_intent(payment_id=payment.id, lease=claim_one("create_intent"))
    payment.refresh_from_db()
    studio.pay(payment)
    intents.request_read(payment_id=payment.id, now=timezone.now())
    read_intent(payment_id=payment.id, lease=claim_one("read_intent"))
    payment.refresh_from_db()
    assert payment.state == "succeeded"
    return payment


def booked(studio: AtStripe, count: int) -> None:
    """Wait until Stripe has booked what was paid: that comes a little later."""
    eventually(lambda: len(studio.v1.balance_transactions.list({"limit": 100}).data) == count)


def run(name: str, task: Callable[..., None]) -> None:
    """Run the one waiting job of a name."""
    job = Job.objects.filter(name=name, state="waiting").get()
    Job.objects.exclude(id=job.id).filter(queue=job.queue, state="waiting").delete()
    lease: Lease = claim_one(name)
    task(lease=lease, **lease.arguments)


def arrive(studio: AtStripe) -> int:
    """Bring the account's payout events into the inbox and apply them; return how many were applied."""
    for event in studio.events():
        if event["type"].startswith("payout."):
            arrivals.store(
                account_id=studio.shop.account.id,
                event=arrivals.Arrived(
                    event_id=event["id"],
                    event_type=event["type"],
                    object_id=event["data"]["object"]["id"],
                    occurred_at=timezone.now(),
                    payload_json=json.dumps(event),
                ),
                now=timezone.now(),
            )
    return inbox.apply_batch(interpret=of_event, now=timezone.now()).done


def test_fees_come_later_and_are_matched(studio: AtStripe, staff: Client) -> None:
    payments = [sold(studio) for _ in range(2)]
    studio.v1.refunds.create({"payment_intent": str(payments[0].intent_id), "amount": 600})
    booked(studio, 3)
    assert balance.request_imports(now=timezone.now()) == 1
    assert balance.request_imports(now=timezone.now()) == 1, "asked twice, and the waiting job is joined"
    run("import_balance", tasks.import_balance)
    entries = BalanceEntry.objects.filter(account=studio.shop.account)
    assert [(entry.amount_minor, entry.fee_minor) for entry in entries.filter(kind="charge")] == [
        (3600, 134)
    ] * 2
    assert set(entries.filter(kind="charge").values_list("payment_id", flat=True)) == {p.id for p in payments}
    assert entries.get(kind="refund").payment_id is None, "a refund that we do not know stands out"
    assert balance.request_imports(now=timezone.now()) == 0, "not again at once"
    html = staff.get("/reconciliation/").content.decode()
    assert "Not ours" in html
    assert "$63.32" in html  # two charges and a refund, less the fees
    BalanceCursor.objects.update(read_at=timezone.now() - timedelta(minutes=6))
    assert balance.request_imports(now=timezone.now()) == 1
    run("import_balance", tasks.import_balance)
    assert entries.count() == 3, "read twice, stored once"


def test_a_payout_is_matched_line_by_line_and_can_still_fail(own_studio: AtStripe, staff: Client) -> None:
    studio = own_studio
    sold(studio)
    booked(studio, 1)
    now = timezone.now()
    studio.sandbox.control("POST", "clock", advance=2 * DAY + 60)
    (payout_id,) = studio.sandbox.control("POST", f"accounts/{studio.slug}/payout")["payouts"]
    eventually(lambda: studio.v1.payouts.retrieve(payout_id).reconciliation_status == "completed")
    assert arrive(studio) >= 3
    assert set(InboxEvent.objects.values_list("state", flat=True)) == {"applied"}
    payout = Payout.objects.get(payout_id=payout_id)
    assert (payout.status, payout.is_reconcilable, payout.lines_read_at) == ("in_transit", True, None)
    assert waiting("read_payout") == 1
    run("read_payout", tasks.read_payout)
    (summary,) = reconciliation.payouts(studio.shop.business)
    assert summary.is_complete
    assert (summary.gross, summary.fees, summary.net) == (
        Money(3600, "usd"),
        Money(134, "usd"),
        Money(3466, "usd"),
    )
    assert not summary.difference
    assert waiting("read_payout") == 0
    verdicts = [line.verdict for line in reconciliation.lines(summary.payout)]
    assert verdicts == [Verdict.MATCHED, Verdict.STRIPES]
    assert "Adds up" in staff.get("/reconciliation/").content.decode()
    studio.sandbox.control("POST", f"payouts/{payout_id}/settle", outcome="paid")
    studio.sandbox.control(
        "POST", f"payouts/{payout_id}/settle", outcome="failed", failure_code="account_closed"
    )
    arrive(studio)
    payout.refresh_from_db()
    assert (payout.status, payout.failure_code) == ("failed", "account_closed")
    page = staff.get(f"/reconciliation/{payout_id}/").content.decode()
    assert "The bank sent this payout back." in page
    assert now <= timezone.now()


def snapshot(status: str, **changes: Any) -> PayoutSnapshot:
    facts: dict[str, Any] = {
        "payout_id": "po_1",
        "status": status,
        "amount": Money(3466, "usd"),
        "is_automatic": True,
        "is_reconcilable": False,
        "failure_code": "",
        "created_at": timezone.now(),
        "arrives_on": timezone.now().date(),
    }
    return PayoutSnapshot(**{**facts, **changes})


@pytest.mark.django_db
def test_older_news_never_takes_a_payout_back() -> None:
    account = Shop.make().account
    for status, after in (
        ("in_transit", "in_transit"),
        ("pending", "in_transit"),
        ("paid", "paid"),
        ("in_transit", "paid"),
        ("failed", "failed"),
        ("paid", "failed"),
    ):
        balance.settle_payout(account_id=account.id, snapshot=snapshot(status), now=timezone.now())
        assert Payout.objects.get().status == after


def entry(entry_id: str, source: str, amount: int, kind: str = "charge") -> EntrySnapshot:
    now = timezone.now()
    return EntrySnapshot(entry_id, kind, kind, source, Money(amount, "usd"), Money(0, "usd"), now, now)


def paid(shop: Shop, charge_id: str) -> Payment:
    payment = shop.request(shop.cart())
    Payment.objects.filter(id=payment.id).update(
        state="succeeded", amount_received_minor=3600, charge_id=charge_id, next_check_at=None,
        state_changed_at=timezone.now() - timedelta(days=3),
    )  # fmt: skip
    payment.refresh_from_db()
    return payment


def test_what_does_not_fit_is_shown(staff: Client, business: Business, other_business: Business) -> None:
    shop, theirs = Shop.make(business=business), Shop.make(business=other_business)
    for charge_id in ("ch_fits", "ch_differs", "ch_never_booked"):
        paid(shop, charge_id)
    paid(theirs, "ch_theirs")
    now = timezone.now()
    payout = balance.settle_payout(account_id=shop.account.id, snapshot=snapshot("paid"), now=now)
    entries = [
        entry("txn_1", "ch_fits", 3600),
        entry("txn_2", "ch_differs", 3000),
        entry(
            "txn_3", "ch_theirs", 3600
        ),  # another account's charge is not matched with this account's entry
        entry("txn_4", "po_1", -3466, "payout"),
    ]
    balance.store_entries(account=shop.account, entries=entries, payout=payout)
    balance.note_read(account=shop.account, until=now, now=now)
    shown = reconciliation.lines(Payout.objects.get())
    assert {line.entry.entry_id: line.verdict for line in shown} == {
        "txn_1": Verdict.MATCHED,
        "txn_2": Verdict.DIFFERENT,
        "txn_3": Verdict.UNKNOWN,
        "txn_4": Verdict.STRIPES,
    }
    assert [line.verdict for line in shown][:2] == [Verdict.DIFFERENT, Verdict.UNKNOWN], (
        "what needs a look is first"
    )
    assert [p.charge_id for p in reconciliation.not_booked(business, now=now)] == ["ch_never_booked"]
    html = staff.get("/reconciliation/po_1/").content.decode()
    assert "Another amount" in html
    assert "Not booked" in staff.get("/reconciliation/").content.decode()
    response: Any = staff.get("/reconciliation/export/", {"payout": "po_1"})
    header, *rows = csv.reader(
        io.StringIO(b"".join(response.streaming_content).decode().removeprefix("\ufeff"))
    )
    results = {dict(zip(header, row, strict=True))["Balance transaction"]: row[-1] for row in rows}
    assert results == {"txn_1": "Matches", "txn_2": "Another amount", "txn_3": "Not ours", "txn_4": "Stripe"}


@pytest.mark.django_db
def test_an_entry_is_matched_when_its_payment_is_known_later() -> None:
    shop, now = Shop.make(), timezone.now()
    balance.store_entries(account=shop.account, entries=[entry("txn_1", "ch_late", 3600)])
    assert BalanceEntry.objects.get().payment is None
    payment = paid(shop, "ch_late")
    balance.note_read(account=shop.account, until=now, now=now)
    assert BalanceEntry.objects.get().payment == payment
    balance.note_read(account=shop.account, until=now - timedelta(days=1), now=now)
    assert BalanceCursor.objects.get().read_until == now, "the cursor never goes back"


def test_who_may(client: Client, business: Business, other_business: Business, sign_in: SignIn) -> None:
    shop = Shop.make(business=business)
    balance.settle_payout(account_id=shop.account.id, snapshot=snapshot("paid"), now=timezone.now())
    for path in ("/reconciliation/", "/reconciliation/po_1/", "/reconciliation/export/"):
        assert client.get(path).status_code == 302
        assert sign_in(ProfileFactory.create(business=business)).get(path).status_code == 403
        assert sign_in(StaffFactory.create(business=business, groups=["store"])).get(path).status_code == 403
    other = sign_in(StaffFactory.create(business=other_business, groups=["purchases"]))
    assert other.get("/reconciliation/po_1/").status_code == 404
    assert other.get("/reconciliation/export/", {"payout": "po_1"}).status_code == 404
    assert "po_1" not in other.get("/reconciliation/").content.decode()
