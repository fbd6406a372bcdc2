"""`make screenshots`: every page as people see it, at 360 and 1280 px, light and dark, and in Korean, to be looked at.

All of them go to `.paydesk/screenshots/`; those that the README shows are also copied to `docs/images/`.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psycopg
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from stack.browser import ARGUMENTS, find_or_install_chromium
from stack.customer import Customer
from stack.demo import GOOD_CARD, PASSWORD, Studio, open_studio
from stack.processes import ROOT, STATE, Stack

FOLDER = STATE / "screenshots"
IN_README = {
    "checkout-360-light": "checkout-phone.png",
    "checkout-1280-light": "checkout-desk.png",
    "till-reader-1280-light": "till.png",
    "ops-1280-light": "operations.png",
}
SIZES = ((360, 780), (1280, 900))
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
LANGUAGES = ("en", "ko")
ASKS_FOR_A_CARD = re.compile(r"Present card\.|카드를 대 주세요\.")


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody sees the pages."""

    width: int
    height: int
    scheme: Scheme
    language: str = "en"

    def __str__(self) -> str:
        return f"{self.width}-{self.scheme}" + ("" if self.language == "en" else f"-{self.language}")


def main() -> None:
    """Take every screenshot, or those whose name contains the first argument; print where they are."""
    wanted = sys.argv[1] if sys.argv[1:] else ""
    chromium = find_or_install_chromium()
    if chromium is None:
        sys.exit("no chromium was found, and none could be installed")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with Stack() as stack, sync_playwright() as playwright:
        studio = open_studio(stack)
        cart, receipt = _sell(stack, studio)
        stack.manage("operators", "grant", studio.person("owner")["email"], "--business", "1001")
        with psycopg.connect(stack.urls.database) as connection:  # something to see for whoever is on call
            connection.execute(
                b"UPDATE payments_job SET state = 'dead', last_error = 'SMTPServerDisconnected'"
                b" WHERE name = 'send_receipt'"
            )
        browser = playwright.chromium.launch(executable_path=str(chromium), args=list(ARGUMENTS))
        _keep_a_card(browser, studio)
        for language in LANGUAGES:
            with psycopg.connect(
                stack.urls.database
            ) as connection:  # people's own choice; a guest's is the browser's
                connection.execute(b"UPDATE core_profile SET language = %s", [language])
            for width, height in SIZES:
                for scheme in SCHEMES if language == "en" else SCHEMES[:1]:
                    look = Look(width, height, scheme, language)
                    for name, page in _pages(browser, studio, cart, receipt, look):
                        if wanted in name:
                            _take(page, f"{name}-{look}")
        browser.close()
    images = ROOT / "docs" / "images"
    images.mkdir(parents=True, exist_ok=True)
    for source, target in IN_README.items():
        if wanted in source:
            shutil.copyfile(FOLDER / f"{source}.png", images / target)
    print(f"screenshots: {FOLDER}")


def _sell(stack: Stack, studio: Studio) -> tuple[str, str]:
    """Sell once, so that there is something to see; return an open cart's token and a receipt's address."""
    customer = Customer(site=studio.site, stripe=stack.urls.sandbox)
    cart = customer.fill_cart({studio.item("PASS10"): 1}, name="Noor Guest", email="noor@guest.example")
    payment = customer.ask_to_pay(cart)
    customer.pay(payment, GOOD_CARD)
    receipt = customer.wait_for_the_end(payment)["order"]["receipt_url"]
    another = Customer(site=studio.site, stripe=stack.urls.sandbox)
    items = {studio.item("PASS10"): 1, studio.item("BLOCK"): 2}
    return another.fill_cart(items, name="Mina Kim", email="mina@guest.example", tip_percent=15), receipt


def _keep_a_card(browser: Browser, studio: Studio) -> None:
    """Let the owner allow saved cards, and a customer save one."""
    context = _context(browser, Look(*SIZES[1], "light"))
    page = _sign_in(context, studio, "owner")
    page.goto(f"{studio.site}/settings/")
    allowed = page.locator("[name$=keeps_cards]")
    allowed.check()
    page.locator("form", has=allowed).get_by_role("button").first.click()
    page.wait_for_load_state("load")
    context.close()
    context = _context(browser, Look(*SIZES[1], "light"))
    page = _sign_in(context, studio, "mina")
    _open(page, f"{studio.site}/add_card_details/")
    page.locator("[name=consent]").check()
    page.get_by_role("button", name="Continue").click()
    page.locator("#save-card:enabled").wait_for(timeout=60_000)
    frame = page.frame_locator("#card iframe")
    for field, value in (
        ("number", "4242424242424242"),
        ("expiry", "1234"),
        ("cvc", "123"),
        ("postal", "10013"),
    ):
        frame.locator(f"#{field}").press_sequentially(value)
    page.locator("#save-card").click()
    page.wait_for_url("**/list-payment-cards/", timeout=60_000)
    context.close()


