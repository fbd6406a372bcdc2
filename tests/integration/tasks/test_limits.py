"""Stripe's budget and Stripe's health: one for all workers, and nobody's fault."""

from __future__ import annotations

import datetime
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from tasks import limits, relay, watch
from tasks.handlers import HANDLERS
from tasks.limits import rules
from tasks.limits.rules import Ask, Breaker, Bucket, Ledger, Verdict
from tasks.limits.shared import Limits, Shared
from tests.integration.conftest import AtStripe
from tests.shop import claim, claim_one
from web.checkout.words import words_for
from web.payments import jobs
from web.payments.jobs import CREATE_INTENT, READ_INTENT, Queue
from web.payments.models import Attempt, Cart, Job, Payment, PaymentEvent, PaymentSettings, StripeAccount
from web.payments.operations import accounts, backlog, intents
from web.payments.states import PaymentState

Make = Callable[..., AtStripe]


@pytest.fixture
def prefix() -> Iterator[str]:
    """A corner of Redis of the test's own."""
    name = f"paydesk:tests:{uuid.uuid4().hex}:"
    yield name
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    for key in client.scan_iter(f"{name}*"):
        client.delete(key)
    client.close()


# --- the arithmetic: plain, and in Redis ----------------------------------------------------------------


@pytest.mark.parametrize("per_second", [1, 2, 25, 100])
def test_no_second_ever_sees_more_than_the_budget(per_second: int) -> None:
    ledger = Ledger()
    ask = Ask("a", "GET x", per_second, 10_000)
    taken = [
        step / 200
        for step in range(2000)  # ten seconds of asking every 5 ms
        if ledger.admit(ask, patience=1, now=step / 200).verdict is Verdict.GO
    ]
    allowed = max(per_second, 1 + rules.refill(per_second))  # one call a second still needs a first one
    for start in taken:
        assert sum(start <= at < start + 1 for at in taken) <= allowed
    assert len(taken) >= 10 * rules.refill(per_second) - 1


def test_people_may_take_what_sweeps_must_leave() -> None:
    ledger = Ledger()
    sweep = Ask("a", "GET x", 25, 25, is_sweep=True)
    verdicts = [ledger.admit(sweep, patience=0, now=1000.0).verdict for _ in range(5)]
    assert verdicts == [Verdict.GO] * 3 + [Verdict.WAIT] * 2
    person = Ask("a", "GET x", 25, 25)
    verdicts = [ledger.admit(person, patience=1, now=1000.0).verdict for _ in range(3)]
    assert verdicts == [Verdict.GO] * 2 + [Verdict.WAIT]


def test_an_endpoint_has_its_own_budget_within_the_accounts() -> None:
    ledger = Ledger()
    reads, writes = Ask("a", "GET x", 100, 25), Ask("a", "POST x", 100, 25)
    assert [ledger.admit(reads, patience=1, now=1.0).verdict for _ in range(6)][-1] is Verdict.WAIT
    assert ledger.admit(writes, patience=1, now=1.0).verdict is Verdict.GO
    assert ledger.admit(Ask("b", "GET x", 100, 25), patience=1, now=1.0).verdict is Verdict.GO


def test_a_crowd_that_is_turned_away_comes_back_one_by_one() -> None:
    ledger = Ledger()
    ask = Ask("a", "GET x", 25, 25, is_sweep=True)
    seconds = [ledger.admit(ask, patience=0, now=50.0).seconds for _ in range(103)][3:]
    assert seconds == sorted(seconds)
    assert 4 < seconds[-1] < 6  # a hundred at twenty a second


