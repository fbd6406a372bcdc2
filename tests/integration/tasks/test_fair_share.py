"""One business's flood, or an account that hangs, does not keep the others waiting: with a worker's own threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from tasks import relay
from tests.integration.conftest import AtStripe
from web.payments.jobs import Queue
from web.payments.models import Job, Payment
from web.payments.states import PaymentState

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(300),
]  # a busy machine starts slowly
Make = Callable[..., AtStripe]
THREADS = 8


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Threads that drain the intents as a worker's do; a bell is as good as rung all the time."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    monkeypatch.setattr(relay.room, "threads", THREADS)

    def work() -> None:
        while not stop.is_set():
            relay.drain(queue=Queue.INTENTS)
            stop.wait(0.05)
        connection.close()

    def start() -> None:
        for _ in range(THREADS):
            threads.append(threading.Thread(target=work))
            threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(60)


def seconds_until_ready(payment: Payment, *, patience: float) -> float:
    started = time.monotonic()
    while time.monotonic() - started < patience:
        if Payment.objects.filter(id=payment.id, state=PaymentState.AWAITING).exists():
            return time.monotonic() - started
        time.sleep(0.05)
    pytest.fail(f"not ready after {patience} s")


def wait_until_hanging(number: int) -> None:
    deadline = time.monotonic() + 30
    while Job.objects.filter(state="running").count() < number:
        assert time.monotonic() < deadline, "the jobs of the accounts that hang were never claimed"
        time.sleep(0.05)


def test_accounts_that_hang_do_not_delay_anothers_sale(
    at_stripe: Make, settings: Settings, worker: Callable[[], None]
) -> None:
    """Three accounts answer after a minute, with more sales than the worker has threads; a fourth sells."""
    settings.STRIPE_READ_TIMEOUT_SECONDS = 12
    hanging, good = [at_stripe() for _ in range(3)], at_stripe()
    for at in hanging:
        at.fault("latency", times=None, ms=60_000, match={"method": "POST"})
        for _ in range(4):
            at.shop.request(at.shop.cart())
    worker()
    wait_until_hanging(6)
    sale = good.shop.request(good.shop.cart())
    # Far less than the twelve seconds that a thread is held: the sale found a thread at once.
    assert seconds_until_ready(sale, patience=30) < 6
    good.sandbox.control("DELETE", "faults")


def test_a_flood_of_one_business_does_not_delay_anothers_sale(
    at_stripe: Make, worker: Callable[[], None]
) -> None:
    big, good = at_stripe(), at_stripe()
    now = timezone.now()
    Job.objects.bulk_create(
        [
            Job(
                name="read_intent", queue=Queue.INTENTS, business=big.shop.business, arguments={"payment_id": 0},
                dedup_key=f"payment:flood {number}", due_at=now, created_at=now,
            )
            for number in range(10_000)
        ]
    )  # fmt: skip
    worker()
    wait_until_hanging(1)
    sale = good.shop.request(good.shop.cart())
    seconds_until_ready(sale, patience=30)
    left = Job.objects.filter(business=big.shop.business, state="waiting", attempts=0).count()
    assert left > 5_000, "the sale did not wait for the flood to end"
