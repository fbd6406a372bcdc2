"""A small client of Paydesk's API in one file, with nothing but the standard library. Copy it, and change it.

    desk = Paydesk("https://pay.example.com", token="pdk_…")
    cart = desk.open_cart(location=1, items={7: 2}, name="Ada Guest", email="ada@example.com")
    payment = desk.pay(cart["cart"], expected_total=cart["total"])
    payment = desk.follow(payment["payment"])

Whatever takes a key makes one of its own. Where you repeat a call after your program died, give the key yourself:
`desk.pay(…, key=f"order-{number}")` pays once, however often it is called.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TRIES = 4
LONGEST_WAIT_SECONDS = 30.0
TOLERANCE_SECONDS = 300  # how old a webhook may be


@dataclass
class Problem(Exception):
    """What was refused: `code` for programs, `title` and `next` for people. `money_moved` is None: not known."""

    status: int
    code: str
    title: str
    next: str
    money_moved: bool | None
    details: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.title} {self.next}"


class Paydesk:
    """One business, asked with one token."""

    def __init__(self, site: str, *, token: str, timeout_seconds: float = 30.0) -> None:
        self._site, self._token, self._timeout = site.rstrip("/"), token, timeout_seconds

    # --- carts ---

    def open_cart(
        self, *, location: int, items: Mapping[int, int], name: str = "", email: str = "", key: str = ""
    ) -> dict[str, Any]:
        """Open a cart with so many of each item."""
        body: dict[str, Any] = {
            "location": location,
            "lines": [{"item": item, "quantity": quantity} for item, quantity in items.items()],
        }
        if email:
            body["buyer"] = {"name": name, "email": email}
        return self.ask("POST", "carts", body, key=key)

    def cart(self, cart: str) -> dict[str, Any]:
        """Read a cart."""
        return self.ask("GET", f"carts/{urllib.parse.quote(cart)}")

    def set_quantity(self, cart: str, item: int, quantity: int) -> dict[str, Any]:
        """Say how many of an item are in a cart."""
        return self.ask("PUT", f"carts/{urllib.parse.quote(cart)}/lines/{item}", {"quantity": quantity})

    # --- payments ---

    def pay(self, cart: str, *, expected_total: int, key: str = "") -> dict[str, Any]:
        """Ask for an online payment; give its `client_secret` to Stripe.js once it is there."""
        return self.ask("POST", "payments", {"cart": cart, "expected_total": expected_total}, key=key)

    def pay_on_reader(self, cart: str, reader: str, *, expected_total: int, key: str = "") -> dict[str, Any]:
        """Ask for a payment on a card reader."""
        body = {"cart": cart, "reader": reader, "expected_total": expected_total}
        return self.ask("POST", "terminal-payments", body, key=key)

    def payment(self, payment: str) -> dict[str, Any]:
        """Read a payment."""
        return self.ask("GET", f"payments/{payment}")

    def follow(self, payment: str, *, until: str = "", patience_seconds: float = 60.0) -> dict[str, Any]:
        """Read a payment until it is final, or in the state that is waited for."""
        end = time.monotonic() + patience_seconds
        while True:
            found = self.payment(payment)
            if found["is_final"] or found["state"] == until or time.monotonic() > end:
                return found
            time.sleep(0.5)

    def cancel(self, payment: str, *, key: str = "") -> dict[str, Any]:
        """Ask for a payment to be cancelled; it is certain once the payment is final."""
        return self.ask("POST", f"payments/{payment}/cancel", key=key)

    # --- orders and refunds ---

    def order(self, number: str) -> dict[str, Any]:
        """Read an order."""
        return self.ask("GET", f"orders/{number}")

    def orders(self) -> Iterator[dict[str, Any]]:
        """Go through all orders, the newest first."""
        return self._all("orders")

    def refund(self, order: str, *, reason: str, amount: int | None = None, key: str = "") -> dict[str, Any]:
        """Give an amount of an order back; all that is left where none is named."""
        body: dict[str, Any] = {"order": order, "reason": reason}
        if amount is not None:
            body["amount"] = amount
        return self.ask("POST", "refunds", body, key=key)

    def _all(self, path: str) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            more = f"&cursor={cursor}" if cursor else ""
            page = self.ask("GET", f"{path}?limit=100{more}")
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    # --- asking ---

    def ask(self, method: str, path: str, body: object = None, *, key: str = "") -> dict[str, Any]:
        """Ask, and again under the same key while there is no certain answer; raise Problem for what is refused."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = key or uuid.uuid4().hex
        data = None if body is None else json.dumps(body).encode()
        for tried in range(1, TRIES + 1):
            request = urllib.request.Request(  # noqa: S310  # the address is yours
                f"{self._site}/api/v1/{path}", data=data, headers=headers, method=method
            )
            wait = min(0.5 * 2**tried, LONGEST_WAIT_SECONDS)
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310
                    answer: dict[str, Any] = json.load(response)
                    return answer
            except urllib.error.HTTPError as error:
                problem = _problem(error)
                is_passing = (
                    error.code in (429, 500, 502, 503, 504) or problem.code == "idempotency_key_in_flight"
                )
                if not is_passing or tried == TRIES:
                    raise problem from error
                wait = min(float(error.headers.get("Retry-After") or wait), LONGEST_WAIT_SECONDS)
            except OSError:  # no answer: what was asked for may have been done, and the key finds it
                if tried == TRIES:
                    raise
            time.sleep(wait)
        raise AssertionError("not reached")


def _problem(error: urllib.error.HTTPError) -> Problem:
    try:
        said = json.load(error)
    except ValueError:
        said = {}
    return Problem(
        status=error.code,
        code=str(said.get("code", "")),
        title=str(said.get("title", error.reason)),
        next=str(said.get("next", "")),
        money_moved=said.get("money_moved"),
        details=said,
    )


class BadSignature(Exception):
    """The webhook does not come from Paydesk, or is too old."""


def read_webhook(
    body: bytes,
    signature: str,
    *secrets: str,
    now: float | None = None,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> dict[str, Any]:
    """Return the event of a webhook, from its raw body and its Paydesk-Signature header; raise BadSignature.

    The same event may come twice: remember its `id`. Answer with 2xx at once, and work on it afterwards.
    """
    parts = [part.partition("=") for part in signature.split(",")]
    at = next((value for name, _mark, value in parts if name == "t"), "")
    marks = [value for name, _mark, value in parts if name == "v1"]
    if not (at.isascii() and at.isdecimal()):
        raise BadSignature("no timestamp")
    if abs((time.time() if now is None else now) - int(at)) > tolerance_seconds:
        raise BadSignature("too old")
    signed = f"{at}.".encode() + body
    for secret in secrets:
        expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        if any(hmac.compare_digest(expected.encode(), mark.encode()) for mark in marks):
            event: dict[str, Any] = json.loads(body)
            return event
    raise BadSignature("no signature fits")
