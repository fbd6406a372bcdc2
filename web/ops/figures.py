"""How things are now, for `/metrics`: read from the database, whatever broker and workers may think of it.

Read at most every few seconds by a process, and given up after two: a scrape must never be a load of its own. Where
the database does not answer, that is what is said, and the figures are absent rather than old.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterable, Iterator

import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from web.ops import health
from web.payments.models import StripeAccount
from web.payments.queries import pulses, queues, standing

log = structlog.get_logger(__name__)

PREFIX = "paydesk_"


class Figures:
    """A collector of what is true now."""

    def collect(self) -> Iterable[Metric]:
        """Return the figures, those of a few seconds ago where they were just read."""
        return _cached()


_lock = threading.Lock()
_read_at = 0.0
_kept: list[Metric] = []


def _cached() -> list[Metric]:
    global _read_at, _kept
    with _lock:  # scrapes at once are answered by one reading
        if time.monotonic() - _read_at > settings.METRICS_CACHE_SECONDS or not _kept:
            _kept = list(read(now=timezone.now()))
            _read_at = time.monotonic()
        return _kept


def forget() -> None:
    """Read anew at the next scrape."""
    global _kept
    _kept = []


def read(*, now: datetime.datetime) -> Iterator[Metric]:
    """Ask database, Redis and broker now."""
    yield _gauge("redis_up", "Whether Redis answers.", health.redis_state() == "ok")
    yield _gauge("broker_up", "Whether the broker answers.", health.broker_state() == "ok")
    started = time.monotonic()
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:  # for this transaction only: PgBouncer keeps no settings
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true)", [str(settings.METRICS_STATEMENT_MS)]
                )
            figures = list(_of_the_database(now))
    except DatabaseError as error:
        log.warning("figures.not_read", error=type(error).__name__)
        connection.close()
        yield _gauge("database_up", "Whether the database answers with the figures.", 0)
        return
    yield _gauge("database_up", "Whether the database answers with the figures.", 1)
    yield _gauge("figures_seconds", "How long the figures took to read.", time.monotonic() - started)
    yield from figures


def _of_the_database(now: datetime.datetime) -> Iterator[Metric]:
    yield from _queues(now)
    yield from _money(now)
    beat = pulses.beat(now=now)
    yield _gauge("beat_alive", "How many beats show life: exactly one is right.", len(beat.hosts))
    if beat.seen_seconds is not None:
        yield _gauge("beat_silent_seconds", "Since beat's clock last turned.", beat.seen_seconds)
    if beat.ticked_seconds is not None:
        yield _gauge(
            "beat_tick_unheard_seconds", "Since a tick of beat's was last carried out.", beat.ticked_seconds
        )
    yield _gauge(
        "accounts_silent",
        "Accounts whose breaker is open: Stripe does not answer for them.",
        StripeAccount.objects.exclude(silent_since=None).count(),
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        yield _gauge("database_bytes", "The size of the database.", cursor.fetchone()[0])


def _queues(now: datetime.datetime) -> Iterator[Metric]:
    jobs = _family("queue_jobs", "Jobs of a queue: due now, later, running, dead.", "queue", "state")
    oldest = _family("queue_oldest_seconds", "For how long the oldest due job has been due.", "queue")
    paused = _family("queue_paused", "1 where somebody paused the queue.", "queue")
    now_standing = queues.standing(now=now)
    for one in now_standing:
        for state, number in (
            ("due", one.due),
            ("later", one.later),
            ("running", one.in_flight),
            ("dead", one.dead),
        ):
            jobs.add_metric([one.queue, state], number)
        oldest.add_metric([one.queue], one.oldest_seconds or 0.0)
        paused.add_metric([one.queue], float(one.is_paused))
    heard = _family(
        "queue_unheard_seconds", "Since a worker of the queue last heard a bell or took a job.", "queue"
    )
    consumers = _family("queue_consumers", "Workers that live and say that they serve the queue.", "queue")
    for hearing in pulses.hearing(now=now):
        consumers.add_metric([hearing.queue], hearing.consumers)
        if hearing.unheard_seconds is not None:
            heard.add_metric([hearing.queue], hearing.unheard_seconds)
    yield from (jobs, oldest, paused, heard, consumers)
    outbox = queues.outbox(now_standing)
    yield _gauge(
        "outbox_lag_seconds",
        "For how long the oldest job that nobody took has been due, of queues that are not paused.",
        outbox.lag_seconds or 0.0,
    )
    inbox = queues.inbox(now=now)
    events = _family(
        "inbox_events", "Stripe's events that are stored and not applied, and those given up.", "state"
    )
    events.add_metric(["waiting"], inbox.waiting)
    events.add_metric(["dead"], inbox.dead)
    yield events
    yield _gauge(
        "inbox_lag_seconds",
        "For how long the oldest event has waited to be applied.",
        inbox.lag_seconds or 0.0,
    )


def _money(now: datetime.datetime) -> Iterator[Metric]:
    stuck = standing.stuck(now=now)
    moving = _family("stuck", "What only we could move and did not for five minutes.", "kind")
    moving.add_metric(["payment"], stuck.payments)
    moving.add_metric(["refund"], stuck.refunds)
    yield moving
    yield from _at_risk(
        standing.held(),
        _family("held_number", "Payments that came in and fit no order.", "currency"),
        _family("held_minor", "Their money, in the currency's smallest unit.", "currency"),
    )
    yield from _at_risk(
        standing.drift(),
        _family("drift_number", "Differences between Stripe's books and ours.", "currency"),
        _family("drift_minor", "What hangs on them, in the currency's smallest unit.", "currency"),
    )
    yield _gauge("double_payments", "Sales that were paid twice: the second is held.", standing.paid_twice())
    yield _gauge(
        "readers_stuck",
        "Places at readers that should have been looked at and were not.",
        standing.stuck_readers(now=now),
    )


def _at_risk(
    sums: list[standing.AtRisk], number: GaugeMetricFamily, minor: GaugeMetricFamily
) -> Iterator[Metric]:
    for one in sums:
        number.add_metric([one.amount.currency], one.number)
        minor.add_metric([one.amount.currency], one.amount.amount)
    yield from (number, minor)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, help_text, value=float(value))


def _family(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, help_text, labels=labels)
