"""`/metrics`: who may see it, what it says of the database, and that several processes are one server's."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from tests.shop import Shop
from web.core import metrics
from web.ops import figures
from web.payments.jobs import QUEUES
from web.payments.models import Job
from web.payments.operations import pulses

pytestmark = pytest.mark.django_db

# What may tell two series of one name apart. An id or a business in here would grow without end.
LABELS = {
    "queue",
    "state",
    "view",
    "status",
    "job",
    "outcome",
    "endpoint",
    "reason",
    "kind",
    "currency",
    "le",
}


@pytest.fixture(autouse=True)
def _read_anew() -> None:
    figures.forget()


def scrape(**headers: str) -> dict[tuple[str, ...], float]:
    """Return every sample: its name and the values of its labels, in the order of their names."""
    answer = Client().get("/metrics", headers={"host": "10.0.0.7:8000", **headers})
    assert answer.status_code == 200
    samples: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for one in family.samples:
            assert set(one.labels) <= LABELS, one
            samples[(one.name, *(one.labels[label] for label in sorted(one.labels)))] = one.value
    return samples


def test_only_who_has_the_token_sees_them(settings: Settings) -> None:
    settings.METRICS_TOKEN = "token-of-prometheus"
    for given in ({}, {"authorization": "Bearer another"}, {"authorization": "token-of-prometheus"}):
        assert Client().get("/metrics", headers={"host": "10.0.0.7:8000", **given}).status_code in (400, 404)
    assert scrape(authorization="Bearer token-of-prometheus")[("paydesk_database_up",)] == 1
    settings.METRICS_TOKEN, settings.PAYDESK_LOCAL = "", False
    assert Client().get("/metrics", headers={"host": "10.0.0.7:8000"}).status_code in (400, 404)


def test_queues_as_they_are(settings: Settings) -> None:
    now = timezone.now()
    shop = Shop.make()
    shop.request(shop.cart())
    Job.objects.update(due_at=now - datetime.timedelta(minutes=3))
    pulses.beat(worker="stripe@here", queues=["intents"], threads=16, now=now)
    pulses.drained(worker="stripe@here", queue="intents", now=now - datetime.timedelta(minutes=2))
    said = scrape()
    assert said[("paydesk_queue_jobs", "intents", "due")] == 1
    assert 180 <= said[("paydesk_queue_oldest_seconds", "intents")] < 200
    assert 120 <= said[("paydesk_queue_unheard_seconds", "intents")] < 140
    assert said[("paydesk_queue_consumers", "intents")] == 1
    assert said[("paydesk_queue_consumers", "orders")] == 0
    assert {key[1] for key in said if key[0] == "paydesk_queue_oldest_seconds"} == set(QUEUES)
    Job.objects.update(state="dead", finished_at=now)
    assert scrape()[("paydesk_queue_jobs", "intents", "due")] == 1, "kept for a moment"
    figures.forget()
    assert scrape()[("paydesk_queue_jobs", "intents", "dead")] == 1


def test_a_database_that_takes_too_long_is_said_to_be_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.METRICS_STATEMENT_MS = 20

    def slow(now: datetime.datetime) -> list[object]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")
        return []

    monkeypatch.setattr(figures, "_of_the_database", slow)
    monkeypatch.setattr("django.db.connection.close", lambda: None)  # the test's own
    said = scrape()
    assert said[("paydesk_database_up",)] == 0
    assert not [key for key in said if key[0].startswith("paydesk_queue")], "absent rather than old"


def test_without_broker_and_redis(settings: Settings) -> None:
    settings.REDIS_URL = settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    said = scrape()
    assert (said[("paydesk_redis_up",)], said[("paydesk_broker_up",)]) == (0, 0)
    settings.CELERY_BROKER_URL = "amqp://guest:guest@127.0.0.1:1//"
    figures.forget()
    assert scrape()[("paydesk_broker_up",)] == 0


def test_requests_are_counted_by_view(client: Client) -> None:
    before = scrape().get(("paydesk_http_requests_total", "200", "account_login"), 0)
    client.get("/accounts/login/")
    client.get("/accounts/login/")
    said = scrape()
    assert said[("paydesk_http_requests_total", "200", "account_login")] == before + 2
    assert not [key for key in said if any(re.search(r"[0-9a-f]{8}-", value) for value in key)], "no ids"


def test_a_server_that_showed_every_page_counts_the_next_by_its_name(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_known", {})
    for number in range(metrics.MOST_VALUES + 5):
        metrics.bounded("view", str(number))
    before = scrape().get(("paydesk_http_requests_total", "200", "account_login"), 0)
    client.get("/accounts/login/")
    assert scrape()[("paydesk_http_requests_total", "200", "account_login")] == before + 1


def test_a_label_is_bounded() -> None:
    values = {metrics.bounded("a test's", str(number)) for number in range(metrics.MOST_VALUES + 5)}
    assert len(values) == metrics.MOST_VALUES + 1
    assert "other" in values
    assert metrics.bounded("a test's", "3") == "3"


COUNT_IN_A_CHILD_TOO = """
import os, django
django.setup()
from web.core import metrics
metrics.BELLS.labels("rung").inc(2)
if os.fork() == 0:
    metrics.BELLS.labels("rung").inc(3)
    os._exit(0)
os.wait()
print(metrics.exposition().decode())
"""


def test_the_processes_of_a_server_are_one(tmp_path: Path) -> None:
    env = {**os.environ, "METRICS_DIR": str(tmp_path / "shared")}
    said = subprocess.run(
        [sys.executable, "-c", COUNT_IN_A_CHILD_TOO], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert 'paydesk_bells_total{outcome="rung"} 5.0' in said
