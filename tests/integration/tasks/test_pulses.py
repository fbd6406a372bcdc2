"""A worker lives and no longer works, or nobody works at all: noticed by others, and ended."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Callable
from io import StringIO

import pytest
from celery.worker import state
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tests.shop import Shop, claim
from web.payments.bell import bell
from web.payments.jobs import CATALOGUE, Queue
from web.payments.models import Job, WorkerPulse
from web.payments.operations import pulses
from web.payments.queries.pulses import SILENT_AFTER, silent_of, silent_queues, workers
from workers import probes, watch
from workers.pulse import DEAF_BEATS_TO_END, DEAF_BEATS_TO_TELL, QUIET_SECONDS, QUIET_WITH_WORK_SECONDS, Pulse

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


def test_scenario_23_a_worker_that_lives_and_hears_no_bell_is_deaf(
    due: Job, alive: Callable[..., None]
) -> None:
    alive()
    (silent,) = silent_queues(now=timezone.now())
    assert silent.consumers == 1
    assert silent_of(worker=NAME, now=timezone.now()) == ["intents"]
    assert silent_of(worker="mail@here", now=timezone.now()) == [], "not its queue"
    out = StringIO()
    call_command("workers", stdout=out)
    assert "nobody takes them (1 workers say that they would)" in out.getvalue()


def test_a_bell_that_arrives_or_a_claim_is_proof_of_work(due: Job, alive: Callable[..., None]) -> None:
    alive(drained=True)
    assert silent_queues(now=timezone.now()) == []
    assert silent_of(worker=NAME, now=timezone.now()) == []
    (worker,) = workers(now=timezone.now())
    assert (worker.queues, worker.threads, worker.is_alive) == (("intents", "refunds"), 16, True)
    WorkerPulse.objects.all().delete()
    shop = Shop.make()
    shop.request(shop.cart())
    assert len(claim(Queue.INTENTS)) == 1  # somebody works there, and has not come to the old one yet
    assert silent_queues(now=timezone.now()) == []


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> Pulse:
    """The pulse of a worker that has heard nothing for longer than a minute, and cannot end the tests."""
    monkeypatch.setattr("django.db.connection.close", lambda: None)  # the test's own
    monkeypatch.setattr(state, "active_requests", set())
    beating = Pulse()
    beating.name, beating.queues, beating.threads = NAME, ["intents"], 16
    beating._heard = sum(state.total_count.values())
    hear_nothing(beating, QUIET_SECONDS + 10)
    monkeypatch.setattr(beating, "end", lambda: None)
    monkeypatch.setattr("workers.pulse.pulse", beating)
    return beating


def hear_nothing(beating: Pulse, seconds: float) -> None:
    beating._heard_at = time.monotonic() - seconds


def beat_until_told(beating: Pulse) -> None:
    for _ in range(DEAF_BEATS_TO_TELL):
        beating.beat()


def test_a_worker_that_hears_is_not_deaf_whatever_the_rows_say(
    due: Job, alive: Callable[..., None], beating: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive()
    beat_until_told(beating)
    assert beating.is_deaf
    monkeypatch.setattr(state, "total_count", Counter({"paydesk.drain": beating._heard + 1}))
    beating.beat()
    assert not beating.is_deaf


def test_what_the_last_of_its_name_held_is_asked_for_until_the_database_answers(
    beating: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def take_over(*, worker: str, began: datetime.datetime) -> int:
        asked.append(worker)
        if len(asked) == 1:
            raise OperationalError
        return 1

    monkeypatch.setattr("web.payments.operations.backlog.take_over", take_over)
    beating.began = timezone.now()
    with pytest.raises(OperationalError):
        beating.beat()
    beating.beat()
    beating.beat()
    assert asked == [NAME, NAME]


def test_a_young_worker_is_given_time(due: Job, alive: Callable[..., None], beating: Pulse) -> None:
    alive()
    hear_nothing(beating, QUIET_SECONDS / 2)
    beat_until_told(beating)
    assert not beating.is_deaf


def test_a_worker_whose_threads_all_wait_for_stripe_is_not_deaf(
    due: Job, alive: Callable[..., None], beating: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long its jobs may take; what is in hand for longer than any lease explains nothing."""
    alive()
    monkeypatch.setattr(state, "active_requests", {"a drain"})
    longest = max(kind.lease_seconds for kind in CATALOGUE.values())
    hear_nothing(beating, longest)
    beat_until_told(beating)
    assert not beating.is_deaf
    hear_nothing(beating, QUIET_WITH_WORK_SECONDS + 10)
    beat_until_told(beating)
    assert beating.is_deaf


def test_a_worker_whose_broker_is_away_is_not_deaf(
    due: Job, alive: Callable[..., None], beating: Pulse, settings: Settings
) -> None:
    """Starting it anew would bring nothing back."""
    alive()
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    beat_until_told(beating)
    assert not beating.is_deaf


def test_a_worker_rings_itself_before_it_is_taken_for_deaf(
    due: Job, alive: Callable[..., None], beating: Pulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beat may be down: then nobody rings, and a worker that hears is well all the same."""
    rung: list[str] = []
    monkeypatch.setattr(bell, "ring", rung.append)
    alive()
    beating.beat()
    assert rung == ["intents"]
    assert not beating.is_deaf, "its own bell may be on the way"


def test_a_deaf_worker_fails_its_probe_and_then_ends(
    due: Job,
    alive: Callable[..., None],
    beating: Pulse,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: object,
) -> None:
    monkeypatch.setenv("PROBE_DIR", str(tmp_path))
    alive()
    ended: list[bool] = []
    monkeypatch.setattr(beating, "end", lambda: ended.append(True))
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
