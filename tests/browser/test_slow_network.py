"""On a slow network every press is answered at once by the page itself, and nothing is done twice or lost."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person, Studio

ONE_PAID = [("online", "succeeded")]
LATENCY_MS = 2000
SLOW = {"offline": False, "latency": LATENCY_MS, "downloadThroughput": 50_000, "uploadThroughput": 50_000}
AT_ONCE_MS = LATENCY_MS - 500  # sooner than any answer can be there, on a busy machine, too


def slow_down(page: Page) -> None:
    """Let the page have what a phone has at the edge of a cell: two seconds of latency, 50 kB a second."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", SLOW)


@pytest.mark.timeout(180)
def test_a_guest_on_a_slow_network(guest: Person, studio: Studio) -> None:
    slow_down(guest.page)
    guest.page.set_default_timeout(60_000)
    guest.open("/")
    add = guest.page.get_by_role("button", name="Add Cork yoga mat to the cart")
    add.dblclick()  # nobody sees that anything happens, so it is pressed again
    guest.page.wait_for_url("**/checkout/?cart=*")
    token = guest.token
    guest.forms_are_ready()
    expect(guest.page.locator("#total")).to_have_text("$78.39")
    guest.say_who()
    guest.type_card()
    asked: list[str] = []
    guest.page.on("request", lambda request: asked.append(request.url))
    guest.press_pay()
    expect(guest.page.locator("#pay-button")).to_be_disabled(timeout=AT_ONCE_MS)
    expect(guest.page.locator("#pay-state")).to_have_text(re.compile(r"\S"), timeout=AT_ONCE_MS)
    guest.gets_the_receipt()
    assert len([url for url in asked if url.endswith("/stripe-intent/")]) == 1
    assert studio.payments(token) == ONE_PAID


@pytest.mark.timeout(180)
def test_a_scanner_is_faster_than_the_network(staff: Person) -> None:
    """Three codes are scanned before the first answer is there: each is counted at once, and each is in the sale."""
    staff.open("/checkout/")
    slow_down(staff.page)
    for code in ("BLOCK", "WATER", "BLOCK"):
        staff.page.keyboard.type(code)
        staff.page.keyboard.press("Enter")
    add = staff.page.locator("#add button")
    expect(add).to_have_attribute("data-waiting", "3", timeout=AT_ONCE_MS)
    expect(add).to_have_attribute("aria-busy", "true")
    expect(staff.page.locator("#sale .amount").first).to_have_text("$34.30", timeout=60_000)
    expect(add).not_to_have_attribute("aria-busy", "true")
    expect(add).to_have_attribute("data-waiting", "")
