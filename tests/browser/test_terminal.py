"""Front-desk staff charge on a card reader, and everything that can happen between the first tap and the receipt."""

from __future__ import annotations

import os
import re
import time

import pytest
from playwright.sync_api import expect

from stack.reader import Reader
from tests.browser.conftest import Person, Studio

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SALES_EACH = int(os.environ.get("PAYDESK_TILL_SALES", "3"))  # `make faults`: 10
ONE_PAID = [("terminal", "succeeded")]
PATIENCE_MS = 90_000  # a worker that was killed is overtaken when its lease runs out (40 s)


@pytest.fixture
def reader(studio: Studio) -> Reader:
    return studio.reader()


def scan(till: Person, code: str) -> str:
    """Scan an item into a new sale; return the sale's token."""
    till.open("/checkout/")
    expect(till.page.locator("#code")).to_be_focused()
    till.page.keyboard.type(code)
    till.page.keyboard.press("Enter")
    till.page.locator("#charge").wait_for()
    return till.token


def charge(till: Person, code: str = "BLOCK") -> str:
    """Scan an item and charge it on the front desk's reader, with the keyboard; return the sale's token."""
    token = scan(till, code)
    till.page.get_by_label("Front desk").check()  # a till without a reader of its own is offered a free one
    till.page.keyboard.press("F9")
    till.page.locator(".reader-strip").wait_for()
    return token


def says(till: Person, words: str) -> None:
    till.page.locator(".reader-message", has_text=words).wait_for(timeout=PATIENCE_MS)


def is_approved(till: Person) -> None:
    till.page.wait_for_url("**/receipt/**", timeout=PATIENCE_MS)
    expect(till.page.get_by_role("heading", name="Approved")).to_be_visible()


def test_sell_on_a_reader_with_the_keyboard_alone(desk: Person, reader: Reader, studio: Studio) -> None:
    token = charge(desk)
    says(desk, "Present card.")
    expect(desk.page.locator("[aria-current=step]")).to_have_text("Present card")
    reader.wait_until_asked()
    reader.tap()
    is_approved(desk)
    assert studio.payments(token) == ONE_PAID
    expect(desk.page.get_by_role("link", name="New sale").last).to_be_focused()
    expect(desk.page.locator(".bar-previous")).to_contain_text("Receipt")


def test_a_declined_card_then_another_one(desk: Person, reader: Reader, studio: Studio) -> None:
    token = charge(desk)
    reader.wait_until_asked()
    reader.decline()
    says(desk, "Declined")
    expect(desk.page.locator(".reader-says")).to_contain_text("The customer was not charged.")
    assert studio.orders(token) == 0
    desk.page.get_by_role("button", name="Try again").click()
    says(desk, "Present card.")
    reader.wait_until_asked()
    reader.tap()
    is_approved(desk)
    assert studio.payments(token) == ONE_PAID, "the same payment was shown again"


def test_cancelled_before_the_card(desk: Person, reader: Reader, studio: Studio) -> None:
    token = charge(desk)
    says(desk, "Present card.")
    desk.page.get_by_role("button", name="Cancel", exact=True).click()
    desk.page.get_by_text("The payment was cancelled. Nothing was charged.").wait_for(timeout=PATIENCE_MS)
    expect(desk.page.locator("#charge")).to_be_visible()
    assert studio.payments(token) == [("terminal", "cancelled")]
    assert reader.screen().asks != "card"


def test_cancelled_too_late(desk: Person, reader: Reader, studio: Studio) -> None:
    token = charge(desk)
    says(desk, "Present card.")
    reader.wait_until_asked()
    desk.page.route("**/checkout/till/state/**", lambda route: route.abort())  # the till hears nothing
    reader.tap()
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not studio.orders(token):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    desk.page.get_by_role("button", name="Cancel", exact=True).click()
    is_approved(desk)
    assert studio.payments(token) == ONE_PAID
    assert studio.orders(token) == 1


