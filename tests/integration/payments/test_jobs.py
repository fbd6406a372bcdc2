"""Jobs: written with the change, joined while they wait, claimed fairly, overtaken when their holder is gone."""

from __future__ import annotations

import datetime
import threading
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django import Settings

from tests.factories import BusinessFactory
from tests.shop import claim
from web.core.models import Business
from web.payments import jobs
from web.payments.jobs import CREATE_INTENT, SEND_RECEIPT, LeaseLost, Queue, enqueue
from web.payments.models import Job
from web.payments.operations import backlog

NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


def put(business: Business, *, key: str | None = None, **options: Any) -> None:
    with transaction.atomic():
        enqueue(CREATE_INTENT, business_id=business.id, payment_id=1, dedup_key=key, now=NOW, **options)


def take(limit: int = 1, *, later: float = 0) -> list[jobs.Lease]:
    now = NOW + datetime.timedelta(seconds=later)
    return backlog.claim(queue=Queue.INTENTS, limit=limit, worker="tests", now=now)


@pytest.mark.django_db
def test_a_job_needs_a_transaction_and_its_own_arguments() -> None:
    business = BusinessFactory.create()
    with pytest.raises(TypeError, match="payment_id"):
        enqueue(CREATE_INTENT, business_id=business.id, order_id=1, now=NOW)


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_nothing_is_queued() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        enqueue(CREATE_INTENT, business_id=1, payment_id=1, now=NOW)


@pytest.mark.django_db
def test_waiting_twins_are_joined_and_keep_the_earlier_and_more_urgent() -> None:
    business = BusinessFactory.create()
    later = NOW + datetime.timedelta(minutes=5)
    put(business, key="k", due_at=later, priority=5)
    put(business, key="k", priority=0)
    put(business, key="k", due_at=later, priority=5)
    job = Job.objects.get()
    assert (job.due_at, job.priority) == (NOW, 0)


@pytest.mark.django_db
def test_a_running_job_does_not_swallow_a_new_wake_up() -> None:
    business = BusinessFactory.create()
    put(business, key="k")
    (lease,) = take()
    put(business, key="k")
    assert Job.objects.filter(state="waiting").count() == 1
    backlog.put_off(
        lease, error="later", now=NOW
    )  # cannot wait beside its twin: it ends, the twin carries on
    assert sorted(Job.objects.values_list("state", flat=True)) == ["done", "waiting"]


@pytest.mark.django_db(transaction=True)
def test_joining_holds_the_twin_back_until_our_change_is_committed() -> None:
    business = BusinessFactory.create()
    put(business, key="k")
    seen: list[int] = []

    def claim_in_another_connection() -> None:
        seen.append(len(take()))
        connection.close()

    with transaction.atomic():
        enqueue(CREATE_INTENT, business_id=business.id, payment_id=1, dedup_key="k", now=NOW)
        thread = threading.Thread(target=claim_in_another_connection)
        thread.start()
        thread.join(10)
    assert seen == [0]
    assert len(take()) == 1


@pytest.mark.django_db
def test_one_flood_does_not_starve_the_others() -> None:
    flood, other, third = BusinessFactory.create(), BusinessFactory.create(), BusinessFactory.create()
    for _ in range(50):
        put(flood)
    put(other)
    put(third)
    served = [lease.business_id for lease in take(limit=3)]
    assert sorted(served) == sorted([flood.id, other.id, third.id])


@pytest.mark.django_db
def test_the_cap_leaves_threads_to_the_others(settings: Settings) -> None:
    settings.JOBS_IN_FLIGHT_PER_BUSINESS = 2
    flood, other = BusinessFactory.create(), BusinessFactory.create()
    for _ in range(10):
        put(flood)
    assert len(take(limit=10)) == 2
    assert take(limit=10) == []
    put(other)
    assert [lease.business_id for lease in take(limit=10)] == [other.id]


@pytest.mark.django_db(transaction=True)
def test_claims_at_once_do_not_pass_the_cap(settings: Settings) -> None:
    settings.JOBS_IN_FLIGHT_PER_BUSINESS = 3
    business = BusinessFactory.create()
    for _ in range(20):
        put(business)
    barrier = threading.Barrier(8)
    taken: list[int] = []

    def work() -> None:
        barrier.wait(10)
        taken.extend(lease.job_id for lease in take())
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(taken) == len(set(taken)) == 3


@pytest.mark.django_db
def test_asking_again_does_not_cut_a_back_off_short() -> None:
    business = BusinessFactory.create()
    put(business, key="k")
    (lease,) = take()
    backlog.put_off(lease, error="429", now=NOW)
    due_at = Job.objects.get().due_at
    put(business, key="k")
    assert Job.objects.get().due_at == due_at > NOW


