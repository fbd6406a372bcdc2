"""A running sandbox, clients of its accounts, and an endpoint that listens: everything over real HTTP."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
import stripe

from tests import produced

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 10.0
T = TypeVar("T")
RETURN_URL = "https://shop.example/return"

stripe.enable_telemetry = False


def eventually(check: Callable[[], T], what: str = "it") -> T:
    """Return the first truthy result of ``check``, or fail at the deadline."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if result := check():
            return result
        time.sleep(0.01)
    pytest.fail(f"{what} did not happen within {PATIENCE_SECONDS} s")


class Running:
    """A sandbox in its own process."""

    def __init__(self, data: str, *options: str) -> None:
        self.data, self.options = data, options
        self.start()

    def start(self) -> None:
        """Start it and learn its address from its one line."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--port", "0", "--data", self.data, *self.options],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("sandbox listening on http://"), line
        self.base = line.split()[-1]
        self.log: list[str] = []
        stderr = self.process.stderr
        assert stderr is not None
        self._reader = threading.Thread(target=lambda: self.log.extend(stderr), daemon=True)
        self._reader.start()

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send a signal and return how long it took to end."""
        started = time.monotonic()
        os.kill(self.process.pid, number)
        self.process.wait(timeout=5)
        self._reader.join(timeout=2)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return time.monotonic() - started

    def client(self, key: str, **options: Any) -> stripe.StripeClient:
        """Return the real SDK's client, pointed here."""
        places = dict.fromkeys(("api", "files", "connect", "meter_events"), self.base)
        return stripe.StripeClient(key, base_addresses=places, **options)

    def control(self, method: str, name: str, **given: Any) -> Any:
        """Call the control API; it must succeed."""
        answer = requests.request(method, f"{self.base}/_sandbox/{name}", json=given or None, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Account:
    """One account with clients and raw calls."""

    def __init__(self, sandbox: Running, slug: str) -> None:
        self.sandbox, self.slug = sandbox, slug
        self.key, self.public_key = f"sk_test_{slug}_one", f"pk_test_{slug}_one"
        self.client = sandbox.client(self.key)
        self.v1 = self.client.v1

    def post(
        self, path: str, data: dict[str, Any] | None = None, *, key: str | None = None, **headers: str
    ) -> Any:
        """POST without the SDK; underscores in header names become dashes."""
        return self.send("POST", path, data, key=key, **headers)

    def send(
        self,
        method: str,
        path: str,
        data: dict[str, Any] | None = None,
        *,
        key: str | None = None,
        **headers: str,
    ) -> Any:
        """Send a form without the SDK."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(
            method, f"{self.sandbox.base}{path}", data=data or {}, timeout=10,
            headers={"Authorization": f"Bearer {key or self.key}", **named},
        )  # fmt: skip

    def get(self, path: str, params: dict[str, Any] | None = None, *, key: str | None = None) -> Any:
        """GET without the SDK."""
        return requests.get(
            f"{self.sandbox.base}{path}", params=params, timeout=10,
            headers={"Authorization": f"Bearer {key or self.key}"},
        )  # fmt: skip

    def pay(self, card: str = "pm_card_visa", amount: int = 2500, **rest: Any) -> stripe.PaymentIntent:
        """Create and confirm an intent in one call."""
        return self.v1.payment_intents.create(
            {"amount": amount, "currency": "usd", "confirm": True, "payment_method": card,
             "return_url": RETURN_URL, **rest}
        )  # fmt: skip

    def fault(self, kind: str, **rest: Any) -> Any:
        """Arm a fault for this account only, so that tests do not disturb each other."""
        match = {"account": self.slug, **rest.pop("match", {})}
        return self.sandbox.control("POST", "faults", kind=kind, match=match, **rest)

    def types(self) -> list[str]:
        """Return the types of all events so far, oldest first."""
        return [event["type"] for event in self.sandbox.control("GET", f"events/{self.slug}")["data"]]

    def books(self) -> Any:
        """Return the account's books."""
        return self.sandbox.control("GET", f"books/{self.slug}")


class Endpoint:
    """A webhook endpoint that keeps what it is sent and answers what it is told to."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.answers: Iterator[int] = itertools.repeat(200)
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.received.append((dict(self.headers), body))
                self.send_response(next(endpoint.answers, 200))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/webhooks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self) -> list[dict[str, Any]]:
        """Return the bodies received so far."""
        return [json.loads(body) for _, body in self.received]

    def types(self) -> list[str]:
        """Return the types received so far."""
        return [event["type"] for event in self.events()]


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox for the session; every test has an account of its own in it.

    It keeps so few objects in memory that most of what tests read comes back from its file.
    """
    options = ("--webhook-retry-base-ms", "20", "--hot-objects", "20")
    running = Running(str(tmp_path_factory.mktemp("sandbox") / "state.sqlite3"), *options)
    yield running
    produced.judge(running.base)
    running.stop()


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[Running]:
    """A sandbox of the test's own, for what concerns everybody: the clock, restarts."""
    running = Running(str(tmp_path / "state.sqlite3"), "--webhook-retry-base-ms", "20")
    yield running
    if running.process.poll() is None:
        produced.judge(running.base)
        running.stop()


@pytest.fixture
def account(sandbox: Running) -> Account:
    """An account nobody else uses."""
    return Account(sandbox, f"studio{next(_numbers)}")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A listening webhook endpoint."""
    listening = Endpoint()
    yield listening
    listening.server.shutdown()
    listening.server.server_close()
