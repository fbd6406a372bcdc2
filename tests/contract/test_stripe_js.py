"""The stand-in for Stripe.js in a real browser: a shop page of another origin, under a strict policy."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright import sync_api as playwright

from tests.contract.conftest import Account

PAGE = """<!doctype html><html lang="en"><head><title>Shop</title><meta name="viewport" content="width=device-width">
<script src="{base}/stripe.js"></script><script src="/shop.js" defer></script></head>
<body><h1>Pay</h1><div id="express"></div><div id="payment"></div><button id="pay">Pay</button><p id="out"></p>
</body></html>"""

SCRIPT = """
const setup = %s, out = document.getElementById("out");
const say = (what) => { out.textContent = JSON.stringify(what); };
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => window.violations.push(event.violatedDirective));
const stripe = Stripe(setup.key);
const elements = stripe.elements({ mode: "payment", amount: 1500, currency: "usd", appearance: { theme: "night" } });
const payment = elements.create("payment");
payment.on("ready", () => { document.body.dataset.payment = "ready"; });
payment.mount("#payment");
const express = elements.create("expressCheckout");
express.on("ready", (event) => { document.body.dataset.express = JSON.stringify(event.availablePaymentMethods); });
express.on("click", (event) => event.resolve());
express.on("cancel", () => say({ canceled: true }));
async function pay(event) {
  const checked = await elements.submit();
  if (checked.error) return say({ error: checked.error.message });
  const { error, paymentIntent } = await stripe.confirmPayment({
    elements, clientSecret: setup.secret, confirmParams: { return_url: location.href }, redirect: "if_required" });
  if (error) { event?.paymentFailed({ reason: "fail", message: error.message }); return say({ error: error.code }); }
  say({ status: paymentIntent.status });
}
express.on("confirm", pay);
express.mount("#express");
document.getElementById("pay").addEventListener("click", () => pay());
"""


class Shop:
    """A shop's page, on an origin of its own."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.intent = account.v1.payment_intents.create({"amount": 1500, "currency": "usd"})
        base = account.sandbox.base
        setup = json.dumps({"key": account.public_key, "secret": self.intent.client_secret})
        files = {"/": ("text/html", PAGE.format(base=base)), "/shop.js": ("text/javascript", SCRIPT % setup)}
        policy = (
            f"default-src 'self'; script-src 'self' {base}; frame-src {base}; connect-src 'self' {base}; "
            "style-src 'self'; base-uri 'none'"
        )

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, text = files.get(self.path, ("text/plain", ""))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def status(self) -> str:
        """Return the intent's status at Stripe."""
        return str(self.account.v1.payment_intents.retrieve(self.intent.id).status)


@pytest.fixture
def shop(account: Account) -> Iterator[Shop]:
    opened = Shop(account)
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


@pytest.fixture
def page(browser: Any, shop: Shop) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 360, "height": 740})
    opened.set_default_timeout(10_000)
    opened.problems = []
    opened.on("pageerror", lambda error: opened.problems.append(str(error)))
    opened.goto(shop.url)
    opened.wait_for_selector("body[data-payment=ready][data-express]")
    yield opened
    assert opened.problems == []
    assert opened.evaluate("window.violations") == []
    opened.close()


def frame(page: Any, title: str) -> Any:
    return page.frame_locator(f'iframe[title="{title}"]')


def fill(page: Any, number: str, expiry: str = "1240") -> None:
    form = frame(page, "Secure payment input frame")
    form.get_by_label("Card number").press_sequentially(number)
    form.get_by_label("Expiration date").press_sequentially(expiry)
    form.get_by_label("Security code").fill("123")
    form.get_by_label("ZIP").fill("94107")


def says(page: Any, what: dict[str, Any]) -> None:
    playwright.expect(page.locator("#out")).to_have_text(json.dumps(what, separators=(",", ":")))


def test_a_card_is_typed_and_pays(page: Any, shop: Shop) -> None:
    fill(page, "4242424242424242")
    form = frame(page, "Secure payment input frame")
    playwright.expect(form.get_by_label("Card number")).to_have_value("4242 4242 4242 4242")
    playwright.expect(form.get_by_label("Expiration date")).to_have_value("12 / 40")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    height = page.locator('iframe[title="Secure payment input frame"]').evaluate("node => node.clientHeight")
    assert 150 < height < 500
    page.click("#pay")
    says(page, {"status": "succeeded"})
    assert shop.status() == "succeeded"