def test_the_reader_is_busy_with_the_till_beside_then_ours(
    desk: Person, staff: Person, reader: Reader, studio: Studio
) -> None:
    theirs = charge(staff, "BLOCK")
    says(staff, "Present card.")
    ours = charge(desk, "WATER")
    says(desk, "Waiting for the reader.")
    queue = desk.page.locator(".reader-queue")
    expect(queue).to_contain_text("Hana Park")
    expect(queue).to_contain_text("holds the reader")
    assert studio.payments(ours) == [("terminal", "requested")]
    desk.page.get_by_role("link", name="Serve the next one").click()  # and meanwhile the next customer
    expect(desk.page.locator("#bar")).to_contain_text("Queued")
    reader.wait_until_asked()
    reader.tap()
    is_approved(staff)
    reader.wait_until_asked()
    expect(desk.page.locator("#bar")).to_contain_text("Present card", timeout=PATIENCE_MS)
    reader.tap()
    done = desk.page.locator(f"#bar .bar-done[href*='{ours}']")  # others were sold here a moment ago
    expect(done).to_contain_text("Paid", timeout=PATIENCE_MS)
    assert studio.payments(theirs) == ONE_PAID
    assert studio.payments(ours) == ONE_PAID


def test_the_reader_is_unplugged_and_another_one_takes_over(
    desk: Person, reader: Reader, studio: Studio
) -> None:
    token = charge(desk)
    says(desk, "Present card.")
    reader.wait_until_asked()
    reader.unplug()
    try:
        desk.page.get_by_role("button", name="Cancel", exact=True).click()
        desk.page.get_by_text("The payment was cancelled. Nothing was charged.").wait_for(timeout=PATIENCE_MS)
        desk.page.get_by_label("Studio door").check()
        desk.page.locator("#charge").click()
        says(desk, "Present card.")
        door = studio.reader("Studio door")
        door.wait_until_asked()
        door.tap()
        is_approved(desk)
    finally:
        reader.plug_in()
    assert studio.payments(token) == [("terminal", "cancelled"), *ONE_PAID]


def test_the_worker_is_killed_while_the_customer_looks_for_the_card(
    desk: Person, reader: Reader, studio: Studio
) -> None:
    scan(desk, "BLOCK")
    token = desk.token
    desk.page.get_by_label("Front desk").check()
    desk.page.locator("#charge").click()
    studio.stack.kill_worker("stripe")
    reader.wait_until_asked(seconds=PATIENCE_MS / 1000)
    studio.stack.wait_ready("worker-stripe-1")  # what asked may have died after it had, or come after it
    studio.stack.kill_worker("stripe")
    reader.tap()
    is_approved(desk)
    assert studio.payments(token) == ONE_PAID
    assert studio.orders(token) == 1


@pytest.mark.timeout(600)
def test_two_tills_one_reader_many_sales_each(
    desk: Person, staff: Person, reader: Reader, studio: Studio
) -> None:
    reader.tap_by_itself(after_ms=50, processing_ms=50)
    try:
        tokens = []
        for _ in range(SALES_EACH):
            for till in (desk, staff):
                scan(till, "WATER")
                tokens.append(till.token)
                till.page.get_by_label("Front desk").check()
                till.page.locator("#charge").click()
                # The card is there at once: the receipt may have come before anybody looks.
                till.page.wait_for_url(re.compile(r"cart=|/receipt/"))
                till.page.locator(".reader-strip, [data-print]").first.wait_for()
        deadline = time.monotonic() + 300
        while sum(studio.orders(token) for token in tokens) < len(tokens):
            assert time.monotonic() < deadline, [studio.payments(token) for token in tokens]
            time.sleep(0.5)
    finally:
        reader.leave_alone()
    assert len(set(tokens)) == 2 * SALES_EACH
    assert [studio.payments(token) for token in tokens] == [ONE_PAID] * len(tokens)