def _sign_in(context: BrowserContext, studio: Studio, local: str) -> Page:
    page = context.new_page()
    _open(page, f"{studio.site}/accounts/login/")
    page.fill("input[type=email]", studio.person(local)["email"])
    page.fill("input[type=password]", PASSWORD)
    page.press("input[type=password]", "Enter")
    page.wait_for_url(lambda url: "/accounts/" not in url)
    return page


def _pages(
    browser: Browser, studio: Studio, cart: str, receipt: str, look: Look
) -> Iterator[tuple[str, Page]]:
    guest = _context(browser, look)
    page = guest.new_page()
    for name, path in (
        ("shop", "/"),
        ("checkout", f"/checkout/?cart={cart}"),
        ("receipt", receipt.removeprefix(studio.site)),
        ("sign-in", "/accounts/login/"),
        ("not-found", "/receipt/unknown/"),
    ):
        _open(page, studio.site + path)
        yield name, page
    guest.close()
    owner = _context(browser, look)
    page = _sign_in(owner, studio, "owner")
    mina = studio.person("mina")["id"]
    for name, path in (
        ("till", "/checkout/"),
        ("choose-customer", "/choose_new_customer/?find=mi"),
        ("purchases", "/purchases/"),
        ("settings", "/settings/"),
        ("readers", "/settings/readers/"),
        ("api", "/settings/api/"),
        ("api-reference", "/api/"),
        ("balances", "/credit-balance/"),
        ("balance", f"/credit-balance/{mina}/"),
        ("credits", "/credit-services/"),
        ("credits-of", f"/credit-services/{mina}/"),
        ("close-out", "/close-out/"),
        ("reconciliation", "/reconciliation/"),
        ("cards-of-a-customer", f"/list-payment-cards/?customer={mina}"),
        ("till-customer", f"/checkout/?customer={mina}"),
        ("refund-many", "/purchases/refunds/"),
    ):
        _open(page, studio.site + path)
        yield name, page
    for name, path in (
        ("ops", "/ops/"),
        ("ops-jobs", "/ops/jobs/?state=dead"),
        ("ops-retry", "/ops/jobs/retry/"),
        ("ops-pause", "/ops/queues/receipts/pause/"),
        ("ops-money", "/ops/money/"),
        ("ops-actions", "/ops/actions/"),
    ):
        _open(page, studio.site + path)
        yield name, page
    yield from _sale_on_a_reader(page, studio)
    _open(page, f"{studio.site}/purchases/")
    page.locator("main table a[href^='/purchases/']").first.click()
    page.wait_for_load_state("load")
    yield "purchase", page
    page.goto(page.url.rstrip("/") + "/refund/")
    yield "refund", page
    owner.close()
    customer = _context(browser, look)
    page = _sign_in(customer, studio, "mina")
    for name, path in (("cards", "/list-payment-cards/"), ("add-card", "/add_card_details/")):
        _open(page, studio.site + path)
        yield name, page
    customer.close()


def _sale_on_a_reader(page: Page, studio: Studio) -> Iterator[tuple[str, Page]]:
    """Sell on a reader as far as the card, and take it back: the pages between are what staff see all day."""
    page.goto(f"{studio.site}/checkout/")
    for code in ("BLOCK", "8801234567890"):
        page.fill("#code", code)
        page.press("#code", "Enter")
        page.wait_for_function("document.getElementById('code').value === ''")
    page.locator("#sale .line").nth(1).wait_for()
    yield "till-sale", page
    page.locator("#charge").click()
    page.locator(".reader-message", has_text=ASKS_FOR_A_CARD).wait_for(timeout=60_000)
    yield "till-reader", page
    page.locator("#cancel-payment").click()
    page.locator("#code").wait_for(timeout=60_000)
    yield "till-cancelled", page


def _context(browser: Browser, look: Look) -> BrowserContext:
    return browser.new_context(
        viewport={"width": look.width, "height": look.height},
        color_scheme=look.scheme,
        locale={"en": "en-US", "ko": "ko-KR"}[look.language],
    )


def _open(page: Page, address: str) -> None:
    page.goto(address)
    if "cart=" in address:
        page.wait_for_selector("#pay-form[data-ready=yes]")  # Stripe's frames draw themselves after the page
    page.wait_for_timeout(300)


def _take(page: Page, name: str) -> Path:
    path = FOLDER / f"{name}.png"
    before = page.viewport_size
    assert before is not None
    # A window as tall as the page: frames below the fold of a smaller one would not be painted.
    tall = max(before["height"], page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": before["width"], "height": tall})
    page.wait_for_timeout(300)
    page.screenshot(path=path)
    page.set_viewport_size(before)
    return path


if __name__ == "__main__":
    main()
