"""What no webhook brought is found; where the books differ, it is seen, healed where a read can, and closed."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import orjson
import pytest
from django.core.management import call_command
from django.utils import timezone

from tasks import relay, sweeps, watch
from tasks.backfill import backfill_events
from tasks.drift import check_drift
from tasks.gateway import books
from tasks.gateway.stripe_api import StripeUnreachable
from tasks.webhooks import drain_inbox
from tests.contract.conftest import Running
from tests.integration.conftest import AtStripe, run_sandbox
from tests.shop import claim, claim_one, waiting
from web.payments.jobs import CREATE_INTENT, Lease, Queue
from web.payments.models import (
    Attempt,
    Drift,
    DriftCursor,
    EventCursor,
    InboxEvent,
    Job,
    Payment,
    StripeAccount,
)
from web.payments.operations import arrivals, attempts, backfill, backlog, drift
from web.payments.queries import drift as differences
from web.payments.queries import standing
from web.payments.states import PaymentState

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]
A_WHILE = datetime.timedelta(minutes=30)


def run(name: str) -> None:
    """Run the job of a name; where the account's budget is used up it has its turn later, as a worker would do."""
    deadline = time.monotonic() + 30
    while was_excused(lease := claim_one(name)):
        assert time.monotonic() < deadline, f"{name} never has its turn"
        Job.objects.filter(id=lease.job_id).update(due_at=timezone.now())


def was_excused(lease: Lease) -> bool:
    """Run a job; return whether it was put off through no fault of its own, once its turn has come."""
    relay.run(lease)
    job = Job.objects.get(id=lease.job_id)
    if job.state != Job.State.WAITING or job.put_offs <= lease.put_offs:
        return False
    time.sleep(max((job.due_at - timezone.now()).total_seconds(), 0))
    return True


def awaiting(at: AtStripe) -> Payment:
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    payment.refresh_from_db()
    return payment


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One of its own: other tests move their sandbox's clock, and what lies ahead of ours is not read yet."""
    yield from run_sandbox(tmp_path_factory)


@pytest.fixture
def at(at_stripe: Make) -> AtStripe:
    """A shop whose account has been there for a while, so that what happens now is within its windows."""
    made = at_stripe()
    StripeAccount.objects.update(created_at=timezone.now() - A_WHILE)
    return made


# --- events that were missed ------------------------------------------------------------------------------


def wait_for_the_fees(at: AtStripe) -> None:
    """Wait until Stripe has said of every charge what it cost: the last event that comes by itself."""
    deadline = time.monotonic() + 30
    while True:
        kinds = Counter(event["type"] for event in at.events())
        if kinds["charge.updated"] >= kinds["charge.succeeded"] > 0:
            return
        assert time.monotonic() < deadline, kinds
        time.sleep(0.05)


def run_reconcile(name: str) -> None:
    """Run the jobs of a name until none is left; others of the queue stay."""
    for _ in range(40):
        mine = Job.objects.filter(name=name, state="waiting")
        Job.objects.filter(queue=Queue.RECONCILE, state="waiting").exclude(name=name).update(
            due_at=timezone.now() + A_WHILE
        )
        if not mine.update(due_at=timezone.now()):
            return
        (lease,) = claim(Queue.RECONCILE)
        assert lease.kind.name == name
        was_excused(lease)
    pytest.fail(f"{name} never ends")


def test_what_the_list_brings_is_what_the_webhook_brings(at: AtStripe) -> None:
    """The same rows by both ways: ids, times, and payloads without client secrets."""
    payment = awaiting(at)
    at.pay(payment)
    backfill.ROUND.open_cursors(now=timezone.now())
    backfill_events(stripe_account_id=at.shop.account.id, lease=None)  # type: ignore[arg-type]
    listed = {row.event_id: row for row in InboxEvent.objects.all()}
    assert {row.event_type for row in listed.values()} >= {"payment_intent.succeeded", "charge.succeeded"}
    sent = {event["id"]: event for event in at.events()}
    assert any("client_secret" in event["data"]["object"] for event in sent.values())
    for event_id, row in listed.items():
        arrived = arrivals.arrived(orjson.loads(orjson.dumps(sent[event_id])))
        assert (row.event_type, row.object_id, row.occurred_at) == (
            arrived.event_type,
            arrived.object_id,
            arrived.occurred_at,
        )
        assert without_deliveries(row.payload) == without_deliveries(orjson.loads(arrived.payload_json))
        assert "client_secret" not in orjson.dumps(row.payload).decode()


def without_deliveries(event: dict[str, Any]) -> dict[str, Any]:
    """Leave out how many deliveries are pending: that is a fact of the moment."""
    return {name: value for name, value in event.items() if name != "pending_webhooks"}