@pytest.mark.django_db
def test_priority_goes_first_within_a_business() -> None:
    business = BusinessFactory.create()
    put(business, priority=jobs.NOBODY_WAITS)
    put(business, priority=jobs.PERSON_WAITS)
    urgent = Job.objects.get(priority=jobs.PERSON_WAITS)
    assert [lease.job_id for lease in take()] == [urgent.id]


@pytest.mark.django_db
def test_a_job_is_claimed_once_and_again_only_after_its_lease() -> None:
    put(BusinessFactory.create())
    (first,) = take()
    assert take(later=CREATE_INTENT.lease_seconds - 1) == []
    (second,) = take(later=CREATE_INTENT.lease_seconds + 1)
    assert (second.job_id, second.fence, second.attempts) == (first.job_id, first.fence + 1, 2)
    with transaction.atomic(), pytest.raises(LeaseLost):
        jobs.hold(first)
    assert not jobs.complete(first, now=NOW)
    assert jobs.complete(second, now=NOW)
    assert Job.objects.get().state == "done"


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_starts_takes_over_what_the_last_of_its_name_held() -> None:
    """And of nobody else's, nor what it has claimed itself since it began."""
    business = BusinessFactory.create()
    holders = ["stripe@here:7:1", "stripe@here:7:2", "stripe@here-2:9:1", "mail@here:8:1"]
    for _ in holders:
        put(business)
    leases = {
        holder: backlog.claim(queue=Queue.INTENTS, limit=1, worker=holder, now=NOW)[0] for holder in holders
    }
    began = NOW + datetime.timedelta(seconds=1)
    put(business)
    (own,) = backlog.claim(queue=Queue.INTENTS, limit=1, worker="stripe@here:7:1", now=began)
    assert backlog.take_over(worker="stripe@here", began=began) == 2
    assert backlog.take_over(worker="stripe@here", began=began) == 0
    taken = {lease.job_id: lease for lease in take(later=1.5, limit=10)}
    assert set(taken) == {leases[holder].job_id for holder in holders[:2]}
    dead = leases["stripe@here:7:1"]
    assert not jobs.complete(dead, now=began), "should it live after all, it can end nothing"
    assert jobs.complete(taken[dead.job_id], now=began)
    assert jobs.complete(own, now=began)


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_dies_again_and_again_uses_up_no_tries_in_a_hurry() -> None:
    put(BusinessFactory.create())
    at = NOW
    for number in range(1, CREATE_INTENT.max_attempts + 1):
        (lease,) = backlog.claim(queue=Queue.INTENTS, limit=1, worker="stripe@here:7:1", now=at)
        assert lease.attempts == number
        began = at + datetime.timedelta(seconds=1)
        assert backlog.take_over(worker="stripe@here", began=began) == 1
        until = Job.objects.get().leased_until
        assert until is not None
        at = until + datetime.timedelta(milliseconds=1)
    assert at - NOW > datetime.timedelta(minutes=5)


@pytest.mark.django_db(transaction=True)
def test_two_claims_at_once_never_take_the_same_job() -> None:
    business = BusinessFactory.create()
    for _ in range(40):
        put(business)
    taken: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        while leases := backlog.claim(queue=Queue.INTENTS, limit=1, worker="t", now=NOW):
            with lock:
                taken.extend(lease.job_id for lease in leases)
            jobs.complete(leases[0], now=NOW)
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # A claim may come back empty while others hold the rows; nothing is lost by that.
    taken.extend(lease.job_id for lease in take(limit=40))
    assert len(taken) == len(set(taken)) == 40


@pytest.mark.django_db
def test_an_exhausted_job_is_dead_visible_and_replayable() -> None:
    put(BusinessFactory.create(), key="k")
    Job.objects.update(attempts=CREATE_INTENT.max_attempts - 1)
    (lease,) = take()
    backlog.put_off(lease, error="Boom", now=NOW)
    job = Job.objects.get()
    assert (job.state, job.last_error) == ("dead", "Boom")
    assert take(later=10_000) == []
    assert backlog.replay(now=NOW, name=CREATE_INTENT.name) == 1
    (again,) = take()
    assert again.attempts == 1


@pytest.mark.django_db
def test_tries_are_spread_further_and_further() -> None:
    assert 0.75 <= backlog.retry_delay(1).total_seconds() <= 1.25
    assert 6 <= backlog.retry_delay(4).total_seconds() <= 10
    assert backlog.retry_delay(50).total_seconds() <= backlog.LONGEST_RETRY_SECONDS * 1.25


