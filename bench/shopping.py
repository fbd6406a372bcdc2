"""People who buy: what a browser sends for one sale, as prepared bytes, and what it waits for.

Used by the rows that measure a click, a client secret, and whole sales. The customer's own part (giving the card
to Stripe) is done at the sandbox, whose time is nobody's cost.
"""

from __future__ import annotations

import html
import json
import re
import time
from dataclasses import dataclass
from typing import Any

from bench.house import House, Late
from bench.load import Answer, BadAnswer, Connection, request

_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_CONFIG = re.compile(r'<script id="[^"]*pay[^"]*" type="application/json">(.*?)</script>', re.DOTALL)
PATIENCE_SECONDS = 60.0


@dataclass
class Shopper:
    """One browser at one shop: its cookies, and the token that its forms carry."""

    house: House
    shop: dict[str, Any]
    connection: Connection
    cookies: dict[str, str]
    token: str

    @classmethod
    def arrives(cls, house: House, shop: dict[str, Any], connection: Connection) -> Shopper:
        """Open the shop's page."""
        shopper = cls(house, shop, connection, {}, "")
        page = shopper.send("GET", "/", status=200).body.decode()
        found = _CSRF.search(page)
        if found is None:
            raise BadAnswer("a page without a form token")
        shopper.token = found[1]
        return shopper

    def send(self, method: str, path: str, *, status: int, body: bytes = b"", **headers: str) -> Answer:
        """Send a request with this browser's cookies and return the answer, which must have that status."""
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        wanted = request(
            method, self.house.web, path, body=body, Host=self.shop["host"], Accept_Language="en", **headers
        )
        answer = self.connection.ask(wanted)
        self.cookies.update(answer.cookies())
        if answer.status != status:
            raise BadAnswer(f"{method} {path}: {answer.status} {answer.body[:300]!r}")
        return answer

    def post_form(self, path: str, **fields: object) -> str:
        """Send a form; return where it leads."""
        text = "&".join(f"{name}={value}" for name, value in fields.items())
        answer = self.send(
            "POST",
            path,
            status=302,
            body=f"csrfmiddlewaretoken={self.token}&{text}".encode(),
            Content_Type="application/x-www-form-urlencoded",
            Referer=f"{self.house.web}/",
        )
        return str(answer.header("location"))

    def fill_cart(self, number: int) -> str:
        """Put an item into a cart and say who buys; return the cart's token."""
        item = self.shop["items"][number % len(self.shop["items"])]
        cart = self.post_form("/shop/add/", item=item, quantity=1).rpartition("cart=")[2]
        email = f"guest{number}%40example.com"
        self.post_form("/checkout/buyer/", cart=cart, name=f"Guest+{number}", email=email, policy="on")
        return cart

    def look_at_cart(self, cart: str) -> dict[str, Any]:
        """Open the checkout page; return what its script would send when Pay is pressed."""
        page = self.send("GET", f"/checkout/?cart={cart}", status=200).body.decode()
        found = _CONFIG.search(page)
        if found is None:
            raise BadAnswer("a checkout page without its script's data")
        config = json.loads(html.unescape(found[1]))
        return {
            "cart": cart,
            "form_token": config["form_token"],
            "expected_total": config["expected_total"],
        }

    def press_pay(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Ask for the payment: the click."""
        answer = self.send(
            "POST",
            "/stripe-intent/",
            status=202,
            body=json.dumps(wanted).encode(),
            Content_Type="application/json",
            X_CSRFToken=self.cookies.get("csrftoken", ""),
            Referer=f"{self.house.web}/",
        )
        told: dict[str, Any] = answer.json()
        return told

    def follow(self, payment: dict[str, Any], reached: str) -> dict[str, Any]:
        """Ask for the status as often as the page is told to, until it has a fact (`client_secret`, `order`)."""
        deadline = time.perf_counter() + PATIENCE_SECONDS
        told = payment
        while True:
            time.sleep(told["poll_after_ms"] / 1000)
            answer = self.send("GET", payment["status_url"], status=200, Accept="application/json")
            told = dict(answer.json())
            if told.get(reached):
                return told
            if told["is_final"] or time.perf_counter() > deadline:
                raise Late(f"a payment is {told['state']} and has no {reached}")

    def give_card(self, told: dict[str, Any]) -> None:
        """Confirm at Stripe, as its script does."""
        secret = told["client_secret"]
        body = (
            f"client_secret={secret}&payment_method=pm_card_visa&return_url=https%3A%2F%2Fshop.example%2F"
        ).encode()
        stripe = Connection(self.house.sandbox)
        answer = stripe.ask(
            request(
                "POST",
                self.house.sandbox,
                f"/v1/payment_intents/{secret.partition('_secret_')[0]}/confirm",
                body=body,
                Content_Type="application/x-www-form-urlencoded",
                Authorization=f"Bearer {told['publishable_key']}",
            )
        )
        stripe.close()
        if answer.status != 200:
            raise BadAnswer(f"confirming at Stripe: {answer.status} {answer.body[:300]!r}")