def test_a_drained_bucket_waits_longer_each_time_and_forgets() -> None:
    bucket = Bucket(5.0, 100.0)
    assert bucket.drain(100.0) == 0.5
    assert bucket.drain(100.2) == pytest.approx(0.3)  # others in flight heard the same: it counts once
    assert bucket.wait(25, 100.2, is_sweep=False) == pytest.approx(0.3 + 1 / 20)
    assert [bucket.drain(100.0 + 40 * n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]
    assert bucket.drain(1000.0) == 0.5


def test_a_breaker_opens_probes_and_opens_longer() -> None:
    breaker = Breaker()
    assert [breaker.fail(10.0 + n, is_probe=False) for n in range(3)] == [None] * 3
    opened = breaker.fail(14.0, is_probe=False)
    assert opened is not None
    assert (opened.is_new, opened.seconds) == (True, rules.FIRST_OPEN_SECONDS)
    assert breaker.look(15.0) == (Verdict.OPEN, 4.0)
    assert breaker.look(19.0)[0] is Verdict.PROBE
    breaker.probe_until = 19.0 + rules.PROBE_SECONDS
    assert breaker.look(20.0) == (Verdict.OPEN, rules.RECHECK_SECONDS)  # one probe at a time
    again = breaker.fail(20.0, is_probe=True)
    assert again is not None
    assert (again.is_new, again.seconds) == (False, 2 * rules.FIRST_OPEN_SECONDS)


def test_failures_far_apart_open_nothing() -> None:
    breaker = Breaker()
    for n in range(20):
        assert breaker.fail(n * rules.FAILURES_WITHIN_SECONDS / 2, is_probe=False) is None


def test_redis_and_python_decide_alike(prefix: str) -> None:
    """The same thousand questions, with the same clock, to the script in Redis and to the plain arithmetic."""
    chance = random.Random(23)
    shared, ledger = Shared(prefix), Ledger()
    now = 1_800_000_000.0
    seen: set[str] = set()
    for _ in range(1500):
        now += chance.choice([0, 0.001, 0.02, 0.3, 4, 70])
        key, endpoint = chance.choice(["a", "b"]), chance.choice(["GET x", "POST x"])
        move = chance.choice(["admit"] * 8 + ["drain", "failed", "failed", "answered"])
        is_probe = chance.random() < 0.4
        if move == "admit":
            ask = Ask(key, endpoint, 25, chance.choice([5, 25]), is_sweep=chance.random() < 0.5)
            patience = chance.choice([0.0, 0.8])
            here = ledger.admit(ask, patience=patience, now=now)
            there = shared.admit(ask, patience=patience, now=f"{now:.6f}")
            assert (here.verdict, here.failures) == (there.verdict, there.failures)
            assert here.seconds == pytest.approx(there.seconds, abs=1e-3)
            seen.add(here.verdict.value)
        elif move == "drain":
            name = chance.choice(["", endpoint])
            assert ledger.drain(key, name, now=now) == pytest.approx(
                shared.drain(key, name, now=f"{now:.6f}"), abs=1e-3
            )
        elif move == "failed":
            mine = ledger.failed(key, is_probe=is_probe, now=now)
            theirs = shared.failed(key, is_probe=is_probe, now=f"{now:.6f}")
            assert (mine is None) == (theirs is None)
            if mine is not None and theirs is not None:
                assert mine.is_new == theirs.is_new
                assert mine.seconds == pytest.approx(theirs.seconds, abs=1e-3)
        elif chance.random() < 0.2:
            assert ledger.answered(key) == shared.answered(key)
    assert seen == {"go", "probe", "wait", "open"}


def test_eight_workers_share_one_budget(prefix: str) -> None:
    limited = Limits(Shared(prefix))
    ask = Ask("a", "POST x", 25, 25)
    went: list[float] = []
    until = time.monotonic() + 2

    def work() -> None:
        while time.monotonic() < until:
            admission = limited.admit(ask, patience=1)
            if admission.verdict is Verdict.GO:
                went.append(time.monotonic())
            else:
                time.sleep(min(admission.seconds, 0.05))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(went) <= rules.burst(25) + rules.refill(25) * 2.5  # the last ones may have been late
    assert len(went) >= rules.burst(25)


def test_without_redis_a_process_has_its_share(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    limited = Limits()
    ask = Ask(uuid.uuid4().hex, "GET x", 100, 100)
    verdicts = [limited.admit(ask, patience=1).verdict for _ in range(30)]
    went = verdicts.count(Verdict.GO)
    assert 1 <= went <= rules.burst(25) + 3  # a quarter of a hundred, and what came back meanwhile
    assert verdicts.count(Verdict.WAIT) == 30 - went
    admission = limited.admit(Ask("other", "GET x", 100, 100), patience=1)
    for _ in range(rules.FAILURES_TO_OPEN):
        limited.failed("other", admission)
    assert limited.is_open("other")
    assert limited.seconds_shut("other") > 0
    assert limited.answered("other", admission)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://api.stripe.com/v1/payment_intents", "GET payment_intents"),
        ("https://api.stripe.com/v1/payment_intents/pi_3QxY2?expand[0]=x", "GET payment_intents/-"),
        ("http://127.0.0.1:4/v1/payment_intents/pi_1a/cancel", "GET payment_intents/-/cancel"),
        ("https://api.stripe.com/v1/terminal/readers/tmr_abc/cancel_action", "GET terminal/readers/-/cancel_action"),
        ("https://api.stripe.com/v1/accounts/acct_studio", "GET accounts/-"),
    ],
)  # fmt: skip
def test_an_endpoint_is_a_path_without_ids(url: str, endpoint: str) -> None:
    assert limits.endpoint_of("get", url) == endpoint


# --- jobs that meet it ------------------------------------------------------------------------------------

stripe_db = pytest.mark.django_db(transaction=True)


def hurry() -> None:
    Job.objects.filter(state="waiting").update(due_at=timezone.now())


