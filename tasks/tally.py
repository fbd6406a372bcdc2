"""What a process counts while it works, and adds to the database every few seconds: calls to Stripe, failed tries.

A row per call would cost more than the call's own bookkeeping. A process that is killed takes a few seconds' counts
with it: they are figures for people, and nothing is decided by them.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
from collections import Counter, defaultdict

import structlog
from django.db import IntegrityError, connection
from django.utils import timezone

from web.payments.operations import figures

FLUSH_SECONDS = 5.0
MOST_KEPT = 10_000  # counts that wait while the database is away; then they are dropped

log = structlog.get_logger(__name__)


class Tally:
    """Counts by key and minute. A worker's thread starts with the first count in each process, also after a fork."""

    def __init__(self) -> None:
        self._is_flushed = False
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._calls: dict[tuple[int, datetime.datetime], Counter[str]] = defaultdict(Counter)
        self._tries: dict[tuple[str, datetime.datetime], Counter[str]] = defaultdict(Counter)
        self._thread: threading.Thread | None = None

    def call(self, account_id: int, **counts: int) -> None:
        """Count a call to Stripe for an account (our row's id), or one that was not made."""
        self._begin()
        key = (account_id, figures.minute_of(timezone.now()))
        with self._lock:
            self._calls[key].update(counts)

    def tried(self, queue: str, outcome: str) -> None:
        """Count a try of a job that did not do it: `failed`, or `excused`."""
        self._begin()
        key = (queue, figures.minute_of(timezone.now()))
        with self._lock:
            self._tries[key][outcome] += 1

    def start(self) -> None:
        """Flush from now on, in this process and those forked from it: what is no worker only counts."""
        self._is_flushed = True

    def _begin(self) -> None:
        if self._pid != os.getpid():
            self._reset()
        if self._is_flushed and self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._flush_forever, name="tally", daemon=True)
                    self._thread.start()

    def _flush_forever(self) -> None:
        pause = threading.Event()
        while not pause.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001 - the database may be away; the counts wait
                log.warning("tally.failed", error=type(error).__name__)
            finally:
                connection.close()

    def flush(self) -> None:
        """Add what was counted so far to the database; where that fails, keep it for the next time."""
        with self._lock:
            calls, self._calls = self._calls, defaultdict(Counter)
            tries, self._tries = self._tries, defaultdict(Counter)
        try:
            while calls:
                key = min(calls)
                with contextlib.suppress(
                    IntegrityError
                ):  # an account that is gone is no account to count for
                    figures.add_calls({key: calls[key]})
                del calls[key]
            while tries:
                name = min(tries)
                figures.add_failures({name: tries[name]})
                del tries[name]
        finally:
            self._keep(calls, tries)

    def _keep(
        self,
        calls: dict[tuple[int, datetime.datetime], Counter[str]],
        tries: dict[tuple[str, datetime.datetime], Counter[str]],
    ) -> None:
        with self._lock:
            for key, count in calls.items():
                if len(self._calls) < MOST_KEPT:
                    self._calls[key].update(count)
            for name, count in tries.items():
                self._tries[name].update(count)


tally = Tally()
