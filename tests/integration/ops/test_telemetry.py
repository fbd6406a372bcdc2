"""Traces and errors as a collector gets them: one trace from the click to the receipt, and nothing secret in either."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import structlog
from django.test import Client
from django.utils import timezone
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pytest_django import Settings

from tasks import relay
from tasks.webhooks import drain_inbox
from tests.integration.checkout.conftest import wanted
from tests.integration.conftest import AtStripe
from tests.shop import claim_one
from web.core import reporting, tracing
from web.core.models import BusinessHost
from web.payments.models import Job, Payment
from web.payments.operations import arrivals

pytestmark = pytest.mark.django_db(transaction=True)
SECRET = "sk_test_never_to_be_seen_anywhere"
PATIENCE_SECONDS = 30


class Collector:
    """Takes what is posted to it."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        taken = self.bodies

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                taken.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Any]:
        found = []
        for path, body in self.bodies:
            assert path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    running = Collector()
    yield running
    running.server.shutdown()
    running.server.server_close()


def test_one_trace_from_the_click_to_the_receipt(
    at_stripe: Callable[..., AtStripe], collector: Collector, settings: Settings
) -> None:
    at = at_stripe()
    BusinessHost.objects.create(business=at.shop.business, host="traced.localhost")
    cart = at.shop.cart()
    settings.OTEL_ENDPOINT = f"http://127.0.0.1:{collector.port}"
    browser = Client(SERVER_NAME="traced.localhost", headers={"accept": "application/json"})
    answer = browser.post("/stripe-intent/", wanted(cart), content_type="application/json")
    assert answer.status_code == 202, answer.content
    job = Job.objects.get(name="create_intent")
    assert job.request_id == answer["X-Request-Id"]
    relay.run(claim_one("create_intent"))
    payment = Payment.objects.get()
    at.pay(payment)
    for event in at.events():
        arrivals.store(account_id=at.shop.account.id, event=arrivals.arrived(event), now=timezone.now())
    drain_inbox()
    relay.run(claim_one("send_receipt"))
    wanted_names = {
        "web POST payment:stripe_intent",
        "job create_intent",
        "stripe POST payment_intents",
        "event payment_intent.succeeded",
        "job send_receipt",
    }
    trace = payment.traceparent.split("-")[1]
    deadline = time.monotonic() + PATIENCE_SECONDS
    names: set[str] = set()
    while not wanted_names <= names and time.monotonic() < deadline:
        time.sleep(0.1)
        names = {span.name for span in collector.spans() if span.trace_id.hex() == trace}
    assert wanted_names <= names
    said = b"".join(body for _path, body in collector.bodies)
    for secret in (b"_secret_", b"sk_test", b"ada@example.com"):
        assert secret not in said


def test_without_a_collector_nothing_is_traced(settings: Settings) -> None:
    assert settings.OTEL_ENDPOINT == ""
    with tracing.span("nothing") as span:
        assert span is None
    assert tracing.traceparent() == ""


def test_an_error_is_reported_with_its_ids_and_without_secrets(
    collector: Collector, settings: Settings
) -> None:
    import sentry_sdk

    settings.SENTRY_DSN = f"http://public@127.0.0.1:{collector.port}/7"
    reporting.start()
    log = structlog.get_logger("tests")
    try:
        with structlog.contextvars.bound_contextvars(payment_id=17, request_id="asked-by-this"):
            try:
                local = SECRET
                raise RuntimeError(f"the key {local} was refused for 4242 4242 4242 4242")
            except RuntimeError:
                log.exception("job.failed", job="create_intent", client_secret="pi_1_secret_2")
        sentry_sdk.flush(timeout=PATIENCE_SECONDS)
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.init()  # reports nowhere any more
    ((path, body),) = collector.bodies
    assert path == "/api/7/envelope/"
    event = json.loads(body.splitlines()[2])
    assert event["logentry"]["message"] == "job.failed"
    assert event["tags"] == {"payment_id": "17", "request_id": "asked-by-this", "job": "create_intent"}
    (raised,) = event["exception"]["values"]
    assert raised["type"] == "RuntimeError"
    assert raised["stacktrace"]["frames"]
    text = body.decode()
    for secret in (SECRET, "4242 4242", "pi_1_secret_2"):
        assert secret not in text