def run(name: str) -> None:
    relay.run(claim_one(name))


@stripe_db
@pytest.mark.parametrize(
    ("fault", "options", "reason"),
    [
        ("rate_limit_429", {}, "stripe_busy"),
        ("rate_limit_429", {"reason": "global-rate"}, "stripe_busy"),
        ("rate_limit_429", {"reason": None}, "stripe_busy"),
        ("lock_timeout_429", {}, "object_in_use"),
    ],
)
def test_429_takes_no_try_away(at_stripe: Make, fault: str, options: dict[str, Any], reason: str) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    Job.objects.update(attempts=CREATE_INTENT.max_attempts - 1)  # its last try
    at.fault(fault, match={"method": "POST"}, times=1, **options)
    run("create_intent")
    job = Job.objects.get()
    assert (job.state, job.attempts, job.put_offs) == ("waiting", CREATE_INTENT.max_attempts - 1, 1)
    assert job.last_error == reason
    payment.refresh_from_db()
    assert payment.state == PaymentState.REQUESTED
    assert 0 < (job.due_at - timezone.now()).total_seconds() < 5
    time.sleep(0.6 if reason == "stripe_busy" else 0)  # the drained bucket's own moment, by Redis' clock
    hurry()
    run("create_intent")
    payment.refresh_from_db()
    assert payment.state == PaymentState.AWAITING
    assert len(at.intents()) == 1