def test_a_long_pass_goes_on_where_it_was_cut_short(at: AtStripe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.backfill.PAGES", 1)
    for _ in range(54):  # three events each, of which two are followed
        at.v1.payment_intents.create(
            {"amount": 900, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa",
             "return_url": "https://shop.example/return"}
        )  # fmt: skip
    backfill.ROUND.open_cursors(now=timezone.now())
    began = EventCursor.objects.get().through_at
    backfill_events(stripe_account_id=at.shop.account.id, lease=None)  # type: ignore[arg-type]
    cursor = EventCursor.objects.get()
    assert (cursor.through_at, bool(cursor.window_to), cursor.resume_after[:4]) == (began, True, "evt_")
    assert waiting("backfill_events") == 1
    run_reconcile("backfill_events")
    cursor = EventCursor.objects.get()
    assert cursor.window_to is None
    assert cursor.through_at > began
    stored = set(InboxEvent.objects.values_list("event_id", flat=True))
    assert len(stored) > 100
    missing = {event["type"] for event in at.events() if event["id"] not in stored}
    assert missing <= {"payment_intent.created", "charge.updated"}, "those say nothing that others do not say"


def test_keys_that_stripe_refuses_are_noted_and_asked_more_rarely(at: AtStripe) -> None:
    watch.watch_accounts()
    at.sandbox.control("POST", "keys/revoke", account=at.slug)
    run_reconcile("backfill_events")
    cursor = EventCursor.objects.get()
    assert cursor.problem
    assert cursor.due_at > timezone.now() + backfill.ROUND.every
    at.sandbox.control("POST", "keys/restore", account=at.slug)


LONG_AGO = datetime.timedelta(days=40)


def test_events_that_were_given_up_are_said_aloud_and_old_ones_forgotten(
    at: AtStripe, caplog: pytest.LogCaptureFixture
) -> None:
    payment = awaiting(at)
    at.pay(payment)
    backfill.ROUND.open_cursors(now=timezone.now())
    backfill_events(stripe_account_id=at.shop.account.id, lease=None)  # type: ignore[arg-type]
    drain_inbox()
    watch.review_inbox()
    assert "inbox.stuck" not in caplog.text
    settled = InboxEvent.objects.exclude(state="received")
    old = settled.order_by("id").values_list("id", flat=True)[0]
    InboxEvent.objects.filter(id=old).update(received_at=timezone.now() - LONG_AGO)
    dead = settled.order_by("-id").values_list("id", flat=True)[0]
    InboxEvent.objects.filter(id=dead).update(state="dead", received_at=timezone.now() - LONG_AGO)
    watch.review_inbox()
    assert "inbox.stuck" in caplog.text
    sweeps.forget_old()
    assert not InboxEvent.objects.filter(id=old).exists()
    assert InboxEvent.objects.filter(id=dead).exists(), "what was given up waits for a person"


def test_an_attempt_that_nobody_follows_up_is_queued_again(at: AtStripe) -> None:
    payment = at.shop.request(at.shop.cart())
    at.fault("reset_after", match={"method": "POST"}, times=1)
    run("create_intent")
    soon = timezone.now()
    assert attempts.follow_up(limit=10, now=soon) == 0, "too young"
    later = soon + attempts.FORGOTTEN_AFTER + A_WHILE
    assert attempts.follow_up(limit=10, now=later) == 0, "its job waits"
    Job.objects.update(due_at=soon)
    backlog.bury(claim_one("create_intent"), error="gave up", now=soon)
    assert attempts.follow_up(limit=10, now=later) == 1
    Job.objects.filter(state="waiting").update(due_at=soon)
    run(CREATE_INTENT.name)
    assert Attempt.objects.get().state == "succeeded"
    payment.refresh_from_db()
    assert payment.state == PaymentState.AWAITING


# --- drift ------------------------------------------------------------------------------------------------


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare what happened this second too."""
    monkeypatch.setattr(drift, "SETTLES_WITHIN", datetime.timedelta(seconds=-2))


def compare(at: AtStripe) -> list[tuple[str, int]]:
    """Compare the books from the beginning, and return what differs."""
    drift.ROUND.open_cursors(now=timezone.now())
    DriftCursor.objects.update(through_at=timezone.now() - A_WHILE)
    check_drift(stripe_account_id=at.shop.account.id, lease=None)  # type: ignore[arg-type]
    return [(one.drift.kind, one.at_risk.amount) for one in differences.open_differences(at.shop.business)]


def settle(at: AtStripe) -> None:
    """Let all events of the account arrive."""
    backfill.ROUND.open_cursors(now=timezone.now())
    backfill_events(stripe_account_id=at.shop.account.id, lease=None)  # type: ignore[arg-type]
    drain_inbox()


@pytest.mark.usefixtures("_at_once")
def test_books_that_agree_and_what_is_somebody_elses(at: AtStripe) -> None:
    payment = awaiting(at)
    at.pay(payment)
    settle(at)
    at.v1.payment_intents.create(  # another program on the same account
        {"amount": 900, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa",
         "return_url": "https://shop.example/return", "metadata": {"order": "17"}}
    )  # fmt: skip
    assert compare(at) == []
    out = StringIO()
    call_command("drift", stdout=out)
    assert out.getvalue() == "The books agree.\n"


@pytest.mark.usefixtures("_at_once")
def test_paid_at_stripe_and_not_settled_here_is_healed_by_a_read(at: AtStripe) -> None:
    payment = awaiting(at)
    at.pay(payment)
    assert compare(at) == [("not_settled", payment.amount_minor)]
    assert compare(at) == [("not_settled", payment.amount_minor)], "once, however often it is found"
    assert Drift.objects.count() == 1
    out = StringIO()
    call_command("drift", str(at.shop.business.business_id), stdout=out)
    assert f"{payment.intent_id}" in out.getvalue()
    number = str(Drift.objects.get().id)
    call_command("drift", note=(number, "asked the owner"), stdout=out)
    assert [one.number for one in standing.drift()] == [1]
    call_command("drift", accept=(number, "the owner knows"), stdout=out)
    assert standing.drift() == []  # it alerts no more
    run("read_intent")
    payment.refresh_from_db()
    assert payment.state == PaymentState.SUCCEEDED
    assert compare(at) == []
    assert Drift.objects.get().resolved_at is not None


@pytest.mark.usefixtures("_at_once")
def test_money_that_came_for_a_payment_that_had_ended_is_read_too(at: AtStripe) -> None:
    payment = awaiting(at)
    at.pay(payment)
    Payment.objects.update(state="cancelled", client_secret_sealed="", next_check_at=None)
    assert compare(at) == [("not_settled", payment.amount_minor)]
    run("read_intent")
    payment.refresh_from_db()
    assert payment.state in (PaymentState.SUCCEEDED, PaymentState.HELD)
    assert compare(at) == []


@pytest.mark.usefixtures("_at_once")
def test_a_charge_with_our_mark_that_we_do_not_know(at: AtStripe) -> None:
    """As after a restore from a backup: Stripe took money for a payment that is not in the database."""
    at.v1.payment_intents.create(
        {"amount": 4500, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa",
         "return_url": "https://shop.example/return",
         "metadata": {"payment": "6f2f4d7e-8a56-4a51-9a35-1b1d3a6c6f10",
                      "business": str(at.shop.business.business_id)}}
    )  # fmt: skip
    assert compare(at) == [("unknown_charge", 4500)]


@pytest.mark.usefixtures("_at_once")
def test_paid_here_and_not_at_stripe_and_other_amounts(at: AtStripe) -> None:
    payment = awaiting(at)
    at.pay(payment)
    settle(at)
    Payment.objects.update(amount_minor=3000, amount_received_minor=3000)
    assert compare(at) == [("amount", 600)]
    Payment.objects.update(amount_minor=3600, amount_received_minor=3600)
    assert compare(at) == []
    known = payment.intent_id
    Payment.objects.update(intent_id="pi_nobodyKnows1")
    # Stripe does not know that intent, and knows another one that bears the mark of this payment.
    assert sorted(compare(at)) == [("not_paid", 3600), ("unknown_charge", 3600)]
    Payment.objects.update(intent_id=known)
    assert compare(at) == []


@pytest.mark.usefixtures("_at_once")
def test_a_refund_at_stripe_that_we_do_not_know_is_read(at: AtStripe) -> None:
    payment = awaiting(at)
    at.pay(payment)
    settle(at)
    assert payment.intent_id is not None
    at.v1.refunds.create({"payment_intent": payment.intent_id, "amount": 1000})
    assert sorted(compare(at)) == [("refund_unknown_here", 1000), ("refunded_total", 1000)]
    run("import_refunds")
    assert compare(at) == []
    Payment.objects.get().refunds.all().update(stripe_refund_id="re_nobodyKnows1")
    kinds = {kind for kind, _amount in compare(at)}
    assert "refund_unknown_there" in kinds
    assert "refund_unknown_here" in kinds


@pytest.mark.usefixtures("_at_once")
def test_a_read_without_an_answer_is_asked_again_and_the_slice_goes_on(at: AtStripe) -> None:
    """A slice takes many reads: where any of them fails, as some do on a bad day, it would never come to its end."""
    payment = awaiting(at)
    at.pay(payment)
    settle(at)
    at.fault("error_500_before", match={"method": "GET"}, times=books.TRIES - 1)
    assert compare(at) == []
    assert DriftCursor.objects.get().through_at > timezone.now() - A_WHILE / 2
    at.fault("error_500_before", match={"method": "GET"}, times=books.TRIES)
    with pytest.raises(StripeUnreachable):
        compare(at)


@pytest.mark.usefixtures("_at_once")
def test_a_slice_that_holds_too_much_is_cut(at: AtStripe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.gateway.books.PAGES", 0)
    drift.ROUND.open_cursors(now=timezone.now())
    before = DriftCursor.objects.get()
    check_drift(stripe_account_id=at.shop.account.id, lease=None)  # type: ignore[arg-type]
    after = DriftCursor.objects.get()
    assert (after.through_at, after.slice_seconds) == (before.through_at, before.slice_seconds // 2)
    assert waiting("check_drift") == 1
