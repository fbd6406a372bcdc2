"""One business's flood, or an account that hangs, does not keep the others waiting: with a worker's own threads."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from tasks import relay
from tests.integration.conftest import AtStripe
from web.payments.jobs import PERSON_WAITS, Queue
from web.payments.models import Job, Payment
from web.payments.states import PaymentState

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
]  # a busy machine starts slowly
Make = Callable[..., AtStripe]
THREADS = 8
HANGS_SECONDS = 9
MOST_DELAY_SECONDS = 2


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads that drain the intents as a worker's do; a bell is as good as rung all the time."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    monkeypatch.setattr(relay.room, "threads", THREADS)

    def work() -> None:
        while not stop.is_set():
            relay.drain(queue=Queue.INTENTS)
            stop.wait(0.05)
        connection.close()

    for _ in range(THREADS):
        threads.append(threading.Thread(target=work))
        threads[-1].start()
    yield
    stop.set()
    for thread in threads:
        thread.join(60)


def seconds_of_a_sale(at: AtStripe) -> float:
    """Sell three times; return how long it took (the median) from the order until the customer can pay."""
    return statistics.median(_seconds_until_ready(at) for _ in range(3))


def _seconds_until_ready(at: AtStripe) -> float:
    payment = at.shop.request(at.shop.cart())
    started = time.monotonic()
    while time.monotonic() - started < 30:
        if Payment.objects.filter(id=payment.id, state=PaymentState.AWAITING).exists():
            return time.monotonic() - started
        time.sleep(0.02)
    pytest.fail("not ready after 30 s")


def wait_until_running(number: int) -> set[tuple[int, int]]:
    """Wait until so many jobs run; return which, each with its claim."""
    deadline = time.monotonic() + 30
    while len(running := set(Job.objects.filter(state="running").values_list("id", "fence"))) < number:
        assert time.monotonic() < deadline, "the jobs of the others were never claimed"
        time.sleep(0.05)
    return running


@pytest.mark.usefixtures("worker")
def test_accounts_that_hang_do_not_delay_anothers_sale(at_stripe: Make, settings: Settings) -> None:
    """Three accounts answer after a minute, with more sales than the worker has threads; a fourth sells."""
    settings.STRIPE_READ_TIMEOUT_SECONDS = HANGS_SECONDS
    hanging, good = [at_stripe() for _ in range(3)], at_stripe()
    undisturbed = seconds_of_a_sale(good)
    carts = [(at, at.shop.cart()) for at in hanging for _ in range(3)]
    for at in hanging:
        at.fault("latency", times=None, ms=60_000, match={"method": "POST"})
    for at, cart in carts:
        at.shop.request(cart)
    hang = wait_until_running(THREADS - THREADS // 4)
    seconds = seconds_of_a_sale(good)
    still = set(Job.objects.filter(state="running").values_list("id", "fence"))
    assert hang <= still, "no thread had to come free for the sales"
    assert seconds - undisturbed < MOST_DELAY_SECONDS
    good.sandbox.control("DELETE", "faults")


@pytest.mark.usefixtures("worker")
def test_a_flood_of_one_business_does_not_delay_anothers_sale(at_stripe: Make) -> None:
    big, good = at_stripe(), at_stripe()
    undisturbed = seconds_of_a_sale(good)
    now = timezone.now()
    Job.objects.bulk_create(
        [
            Job(
                name="read_intent", queue=Queue.INTENTS, business=big.shop.business, arguments={"payment_id": 0},
                dedup_key=f"payment:flood {number}", priority=PERSON_WAITS, due_at=now, created_at=now,
            )
            for number in range(10_000)
        ]
    )  # fmt: skip
    wait_until_running(1)
    seconds = seconds_of_a_sale(good)
    left = Job.objects.filter(business=big.shop.business, state="waiting", attempts=0).count()
    assert left > 5_000, "the sales did not wait for the flood to end"
    assert seconds - undisturbed < MOST_DELAY_SECONDS