@pytest.mark.django_db
def test_due_queues_sees_waiting_and_overtaken_work() -> None:
    business = BusinessFactory.create()
    with transaction.atomic():
        enqueue(SEND_RECEIPT, business_id=business.id, order_id=1, now=timezone.now())
    assert backlog.due_queues(now=timezone.now()) == [Queue.RECEIPTS]
    claim(Queue.RECEIPTS)
    assert backlog.due_queues(now=timezone.now()) == []
    late = timezone.now() + datetime.timedelta(seconds=SEND_RECEIPT.lease_seconds + 1)
    assert backlog.due_queues(now=late) == [Queue.RECEIPTS]


def flood(business: Business, number: int, *, priority: int = 0, due_at: datetime.datetime = NOW) -> None:
    """Let many jobs of a business wait."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO payments_job (public_id, name, queue, business_id, arguments, priority, state, attempts,
                                      put_offs, due_at, fence, worker, last_error, created_at)
            SELECT gen_random_uuid(), 'create_intent', 'intents', %s, '{"payment_id": 1}', %s, 'waiting', 0, 0, %s,
                   0, '', '', now()
            FROM generate_series(1, %s)
            """,
            [business.id, priority, due_at, number],
        )


@pytest.mark.django_db
def test_ten_thousand_jobs_of_one_business_hide_nobody() -> None:
    big, other = BusinessFactory.create(), BusinessFactory.create()
    flood(big, 10_000, due_at=NOW - datetime.timedelta(hours=1))
    put(other)
    assert other.id in [lease.business_id for lease in take(limit=2)]


@pytest.mark.django_db
def test_whoever_is_not_among_the_oldest_has_its_turn_a_few_claims_later(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """A flood, and more businesses than a claim looks at, whose jobs are not due: the newest sale is still found."""
    monkeypatch.setattr(backlog, "HOPS", 4)
    monkeypatch.setattr(backlog, "OLDEST", 8)
    settings.JOBS_IN_FLIGHT_PER_BUSINESS = 1000
    big = BusinessFactory.create()
    flood(big, 200, due_at=NOW - datetime.timedelta(hours=1))
    for _ in range(40):
        flood(BusinessFactory.create(), 2, due_at=NOW + datetime.timedelta(hours=1))
    late = BusinessFactory.create()
    put(late)
    served = [take()[0].business_id for _ in range(12)]
    assert late.id in served
    assert served.count(big.id) == 11


@pytest.mark.django_db
def test_turns_go_round_and_begin_anew_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the last claim ended, once around meets everybody, and nobody twice."""
    monkeypatch.setattr(backlog, "OLDEST", 0)
    businesses = [BusinessFactory.create() for _ in range(3)]
    for ended_at in businesses:
        for business in businesses:
            put(business)
        monkeypatch.setitem(backlog._cursors, Queue.INTENTS, ended_at.id)
        assert {lease.business_id for lease in take(limit=5)} == {one.id for one in businesses}
        assert backlog._cursors[Queue.INTENTS] == ended_at.id
        assert take() == []


@pytest.mark.django_db
def test_a_person_who_waits_is_served_before_any_sweep_of_anybody() -> None:
    flood(BusinessFactory.create(), 300, priority=5, due_at=NOW - datetime.timedelta(hours=1))
    person = BusinessFactory.create()
    put(person)
    assert take()[0].business_id == person.id


@pytest.mark.django_db
def test_an_account_that_is_slow_gets_fewer_slots(settings: Settings) -> None:
    settings.JOBS_IN_FLIGHT_PER_BUSINESS = 6
    slow = BusinessFactory.create()
    for _ in range(20):
        put(slow)
    assert len(take(limit=2)) == 2
    assert len(take(limit=10, later=1)) == 4, "not known to be slow yet"
    first = Job.objects.filter(state="running").order_by("id")
    for job in first[:5]:
        Job.objects.filter(id=job.id).update(state="done")
    assert len(take(limit=10, later=10)) == 1, "one is still in flight, and it takes long: two slots, not six"


@pytest.mark.django_db
def test_a_worker_that_is_nearly_full_leaves_room_for_others() -> None:
    busy, other = BusinessFactory.create(), BusinessFactory.create()
    for _ in range(5):
        put(busy)
    assert len(take()) == 1
    full: dict[str, Any] = {"queue": Queue.INTENTS, "limit": 5, "worker": "tests", "now": NOW, "cap": 1}
    assert backlog.claim(**full) == []
    put(other)
    assert [lease.business_id for lease in backlog.claim(**full)] == [other.id]
