"""A worker lives and no longer works, or nobody works at all: noticed by others, and ended."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from tests.shop import Shop, claim
from web.payments.jobs import Queue
from web.payments.models import Job, WorkerPulse
from web.payments.operations import pulses
from web.payments.queries.pulses import SILENT_AFTER, is_deaf, silent_queues, workers
from workers import probes, watch
from workers.pulse import DEAF_BEATS_TO_END, Pulse

pytestmark = pytest.mark.django_db
LONG = SILENT_AFTER + datetime.timedelta(seconds=30)
NAME = "stripe@here"


@pytest.fixture
def due() -> Job:
    """A job that has been due for longer than anybody should take."""
    shop = Shop.make()
    shop.request(shop.cart())
    Job.objects.update(due_at=timezone.now() - LONG)
    return Job.objects.get()


@pytest.fixture
def alive() -> Callable[..., None]:
    """A worker that has lived for a while and beats now."""

    def alive(*, drained: bool = False) -> None:
        now = timezone.now()
        pulses.beat(worker=NAME, queues=["intents", "refunds"], threads=16, now=now - LONG)
        pulses.beat(worker=NAME, queues=["intents", "refunds"], threads=16, now=now)
        if drained:
            pulses.drained(worker=NAME, queue="intents", now=now)

    return alive


def test_work_that_nobody_takes_is_said_aloud_without_any_worker(
    due: Job, caplog: pytest.LogCaptureFixture
) -> None:
    assert watch.look() == 1
    assert "queue.silent" in caplog.text
    (silent,) = silent_queues(now=timezone.now())
    assert (silent.queue, silent.due, silent.consumers) == ("intents", 1, 0)
    answer = Client().get("/readyz").json()
    assert (answer["status"], answer["queues"]) == ("degraded", "silent: intents")


def test_a_worker_that_lives_and_hears_no_bell_is_deaf(due: Job, alive: Callable[..., None]) -> None:
    alive()
    (silent,) = silent_queues(now=timezone.now())
    assert silent.consumers == 1
    assert is_deaf(worker=NAME, now=timezone.now())
    assert not is_deaf(worker="mail@here", now=timezone.now()), "not its queue"
    out = StringIO()
    call_command("workers", stdout=out)
    assert "nobody takes them (1 workers say that they would)" in out.getvalue()


def test_a_bell_that_arrives_or_a_claim_is_proof_of_work(due: Job, alive: Callable[..., None]) -> None:
    alive(drained=True)
    assert silent_queues(now=timezone.now()) == []
    assert not is_deaf(worker=NAME, now=timezone.now())
    (worker,) = workers(now=timezone.now())
    assert (worker.queues, worker.threads, worker.is_alive) == (("intents", "refunds"), 16, True)
    WorkerPulse.objects.all().delete()
    shop = Shop.make()
    shop.request(shop.cart())
    assert len(claim(Queue.INTENTS)) == 1  # somebody works there, and has not come to the old one yet
    assert silent_queues(now=timezone.now()) == []


def test_a_young_worker_is_given_time(due: Job) -> None:
    pulses.beat(worker=NAME, queues=["intents"], threads=16, now=timezone.now())
    assert not is_deaf(worker=NAME, now=timezone.now())


def test_a_deaf_worker_fails_its_probe_and_then_ends(
    due: Job,
    alive: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: object,
) -> None:
    monkeypatch.setenv("PROBE_DIR", str(tmp_path))
    monkeypatch.setattr("django.db.connection.close", lambda: None)  # the test's own
    alive()
    ended: list[bool] = []
    beating = Pulse()
    beating.name, beating.queues, beating.threads = NAME, ["intents"], 16
    monkeypatch.setattr(beating, "end", lambda: ended.append(True))
    monkeypatch.setattr("workers.pulse.pulse", beating)
    for _ in range(DEAF_BEATS_TO_END - 1):
        beating.beat()
    probes._worker_alive()
    assert probes.main("worker") == 1, "its heartbeats no longer count as life"
    assert not ended
    beating.beat()
    assert ended
    pulses.drained(worker=NAME, queue="intents", now=timezone.now())
    beating.beat()
    assert not beating.is_deaf
    probes._worker_alive()
    assert probes.main("worker") == 0


def test_rows_of_long_ago_go() -> None:
    old = timezone.now() - pulses.FORGOTTEN_AFTER * 2
    pulses.beat(worker="gone@here", queues=["intents"], threads=1, now=old)
    pulses.beat(worker=NAME, queues=["intents"], threads=1, now=timezone.now())
    assert [row.worker for row in WorkerPulse.objects.all()] == [NAME]
