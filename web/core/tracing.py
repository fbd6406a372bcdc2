"""Traces, where OTEL_EXPORTER_OTLP_ENDPOINT names a collector: one from the click to the receipt.

A request's trace is carried by what outlives it: the row of each job that it asked for, and the payment's, since a
webhook hours later leads to the order. Without a collector nothing is imported, and every function here does nothing.
A span says names, ids and codes; never an amount of a person's, a secret, or a body.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

from django.conf import settings

LONGEST_QUEUE = 2_048  # spans that wait for the collector; what comes beyond is dropped, never waited for
EXPORT_MS = 1_000


@functools.lru_cache(maxsize=2)
def _tracer(_pid: int, endpoint: str) -> Any:
    """Return this process's tracer. Made after a fork, never carried over one: its thread would be missing."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        resource=Resource.create({"service.name": "paydesk", "service.instance.id": settings.PROCESS_NAME})
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, max_queue_size=LONGEST_QUEUE, schedule_delay_millis=EXPORT_MS)
    )
    return provider.get_tracer("paydesk")


def is_on() -> bool:
    """Return whether this deployment traces."""
    return bool(settings.OTEL_ENDPOINT)


def traceparent() -> str:
    """Return where we are, in W3C's words, to be carried by a row; "" where nothing traces."""
    if not is_on():
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


@contextlib.contextmanager
def span(name: str, *, parent: str = "", kind: str = "internal", **attributes: object) -> Iterator[Any]:
    """Time what is within, under the span at hand, or under `parent` (a traceparent) where one is given.

    Yields the span, or None where nothing traces.
    """
    if not is_on():
        yield None
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    tracer = _tracer(os.getpid(), settings.OTEL_ENDPOINT)
    with tracer.start_as_current_span(
        name,
        context=context,
        kind=SpanKind[kind.upper()],
        attributes={key: str(value) for key, value in attributes.items()},
        record_exception=False,  # an exception's text may quote what it was given
    ) as current:
        yield current
