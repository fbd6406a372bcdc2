"""A member of staff at a till, over real HTTP: signs in, sells, puts the payment on a card reader, follows it.

Knows only what the till's page knows: forms, cookies, and what /stripe-terminal/ answers.
"""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Self

import requests

from stack.customer import TRANSIENT, Unexpected

PATIENCE_SECONDS = 120.0  # a worker that was killed is overtaken when its lease runs out (40 s)
SHORTEST_POLL_SECONDS = 0.1
MOST_TRIES = 12
_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


def _told(page: str) -> str:
    """Return what a page or an answer says, for a complaint."""
    return " ".join(re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL).split())[:400]


@dataclass
class OnReader:
    """A payment on a reader as the till follows it: the last status, and where it stands."""

    status_url: str
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def payment(self) -> str:
        return str(self.status["payment"])

    @property
    def state(self) -> str:
        return str(self.status.get("state", ""))


class Clerk:
    """One till and who stands at it."""

    def __init__(
        self, *, site: str, email: str, password: str, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._patience = patience_seconds
        self._site, self._email, self._password = site, email, password
        self._browser = requests.Session()
        page = self._send("GET", "/accounts/login/").text
        self._send(
            "POST", "/accounts/login/", data={**self._token(page), "login": email, "password": password}
        )

    def readers(self) -> list[dict[str, Any]]:
        """Return the readers as the till shows them."""
        listed: list[dict[str, Any]] = self._ask("GET", "/stripe-terminal/")["readers"]
        return listed

    def wait_for_readers(self, number: int = 1) -> list[dict[str, Any]]:
        """Wait until so many readers are registered, and return them."""
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            ready = [reader for reader in self.readers() if reader["is_ready"]]
            if len(ready) >= number:
                return ready[:number]
            time.sleep(0.3)
        raise Unexpected(f"{number} readers were not registered")

    def beside(self) -> Self:
        """Return another till of the same person, signed in already, and as patient."""
        other = type(self).__new__(type(self))
        other._patience = self._patience
        other._site, other._email, other._password = self._site, self._email, self._password
        other._browser = requests.Session()
        other._browser.cookies.update(self._browser.cookies)
        return other

    def sell(self, cart: str, *, reader: str, total: int) -> OnReader:
        """Put a cart on a reader until it is paid: a customer whose card is declined takes another one."""
        for _try in range(MOST_TRIES):
            sale = self.put_on_reader(cart, reader=reader, total=total)
            status = self.wait_until(sale)
            if status["state"] == "succeeded" and status["payment_state"] == "succeeded":
                return sale
            if not status["may_try_again"]:
                raise Unexpected(f"the payment is {status['payment_state']}: {status['message']}")
        raise Unexpected(f"not paid after {MOST_TRIES} cards")

    def fill_cart(self, item: int, *, customer: str = "") -> str:
        """Put an item into a new sale, of the customer with this id if one is named; return the cart's token."""
        page = self._send("GET", "/checkout/").text
        wanted = {**self._token(page), "item": item, "customer": customer}
        answer = self._send("POST", "/checkout/till/add/", data=wanted)
        _page, is_sale, cart = answer.url.partition("?cart=")
        if not is_sale:
            raise Unexpected(
                f"the till began no sale: {answer.status_code} of {answer.url}: {_told(answer.text)}"
            )
        return cart

    def use_balance(self, cart: str, *, total: int) -> None:
        """Have what fits of the customer's balance set aside for a sale, as the button does."""
        page = self._send("GET", f"/checkout/?cart={cart}").text
        wanted = {"cart": cart, "ledger": "money", "form_token": uuid.uuid4().hex, "expected_total": total}
        answer = self._send("POST", "/checkout/till/stored/", data={**self._token(page), **wanted})
        if not answer.url.endswith(cart):
            raise Unexpected(f"the balance was not set aside for a part: {answer.url}")

    def put_on_reader(self, cart: str, *, reader: str, total: int, asks_for_tip: bool = False) -> OnReader:
        """Put what a cart costs on a reader, as the button does."""
        body = {
            "cart": cart,
            "reader": reader,
            "form_token": uuid.uuid4().hex,
            "expected_total": total,
            "asks_for_tip": asks_for_tip,
        }
        answer = self._ask("POST", "/stripe-terminal/start/", json=body)
        return OnReader(answer["status_url"], answer)

    def cancel(self, sale: OnReader) -> None:
        """Ask for the payment to be cancelled, as the button does; what became of it is followed."""
        self._ask("POST", sale.status["cancel_url"])

    def wait_until(self, sale: OnReader, *states: str) -> dict[str, Any]:
        """Follow the payment until it is in one of these states, or at its end where none is named."""
        deadline = time.monotonic() + self._patience
        while True:
            sale.status = self._ask("GET", sale.status_url)
            if sale.state in states or (sale.status["is_final"] and not states):
                return sale.status
            if sale.status["is_final"] or time.monotonic() > deadline:
                raise Unexpected(f"the payment is {sale.state} on its reader, not {' or '.join(states)}")
            time.sleep(max(sale.status["poll_after_ms"] / 1000, SHORTEST_POLL_SECONDS))

    # --- plumbing ---------------------------------------------------------------------------------------

    def page(self, path: str) -> str:
        """Open a page and return it."""
        return self._send("GET", path).text

    def post(self, path: str, fields: dict[str, str]) -> None:
        """Send a form of a page, with the token that stands in it."""
        self._send("POST", path, data=fields)

    @staticmethod
    def _token(page: str) -> dict[str, str]:
        found = _CSRF.search(page)
        if found is None:
            raise Unexpected("a page without a form token")
        return {"csrfmiddlewaretoken": found[1]}

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request as a browser does on localhost, which it takes for secure: with every cookie."""
        for cookie in self._browser.cookies:
            cookie.secure = False
        headers = {"Referer": self._site + "/", **options.pop("headers", {})}
        response = self._browser.request(
            method, self._site + path.removeprefix(self._site), headers=headers, timeout=20, **options
        )
        if response.status_code >= 400 and response.status_code not in TRANSIENT:
            raise Unexpected(f"{method} {path}: {response.status_code} {_told(response.text)}")
        return response

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Ask again while the site is away: the form token makes repeats harmless."""
        deadline = time.monotonic() + self._patience
        headers = {
            "Accept": "application/json",
            "X-CSRFToken": self._browser.cookies.get("csrftoken") or "",
        }
        while True:
            heard: int | str
            try:
                response = self._send(method, path, headers=headers, **options)
                if response.status_code < 400:
                    answer: dict[str, Any] = response.json()
                    return answer
                heard = response.status_code
            except requests.RequestException as error:
                heard = type(error).__name__
            if time.monotonic() > deadline:
                raise Unexpected(f"{method} {path}: {heard} for {self._patience:.0f} s")
            time.sleep(0.3)
