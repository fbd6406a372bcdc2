"""The bell: a burst is one bell a queue, a lost broker costs the request nothing."""

from __future__ import annotations

import threading
import time

import pytest

from web.payments import bell as module
from web.payments.bell import Bell


class Broker:
    """Stands for Celery's sending side."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.failures = 0
        self.arrived = threading.Event()

    def send_task(self, name: str, *, kwargs: dict[str, str], queue: str, **_: object) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        assert name == "paydesk.drain"
        assert kwargs == {"queue": queue}
        self.sent.append(queue)
        self.arrived.set()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(module, "producer", lambda: broker)
    return broker


def test_a_burst_of_marks_is_few_bells_and_the_last_mark_is_never_lost(broker: Broker) -> None:
    bell = Bell()
    for _ in range(500):
        bell.ring("intents")
    bell.ring("receipts")
    bell.wait_until_rung(seconds=2)
    assert broker.sent.count("receipts") == 1
    assert 1 <= broker.sent.count("intents") <= 2
    time.sleep(module.COALESCE_SECONDS * 2)
    before = broker.sent.count("intents")
    bell.ring("intents")
    bell.wait_until_rung(seconds=2)
    assert broker.sent.count("intents") == before + 1


def test_a_broker_that_is_away_costs_the_caller_nothing(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUIET_AFTER_FAILURE_SECONDS", 0.01)
    broker.failures = 1
    bell = Bell()
    started = time.monotonic()
    bell.ring("intents")
    assert time.monotonic() - started < 0.1
    bell.wait_until_rung(seconds=2)
    time.sleep(0.05)
    bell.ring("intents")
    assert broker.arrived.wait(2)
    assert broker.sent == ["intents"]
