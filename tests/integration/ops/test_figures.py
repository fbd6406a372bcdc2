"""The figures that operations see: counted in the rows, read along partial indexes, right when nobody looked."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tasks.tally import Tally
from tests.shop import Shop, claim
from web.payments.jobs import CREATE_INTENT, SEND_RECEIPT, Queue, enqueue
from web.payments.models import InboxEvent, Job, Payment, QueueMinute, QueuePause, StripeMinute, WorkerPulse
from web.payments.operations import figures, pulses
from web.payments.queries import pulses as lives
from web.payments.queries import queues, share, spans, standing, stripe_minutes
from web.payments.states import PaymentState

pytestmark = pytest.mark.django_db
NOW = datetime.datetime(2026, 11, 22, 12, 0, 30, tzinfo=datetime.UTC)


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


@pytest.fixture
def shop() -> Shop:
    return Shop.make()


def job(shop: Shop, **facts: Any) -> Job:
    """A job of the intents queue, due a minute ago and in the state that the test is about."""
    row = {
        "name": CREATE_INTENT.name,
        "queue": Queue.INTENTS,
        "business": shop.business,
        "arguments": {"payment_id": 1},
        "due_at": ago(60),
        "created_at": ago(60),
        **facts,
    }
    if row.get("state") == "running":
        row.setdefault("leased_until", NOW + datetime.timedelta(seconds=40))
    return Job.objects.create(**row)


def test_a_queue_as_it_stands(shop: Shop, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    job(shop)
    job(shop, due_at=ago(10), attempts=2)
    job(shop, due_at=ago(-90), attempts=1)
    job(shop, state="running", started_at=ago(5))
    job(shop, state="running", started_at=ago(50), leased_until=ago(10))
    job(shop, state="dead", finished_at=ago(5))
    job(shop, state="done", started_at=ago(2), finished_at=ago(1))
    QueuePause.objects.create(
        queue=Queue.REFUNDS, reason="Stripe's incident", actor="tests", paused_at=ago(9)
    )
    with django_assert_num_queries(1):
        found = {one.queue: one for one in queues.standing(now=NOW)}
    assert found[Queue.INTENTS] == queues.Standing(
        queue=Queue.INTENTS,
        due=2,
        oldest_seconds=60,
        later=1,
        next_seconds=90,
        in_flight=2,
        longest_seconds=50,
        overtaken=1,
        retrying=2,
        retries_due=1,
        dead=1,
        paused_at=None,
        pause_reason="",
    )
    assert found[Queue.REFUNDS].is_paused
    assert not found[Queue.ORDERS].due
    assert queues.outbox(list(found.values())) == queues.Outbox(2, 60)


def test_the_inbox_is_as_old_as_its_oldest_event(shop: Shop) -> None:
    assert queues.inbox(now=NOW) == queues.Inbox(0, None, 0)
    for number, state in enumerate(("received", "received", "dead", "applied")):
        InboxEvent.objects.create(
            account=shop.account,
            event_id=f"evt_{number}",
            event_type="payment_intent.succeeded",
            object_id="pi_1",
            occurred_at=ago(60),
            received_at=ago(40),
            payload={},
            state=state,
            due_at=ago(40 - number),
        )
    assert queues.inbox(now=NOW) == queues.Inbox(2, 40, 1)


def test_a_minute_is_counted_in_the_rows_whoever_counts_and_however_often(shop: Shop) -> None:
    for number in range(10):
        job(
            shop,
            state="done",
            due_at=ago(30),
            started_at=ago(30 - 2**number / 1000),
            finished_at=ago(20),
        )
    job(shop, state="dead", finished_at=ago(20))
    job(shop)
    for _again in range(2):
        figures.note(now=NOW)
    (minute,) = QueueMinute.objects.filter(queue=Queue.INTENTS)
    assert (minute.minute, minute.due, minute.done, minute.died) == (NOW.replace(second=0), 1, 10, 1)
    lately = next(one for one in queues.lately(now=NOW) if one.queue == Queue.INTENTS)
    assert (lately.done, lately.died) == (10, 1)
    assert lately.wait is not None
    assert lately.run is not None
    assert lately.wait.count == lately.run.count == 10
    # The waits are 1, 2, 4 … 512 ms: half of them no longer than 16, and the longest 512.
    assert lately.wait.p50 == pytest.approx(0.016, rel=0.2)
    assert lately.wait.p99 == pytest.approx(0.512, rel=0.2)
    assert lately.run.p50 == pytest.approx(10, rel=0.2)


def test_what_was_done_while_nobody_looked_is_counted_later(shop: Shop) -> None:
    figures.note(now=ago(300))
    job(shop, state="done", started_at=ago(180), finished_at=ago(170))
    figures.note(now=NOW)
    minutes = QueueMinute.objects.filter(queue=Queue.INTENTS).order_by("minute")
    assert [(one.done, one.due) for one in minutes] == [(0, 0), (1, None), (0, 0)]
    figures.forget(now=NOW + figures.KEPT + datetime.timedelta(minutes=2))
    assert not QueueMinute.objects.exists()


def test_steps_are_the_same_in_sql_and_here() -> None:
    for seconds in (0.0, 0.001, 0.0011, 0.5, 1.0, 59.0, 3600.0, 1e9):
        with connection.cursor() as cursor:
            cursor.execute("SELECT " + spans.step_sql("%(seconds)s::double precision"), {"seconds": seconds})
            (step,) = cursor.fetchone()
        assert step == spans.STEPS - 1 or seconds <= spans.upper_edge(step) * (1 + 1e-9)
        assert step == 0 or seconds > spans.upper_edge(step - 1)


def test_a_process_adds_its_counts_to_those_of_others(shop: Shop) -> None:
    tally = Tally()
    for _process in range(2):
        tally.call(shop.account.id, calls=1, milliseconds=120)
        tally.call(shop.account.id, calls=1, errors=1, milliseconds=80)
        tally.tried(Queue.INTENTS, "failed")
        tally.flush()
    tally.flush()  # nothing twice
    assert stripe_minutes.all_calls(now=timezone.now()) == stripe_minutes.Calls(4, 2, 0, 0, 400)
    (account,) = stripe_minutes.of_accounts(now=timezone.now())
    assert (account.account, account.per_second, account.busiest_minute) == (shop.account, 25, 4)
    assert QueueMinute.objects.get().failed == 2
    assert StripeMinute.objects.count() == 1


def test_what_is_stuck_is_ours_to_move_and_old(shop: Shop) -> None:
    payments = [shop.request(shop.cart()) for _ in range(3)]
    Payment.objects.filter(id=payments[0].id).update(state_changed_at=ago(400))
    Payment.objects.filter(id=payments[1].id).update(state_changed_at=ago(400))
    Payment.objects.filter(id=payments[1].id).update(state=PaymentState.AWAITING)  # the customer's turn
    Payment.objects.filter(id=payments[2].id).update(state_changed_at=ago(10))
    found = standing.stuck(now=NOW)
    assert (found.payments, found.refunds, found.oldest_seconds) == (1, 0, 400)
    assert standing.stuck_payments(now=NOW) == [payments[0]]
    assert standing.held() == standing.drift() == []


def test_shares_of_businesses(shop: Shop) -> None:
    other = Shop.make()
    for _ in range(3):
        job(shop, state="done", started_at=ago(2), finished_at=ago(1))
    job(other, state="done", started_at=ago(2), finished_at=ago(1))
    job(other)
    found = share.shares(now=NOW)
    assert [(one.name, one.done, one.due, one.of_done) for one in found] == [
        (shop.business.name, 3, 0, 0.75),
        (other.business.name, 1, 1, 0.25),
    ]


def test_beat_lives_by_its_clock_and_works_by_what_was_done() -> None:
    assert lives.beat(now=NOW) == lives.Beat(None, None, ())
    pulses.beat_is_alive(host="here", now=ago(3))
    pulses.ticked(now=ago(2))
    assert lives.beat(now=NOW) == lives.Beat(3, 2, ("beat@here",))
    assert lives.workers(now=NOW) == []  # beat is no worker


def test_workers_with_what_they_have_in_hand(shop: Shop) -> None:
    pulses.beat(worker="stripe@here", queues=[Queue.INTENTS], threads=4, now=ago(3))
    mine = job(shop, state="running", started_at=ago(4), worker="stripe@here:12:345")
    orphan = job(shop, state="running", started_at=ago(4), worker="gone@there:12:345")
    found = {one.name: one for one in lives.workers(now=NOW)}
    assert found["stripe@here"].running == (mine,)
    assert found["stripe@here"].is_alive
    assert found["gone@there"].running == (orphan,)
    assert not found["gone@there"].is_alive
    WorkerPulse.objects.all().delete()


def test_every_job_has_one_argument_or_its_subject_could_not_be_found() -> None:
    from web.payments.jobs import CATALOGUE

    assert {len(kind.arguments) for kind in CATALOGUE.values()} == {1}


def test_a_paused_queue_gives_no_work_and_a_drained_worker_gets_none(shop: Shop) -> None:
    with transaction.atomic():
        enqueue(SEND_RECEIPT, business_id=shop.business.id, order_id=1, now=timezone.now())
    pause = QueuePause.objects.create(
        queue=Queue.RECEIPTS, reason="mail", actor="tests", paused_at=timezone.now()
    )
    assert claim(Queue.RECEIPTS) == []
    pause.delete()
    assert len(claim(Queue.RECEIPTS)) == 1
