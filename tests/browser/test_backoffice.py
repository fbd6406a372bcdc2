"""The owner after the sale: money back, a cancelled class, the drawer, the connection to Stripe."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import DESK, Person, Studio, person
from tests.browser.test_accessibility import is_accessible

CHECKED = "SELECT count(*) FROM payments_job WHERE name = 'verify_account' AND state = 'done'"


@pytest.fixture(scope="module")
def owner(browser: Browser, studio: Studio) -> Iterator[Person]:
    """The owner, signed in once for all of these."""
    context = browser.new_context(viewport=DESK, accept_downloads=True)
    somebody = person(context, studio)
    somebody.sign_in("owner")
    yield somebody
    context.close()
    assert somebody.problems == []


def sell(owner: Person, code: str) -> str:
    """Take something for cash at the till; return the order's number."""
    owner.open("/checkout/")
    owner.page.fill("#code", code)
    owner.page.keyboard.press("Enter")
    owner.page.locator("#sale .line").first.wait_for()
    owner.page.get_by_role("button", name="Cash").first.click()
    return owner.gets_the_receipt()


def pay_online(guest: Person, item: str = "Yoga block") -> str:
    guest.fill_cart(item)
    guest.say_who()
    guest.type_card()
    guest.press_pay()
    return guest.gets_the_receipt()


def test_an_item_is_given_back_in_two_steps_and_the_customer_sees_it(owner: Person, guest: Person) -> None:
    number = pay_online(guest)
    receipt = guest.page.url
    owner.open(f"/purchases/{number}/")
    owner.page.get_by_role("link", name="Give money back").click()
    owner.page.get_by_label("Items, with their share").check()
    owner.page.get_by_role("button", name="Continue").click()
    owner.page.get_by_text("Say how many of which item.").wait_for()
    owner.page.locator("[name^=line_]").fill("1")
    owner.page.fill("[name=reason]", "Torn")
    is_accessible(owner)
    owner.page.get_by_role("button", name="Continue").click()
    owner.page.get_by_role("heading", name="back?").wait_for()
    is_accessible(owner)
    owner.page.locator("button[value=give]").click()
    owner.page.get_by_text("is being given back.").wait_for()
    expect(owner.page.locator("#refunds")).to_contain_text("Refunded", timeout=60_000)
    expect(owner.page.locator(".timeline")).to_contain_text("Hana Park")
    is_accessible(owner)
    guest.page.goto(receipt)
    expect(guest.page.locator(".paid-by")).to_contain_text("Given back")


def test_a_cancelled_class_is_given_back_to_everybody(owner: Person, guest: Person) -> None:
    online = pay_online(guest, "Workshop: backbends")
    cash = sell(owner, "WS-BACK")
    owner.open("/purchases/refunds/")
    owner.page.select_option("[name=item]", label="Workshop: backbends")
    owner.page.fill("[name=reason]", "The teacher is ill")
    owner.page.get_by_role("button", name="Continue").click()
    owner.page.get_by_role("button", name="Refund 2 orders").click()
    bulk = owner.page.locator("#bulk")
    expect(bulk).to_contain_text("2 of 2 orders asked for", timeout=60_000)
    expect(bulk).to_contain_text("Refunded", timeout=60_000)
    expect(bulk.get_by_role("link")).to_have_text(
        [cash]
    )  # who paid in cash is listed, to be paid out by hand
    is_accessible(owner)
    owner.open(f"/purchases/{online}/")
    expect(owner.page.locator("#refunds")).to_contain_text("The teacher is ill")


def test_the_drawer_is_counted_and_closed(owner: Person) -> None:
    sell(owner, "BLOCK")
    owner.open("/close-out/")
    owner.page.fill("[name=counted]", "1")
    owner.page.get_by_role("button", name="Close the shift").click()
    owner.page.get_by_text("The drawer does not hold what it should.").wait_for()
    owner.page.fill("[name=note]", "Counted twice")
    owner.page.get_by_role("button", name="Close the shift").click()
    owner.page.get_by_role("button", name="Print").wait_for()
    expect(owner.page.locator("main")).to_contain_text("Counted twice")
    is_accessible(owner)
    owner.open("/close-out/")
    expect(owner.page.locator("main")).to_contain_text("Hana Park")


def test_the_connection_is_tested(owner: Person, studio: Studio) -> None:
    def checks() -> int:
        ((count,),) = studio.rows(CHECKED)
        return int(count)

    before = checks()
    owner.open("/settings/")
    owner.page.get_by_role("button", name="Test connection").first.click()
    owner.page.get_by_text("The keys are being checked.").wait_for()
    expect(owner.page.locator("#accounts")).to_contain_text("In use", timeout=60_000)
    for _ in range(200):
        if checks() > before:
            break
        owner.page.wait_for_timeout(100)
    assert checks() > before, "a worker has asked Stripe"
