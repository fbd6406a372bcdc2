"""A customer with a browser, over real HTTP: fills a cart, asks for a payment, pays as Stripe's script does.

It knows only what a browser knows: pages, forms, cookies, and what /stripe-intent/ answers.
"""

from __future__ import annotations

import html
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

import requests

PATIENCE_SECONDS = 120.0  # a worker that was killed is overtaken when its lease runs out (40 s)
TRANSIENT = (500, 502, 503, 504)
_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_CONFIG = re.compile(r'<script id="[^"]*pay[^"]*" type="application/json">(.*?)</script>', re.DOTALL)


class Unexpected(Exception):
    """A page or an answer was not what a customer must get."""


@dataclass
class Payment:
    """A payment as the page follows it: the last status, and where it stands."""

    status_url: str
    cart: str
    status: dict[str, Any] = field(default_factory=dict)
    client_secret: str = ""  # a page keeps both as long as it is open
    publishable_key: str = ""

    @property
    def id(self) -> str:
        return str(self.status["payment"])

    @property
    def id_in_url(self) -> str:
        """Its id before any status was asked for."""
        return self.status_url.rstrip("/").rpartition("/")[2]

    @property
    def state(self) -> str:
        return str(self.status.get("state", ""))


class Customer:
    """One browser at one shop."""

    def __init__(self, *, site: str, stripe: str) -> None:
        self._site, self._stripe = site, stripe
        self._browser = requests.Session()

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request as a browser does on localhost, which it takes for secure: with every cookie."""
        for cookie in self._browser.cookies:
            cookie.secure = False
        return self._browser.request(
            method, self._site + path.removeprefix(self._site), timeout=20, **options
        )

    def _page(self, path: str) -> str:
        response = self._request("GET", path)
        if response.status_code != 200:
            raise Unexpected(f"GET {path}: {response.status_code}")
        return response.text

    def _post(self, path: str, page: str, **data: str | int) -> requests.Response:
        token = _CSRF.search(page)
        if token is None:
            raise Unexpected("a page without a form token")
        response = self._request(
            "POST",
            path,
            data={"csrfmiddlewaretoken": token[1], **data},
            headers={"Referer": self._site + "/"},
        )
        if response.status_code >= 400:
            raise Unexpected(f"POST {path}: {response.status_code}")
        return response

    def fill_cart(
        self, items: dict[int, int], *, name: str, email: str, tip_percent: int | None = None
    ) -> str:
        """Put items (id -> quantity) into a cart as a guest and return the cart's token."""
        page = self._page("/")
        cart = ""
        for item, quantity in items.items():
            response = self._post("/shop/add/", page, item=item, quantity=quantity)
            cart = response.url.rpartition("cart=")[2]
        page = self._page(f"/checkout/?cart={cart}")
        if tip_percent is not None:
            self._post("/checkout/tip/", page, cart=cart, percent=tip_percent)
        self._post("/checkout/buyer/", page, cart=cart, name=name, email=email, policy="on")
        return cart

    def ask_to_pay(self, cart: str) -> Payment:
        """Press Pay and wait until the page can confirm."""
        return self.wait_for_the_form(self.press_pay(cart))

    def press_pay(self, cart: str) -> Payment:
        """Ask for the payment, as the page does when Pay is pressed."""
        return self.send(self.form(cart))

    def form(self, cart: str) -> dict[str, Any]:
        """Open the checkout page and return what its script would send when Pay is pressed."""
        found = _CONFIG.search(self._page(f"/checkout/?cart={cart}"))
        if found is None:
            raise Unexpected("a checkout page without its script's data")
        config = json.loads(html.unescape(found[1]))
        body = {
            "cart": cart,
            "form_token": config["form_token"],
            "expected_total": config["expected_total"],
        }
        return {"url": config["intent_url"], "body": body}

    def send(self, form: dict[str, Any]) -> Payment:
        """Send a page's form; the same one again is harmless."""
        answer = self._again_until_heard("POST", form["url"], json=form["body"])
        return Payment(answer["status_url"], form["body"]["cart"])

    def check(self, payment: Payment) -> None:
        """Tell the site that the customer came back from Stripe."""
        self._again_until_heard("POST", f"{payment.status_url}check/", json={})

    def cancel(self, payment: Payment) -> None:
        """Ask for the payment to be cancelled."""
        self._again_until_heard("POST", f"{payment.status_url}cancel/", json={})

    def wait_for_the_form(self, payment: Payment) -> Payment:
        """Follow the payment until the page has its client secret."""
        self._follow(payment, lambda status: bool(status.get("client_secret")) or status["is_final"])
        if payment.status["is_final"]:
            raise Unexpected(f"the payment ended as {payment.state} before it was paid")
        return payment

    def pay(self, payment: Payment, card: str) -> str:
        """Confirm at Stripe with a test card, as Stripe.js does, and come back; return "" or the decline code."""
        declined = self.confirm(payment, card)
        self.check(payment)
        return declined

    def confirm(self, payment: Payment, card: str) -> str:
        """Give the card to Stripe and close the page; return "" or the decline code."""
        answer = self.try_to_confirm(payment, card)
        if answer.startswith("refused:"):
            raise Unexpected(f"confirming at Stripe: {answer}")
        return answer

    def try_to_confirm(self, payment: Payment, card: str) -> str:
        """Give the card to Stripe, which may take it no longer; return "", the decline code, or "refused: …"."""
        response = requests.post(
            f"{self._stripe}/v1/payment_intents/{payment.client_secret.partition('_secret_')[0]}/confirm",
            data={
                "client_secret": payment.client_secret,
                "payment_method": card,
                "return_url": self._site + f"/checkout/?cart={payment.cart}",
            },
            headers={"Authorization": f"Bearer {payment.publishable_key}"},
            timeout=30,
        )
        if response.status_code not in (200, 402):
            return f"refused: {response.status_code} {response.text[:200]}"
        error = response.json().get("error") or {}
        return str(error.get("decline_code") or error.get("code") or "")

    def wait_for_the_end(self, payment: Payment) -> dict[str, Any]:
        """Follow the payment to its end, as the page does; return its last status."""
        return self._follow(payment, lambda status: bool(status["is_final"]))

    def receipt(self, payment: Payment) -> str:
        """Open the receipt of a paid payment and return the page."""
        address = str(payment.status["order"]["receipt_url"])
        return self._page(address.removeprefix(self._site))

    def _follow(self, payment: Payment, is_reached: Any) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            payment.status = self._again_until_heard("GET", payment.status_url)
            payment.client_secret = payment.status.get("client_secret") or payment.client_secret
            payment.publishable_key = payment.status.get("publishable_key") or payment.publishable_key
            if is_reached(payment.status):
                return payment.status
            if time.monotonic() > deadline:
                raise Unexpected(f"after {PATIENCE_SECONDS:.0f} s the payment is still {payment.state}")
            time.sleep(min(payment.status["poll_after_ms"] / 1000, 0.25))

    def _again_until_heard(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """Ask again while the site is away: the form token makes repeats harmless."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        headers = {
            "Accept": "application/json",
            "X-CSRFToken": self._browser.cookies.get("csrftoken") or "",
            "Referer": self._site + "/",
        }
        while True:
            heard: int | str
            try:
                response = self._request(method, path, headers=headers, **options)
                heard = response.status_code
                if response.status_code < 400:
                    answer: dict[str, Any] = response.json()
                    return answer
            except requests.RequestException as error:
                heard = type(error).__name__
            if heard not in TRANSIENT and isinstance(heard, int):
                raise Unexpected(f"{method} {path}: {heard} {response.text[:200]}")
            if time.monotonic() > deadline:
                raise Unexpected(f"{method} {path}: {heard} for {PATIENCE_SECONDS:.0f} s")
            time.sleep(0.3)
