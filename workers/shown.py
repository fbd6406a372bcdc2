"""Workers and beat show what they count at a port of their own, METRICS_PORT: they have no pages to show it on."""

from __future__ import annotations

import structlog
from celery import signals
from django.conf import settings

from web.core import metrics

log = structlog.get_logger(__name__)


def connect() -> None:
    """Show the metrics once the worker, or beat, is there: from its main process, never from a child of its pool."""
    signals.worker_ready.connect(_show, weak=False)
    signals.beat_init.connect(_show, weak=False)


def _show(**_: object) -> None:
    if not settings.METRICS_PORT:
        return
    try:
        metrics.serve(settings.METRICS_PORT)
    except OSError as error:  # work goes on: an alert says that nothing is shown
        log.error("metrics.not_shown", port=settings.METRICS_PORT, error=type(error).__name__)