def test_a_bad_card_is_told_beside_its_field(page: Any, shop: Shop) -> None:
    fill(page, "4242424242424241")
    page.click("#pay")
    says(page, {"error": "Your card number is invalid."})
    form = frame(page, "Secure payment input frame")
    playwright.expect(form.get_by_label("Card number")).to_have_attribute("aria-invalid", "true")
    assert shop.status() == "requires_payment_method"


def test_a_declined_card_can_be_replaced(page: Any, shop: Shop) -> None:
    fill(page, "4000000000000002")
    page.click("#pay")
    says(page, {"error": "card_declined"})
    frame(page, "Secure payment input frame").get_by_label("Card number").fill("4242424242424242")
    page.click("#pay")
    says(page, {"status": "succeeded"})


@pytest.mark.parametrize(
    ("button", "said"),
    [("Authorise", {"status": "succeeded"}),
     ("Fail authentication", {"error": "payment_intent_authentication_failure"})],
)  # fmt: skip
def test_three_d_secure_opens_over_the_page(page: Any, shop: Shop, button: str, said: dict[str, str]) -> None:
    fill(page, "4000002760003184")
    page.click("#pay")
    frame(page, "3-D Secure authentication").get_by_role("button", name=button).click()
    says(page, said)


@pytest.mark.parametrize(
    ("card", "button", "said"),
    [("4242424242424242", None, {"status": "succeeded"}),
     ("4000002760003184", "Authorise", {"status": "succeeded"}),
     ("4000002760003184", "Fail authentication", {"error": "setup_intent_authentication_failure"}),
     ("4000000000000002", None, {"error": "card_declined"})],
)  # fmt: skip
def test_a_card_is_saved(page: Any, shop: Shop, card: str, button: str | None, said: dict[str, str]) -> None:
    setup = shop.account.v1.setup_intents.create({})
    fill(page, card)
    page.evaluate(
        """async (clientSecret) => {
          await elements.submit();
          stripe.confirmSetup({ elements, clientSecret, confirmParams: { return_url: location.href },
            redirect: "if_required" })
            .then(({ error, setupIntent }) => say(error ? { error: error.code } : { status: setupIntent.status }));
        }""",
        setup.client_secret,
    )
    if button:
        frame(page, "3-D Secure authentication").get_by_role("button", name=button).click()
    says(page, said)
    status = shop.account.v1.setup_intents.retrieve(setup.id).status
    assert status == said.get("status", "requires_payment_method")


def test_the_wallet_pays_and_recovers_from_a_decline(page: Any, shop: Shop) -> None:
    assert json.loads(page.get_attribute("body", "data-express"))["testWallet"] is True
    button = frame(page, "Secure express checkout frame").get_by_role("button", name="Pay with Test wallet")
    button.click()
    sheet = frame(page, "Test wallet")
    sheet.get_by_role("button", name="Cancel").click()
    says(page, {"canceled": True})
    button.click()
    sheet.get_by_label("Declined card").check()
    sheet.get_by_role("button", name="Pay $15.00").click()
    says(page, {"error": "card_declined"})
    playwright.expect(sheet.get_by_role("alert")).to_have_text("Your card was declined.")
    sheet.get_by_label("Visa").check()
    sheet.get_by_role("button", name="Pay $15.00").click()
    says(page, {"status": "succeeded"})
    playwright.expect(page.locator('iframe[title="Test wallet"]')).to_have_count(0)
    assert shop.status() == "succeeded"


def test_a_person_plays_the_customer_on_the_page_of_books(browser: Any, shop: Shop) -> None:
    books = browser.new_page(viewport={"width": 360, "height": 740})
    books.set_default_timeout(10_000)
    books.goto(f"{shop.account.sandbox.base}/?account={shop.account.slug}")
    books.get_by_label(f"Card for {shop.intent.id}").select_option("pm_card_threeDSecure2Required")
    books.get_by_role("button", name="Pay").click()
    books.get_by_role("link", name="3-D Secure").click()
    books.get_by_role("button", name="Authorise").click()
    books.get_by_text("The payment is now: succeeded").wait_for()
    assert shop.status() == "succeeded"
    books.goto(f"{shop.account.sandbox.base}/?account={shop.account.slug}")
    assert books.evaluate("document.documentElement.scrollWidth") <= 360
    books.close()