@stripe_db
def test_over_budget_a_sweeps_job_is_put_off_and_a_persons_waits_a_moment(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    payment.refresh_from_db()
    StripeAccount.objects.update(calls_per_second=2)
    account = StripeAccount.objects.get()
    budget = limits.budget_of(account)
    assert (budget.per_second, budget.per_second_and_endpoint) == (2, 25)
    while limits._limits.admit(Ask(budget.key, "-", 2, 25), patience=9).verdict is Verdict.GO:
        pass
    intents.request_read(payment_id=payment.id, now=timezone.now(), priority=jobs.NOBODY_WAITS)
    calls = len(at.sandbox.log)
    run("read_intent")
    job = Job.objects.get(name="read_intent")
    assert (job.state, job.attempts, job.put_offs, job.last_error) == ("waiting", 0, 1, "over_budget")
    assert len(at.sandbox.log) == calls, "nothing was asked of Stripe"
    Job.objects.update(priority=jobs.PERSON_WAITS)
    hurry()
    run("read_intent")
    assert Job.objects.get(name="read_intent").state == "done"


@stripe_db
def test_a_sweep_that_has_begun_waits_for_its_turn_and_does_not_begin_anew(at_stripe: Make) -> None:
    """One needs more calls than it may make at once: put off at each of them it would never end."""
    at_stripe()
    StripeAccount.objects.update(calls_per_second_and_endpoint=5)  # of which a sweep finds one at a time
    account = StripeAccount.objects.get()
    with limits.job(priority=jobs.NOBODY_WAITS) as caller:
        for _ in range(4):
            limits.begin(limits.budget_of(account), "GET list").answered(status=200)
        assert caller.calls == 4
    with limits.job(priority=jobs.NOBODY_WAITS), pytest.raises(limits.TurnedAway):
        limits.begin(limits.budget_of(account), "GET list")


@stripe_db
def test_stripe_away_opens_the_breaker_and_no_job_dies(at_stripe: Make) -> None:
    at, other = at_stripe(), at_stripe()
    payment = at.shop.request(at.shop.cart())
    at.fault("reset_before", times=None)
    began = time.monotonic()
    for _ in range(30):  # more than a job has tries
        hurry()
        run("create_intent")
    probes = (time.monotonic() - began) / rules.FIRST_OPEN_SECONDS  # on a slow machine: it half opens
    job = Job.objects.get()
    assert job.state == "waiting"
    assert job.attempts < CREATE_INTENT.max_attempts
    assert job.last_error == "stripe_unavailable"
    sends = PaymentEvent.objects.filter(kind="stripe.sent").count()
    most = rules.FAILURES_TO_OPEN + int(probes)
    assert rules.FAILURES_TO_OPEN <= sends <= most, "while it is open nothing is written down as sent"
    payment.refresh_from_db()
    assert payment.state == PaymentState.UNKNOWN
    at.shop.account.refresh_from_db()
    assert at.shop.account.silent_since is not None
    assert limits.is_shut(at.shop.account)
    # Another account is none the worse.
    sold = other.shop.request(other.shop.cart())
    relay.run(next(lease for lease in claim(Queue.INTENTS, limit=4) if lease.business_id == sold.business_id))
    sold.refresh_from_db()
    assert sold.state == PaymentState.AWAITING
    # It is back: one probe, and everything goes on.
    at.sandbox.control("DELETE", "faults")
    forget_the_wait(at.shop.account)
    hurry()
    run("create_intent")
    payment.refresh_from_db()
    at.shop.account.refresh_from_db()
    assert payment.state == PaymentState.AWAITING
    assert StripeAccount.objects.filter(id=at.shop.account.id, silent_since=None).exists()
    assert not limits.is_shut(at.shop.account)
    assert len(at.intents()) == 1


def forget_the_wait(account: StripeAccount) -> None:
    """Let the breaker's time be over, by the clock of Redis."""
    client = redis.Redis.from_url(django_settings.REDIS_URL)
    client.hset(Shared()._key("breaker", limits.budget_of(account).key), "open_until", "1")
    client.close()


@stripe_db
def test_a_probe_that_fails_is_not_the_jobs_fault_either(at_stripe: Make) -> None:
    at = at_stripe()
    at.shop.request(at.shop.cart())
    at.fault("error_500_before", times=None)
    for _ in range(rules.FAILURES_TO_OPEN):
        hurry()
        run("create_intent")
    attempts = Job.objects.get().attempts
    for _ in range(3):
        forget_the_wait(at.shop.account)
        hurry()
        run("create_intent")
    job = Job.objects.get()
    assert (job.state, job.attempts) == ("waiting", attempts)
    assert job.put_offs >= 3
    at.sandbox.control("DELETE", "faults")


@stripe_db
def test_a_job_that_fails_by_itself_still_dies(at_stripe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    at = at_stripe()
    at.shop.request(at.shop.cart())

    def broken(**_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setitem(HANDLERS, "create_intent", broken)
    for _ in range(CREATE_INTENT.max_attempts):
        hurry()
        run("create_intent")
    job = Job.objects.get()
    assert (job.state, job.last_error, job.put_offs) == ("dead", "RuntimeError", 0)


@stripe_db
def test_an_unknown_payment_whose_job_is_dead_is_asked_about_again(at_stripe: Make) -> None:
    """Never failed by patience alone, never stuck for want of a job: the sweep makes a new one."""
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    at.fault("reset_after", match={"method": "POST"}, times=1)
    run("create_intent")
    (lease,) = claim_soon()
    backlog.bury(lease, error="gave up", now=timezone.now())
    payment.refresh_from_db()
    assert payment.state == PaymentState.UNKNOWN
    assert payment.next_check_at is not None
    Payment.objects.update(next_check_at=timezone.now())
    assert intents.check_again(limit=10, now=timezone.now()) == 1
    run("create_intent")
    payment.refresh_from_db()
    assert payment.state == PaymentState.AWAITING
    assert [intent["id"] for intent in at.intents()] == [payment.intent_id]
    assert Attempt.objects.get().state == "succeeded"


def claim_soon() -> list[jobs.Lease]:
    hurry()
    return claim(Queue.INTENTS)


@stripe_db
def test_the_lease_says_who_waits_and_whose_account_it_is(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    (lease,) = claim(Queue.INTENTS)
    assert (lease.priority, lease.account_id, lease.put_offs) == (jobs.PERSON_WAITS, at.shop.account.id, 0)
    jobs.complete(lease, now=timezone.now())
    Payment.objects.filter(id=payment.id).update(next_check_at=timezone.now(), intent_id="pi_1")
    intents.check_again(limit=10, now=timezone.now())
    (lease,) = claim(READ_INTENT.queue)
    assert lease.priority == jobs.NOBODY_WAITS
    connection.close()


@stripe_db
def test_a_page_says_that_stripe_is_silent_until_it_is_not(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    accounts.note_silence(stripe_account_id=at.shop.account.id, since=timezone.now())
    payment = Payment.objects.get(id=payment.id)
    words = words_for(payment)
    assert "does not answer" in str(words.message)
    assert words.money_moved is False
    watch.review_silence()  # Redis knows of no open breaker: it has lost it, or Stripe is back
    payment = Payment.objects.get(id=payment.id)
    assert "does not answer" not in str(words_for(payment).message)


@stripe_db
def test_a_business_says_when_a_customer_has_left(at_stripe: Make) -> None:
    at = at_stripe()
    payment = at.shop.request(at.shop.cart())
    run("create_intent")
    PaymentSettings.objects.filter(business=at.shop.business).update(abandoned_after_hours=2)
    now = timezone.now()
    for hours, expected in ((1, PaymentState.AWAITING), (3, PaymentState.CANCELLING)):
        since = now - datetime.timedelta(hours=hours)
        Payment.objects.filter(id=payment.id).update(next_check_at=now, state_changed_at=since)
        intents.check_again(limit=10, now=now)
        payment.refresh_from_db()
        assert payment.state == expected
    assert Cart.objects.get().state == "frozen", "free only once Stripe says so"
