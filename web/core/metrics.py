"""What is counted while Paydesk works: every instrument of every process, in one place, and how they are shown.

Labels are bounded: queues, kinds of jobs, Stripe's endpoints, names of views. Never an id, never a business: with
ten thousand of them the series would outgrow the work. What is *true now* (depths, ages, held money) is not counted
here but read from the database when it is asked for (web/ops/figures.py).

Several processes of one server (granian's, a prefork pool's children) write into one folder, METRICS_DIR, and any of
them can show the sum. Without that folder a process shows what it counted itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Protocol

from django.conf import settings

# Read by prometheus-client when it is first imported: settings have put METRICS_DIR where it looks (settings.py).
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    generate_latest,
    multiprocess,
    start_http_server,
)

__all__ = ["CONTENT_TYPE_LATEST"]

REGISTRY = CollectorRegistry(auto_describe=True)

# From a page that answers at once to one that Stripe keeps waiting until the read timeout of 20 s.
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40)
# Jobs wait for milliseconds, or for the budget, a breaker, a dead worker's lease.
_WAITS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

REQUESTS = Counter(
    "paydesk_http_requests", "Requests answered, by view and status.", ["view", "status"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "paydesk_http_request_seconds",
    "How long a view took to answer.",
    ["view"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
WEBHOOKS = Counter(
    "paydesk_webhooks",
    "Stripe's events as they arrived: stored, repeated, or refused, and why.",
    ["outcome"],
    registry=REGISTRY,
)
WEBHOOK_LAG_SECONDS = Histogram(
    "paydesk_webhook_lag_seconds",
    "From an event's arrival until it was applied.",
    buckets=_WAITS,
    registry=REGISTRY,
)
OUTGOING = Counter(
    "paydesk_outgoing_events",
    "Events sent to businesses' own programs, by what came of the first try: delivered, refused, no_answer.",
    ["outcome"],
    registry=REGISTRY,
)
for _outcome in ("delivered", "refused", "no_answer"):
    OUTGOING.labels(_outcome)  # there from the start: a rate does not see a series' first value
BELLS = Counter(
    "paydesk_bells", "Bells rung, and bells that the broker did not take.", ["outcome"], registry=REGISTRY
)
JOBS = Counter(
    "paydesk_jobs",
    "Runs of jobs by how they ended: done, put_off, excused, failed, dead, lease_lost.",
    ["job", "outcome"],
    registry=REGISTRY,
)
JOB_SECONDS = Histogram(
    "paydesk_job_seconds", "How long a run of a job took.", ["job"], buckets=_SECONDS, registry=REGISTRY
)
JOB_WAIT_SECONDS = Histogram(
    "paydesk_job_wait_seconds",
    "From when a job was due until a worker claimed it.",
    ["queue"],
    buckets=_WAITS,
    registry=REGISTRY,
)
STRIPE_CALLS = Counter(
    "paydesk_stripe_calls",
    "Calls to Stripe by what came back: ok, refused (4xx), limited (429), error (5xx), no_answer.",
    ["endpoint", "outcome"],
    registry=REGISTRY,
)
STRIPE_CALL_SECONDS = Histogram(
    "paydesk_stripe_call_seconds",
    "How long Stripe took to answer.",
    ["endpoint"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
STRIPE_TURNED_AWAY = Counter(
    "paydesk_stripe_turned_away",
    "Calls that were not made: over_budget, or stripe_unavailable (a breaker is open).",
    ["reason"],
    registry=REGISTRY,
)
BREAKERS_OPENED = Counter(
    "paydesk_breakers_opened", "How often Stripe was found not to answer for an account.", registry=REGISTRY
)
WORKER_DEAF = Gauge(
    "paydesk_worker_deaf",
    "1 while this worker lives and no bell reaches it, not even its own.",
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
BEAT_TICKS = Counter("paydesk_beat_ticks", "Turns of beat's loop.", registry=REGISTRY)

# A label that is about to have more values than this is a mistake in the code: those beyond are "other".
MOST_VALUES = 100
_known: dict[str, set[str]] = {}
_lock = threading.Lock()


def bounded(label: str, value: str) -> str:
    """Return the value for a label, or "other" where the label has had its share of values in this process."""
    known = _known.setdefault(label, set())
    if value in known:
        return value
    with _lock:
        if len(known) >= MOST_VALUES:
            return "other"
        known.add(value)
    return value


class Collector(Protocol):
    """Something that says how things are now, when it is asked."""

    def collect(self) -> Iterable[Metric]:
        """Return the metrics."""


def exposition(*collectors: Collector) -> bytes:
    """Return what this server counted, and what the collectors say, as Prometheus reads it."""
    text = generate_latest(_counted())
    if collectors:
        asked = CollectorRegistry()
        for collector in collectors:
            asked.register(collector)
        text += generate_latest(asked)
    return text


def _counted() -> CollectorRegistry:
    if not settings.METRICS_DIR:
        return REGISTRY
    shared = CollectorRegistry()
    multiprocess.MultiProcessCollector(shared, path=settings.METRICS_DIR)  # type: ignore[no-untyped-call]
    return shared


class _Counted:
    """What was counted, found anew at each scrape: children of a pool come and go."""

    def collect(self) -> Iterable[Metric]:
        return _counted().collect()


def serve(port: int) -> None:
    """Show what this server counts at a port of its own, from a thread: for workers and beat, which have no pages."""
    registry = CollectorRegistry()
    registry.register(_Counted())
    start_http_server(port, registry=registry)
