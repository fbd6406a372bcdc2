"""A customer saves a card, sees it in the list, and takes it out again; another one pays on arrival at the till."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import PHONE, Person, Studio, person
from tests.browser.test_accessibility import is_accessible

BUSINESS = "business_id = (SELECT id FROM core_business WHERE business_id = 1001)"


def allow(studio: Studio, setting: str, *, is_on: bool) -> None:
    """Turn one of the studio's settings on or off, as its owner may."""
    changed = studio.rows(
        f"UPDATE payments_paymentsettings SET {setting} = %s WHERE {BUSINESS} RETURNING id",
        is_on,
    )
    assert len(changed) == 1


@pytest.fixture
def mina(browser: Browser, studio: Studio) -> Iterator[Person]:
    """A customer with a phone, signed in."""
    context = browser.new_context(viewport=PHONE, has_touch=True)
    somebody = person(context, studio)
    somebody.sign_in("mina")
    yield somebody
    context.close()
    assert somebody.problems == []


def save_card(somebody: Person, number: str) -> None:
    """Go through both steps of the page as far as pressing the button."""
    somebody.open("/add_card_details/")
    somebody.page.locator("[name=consent]").check()
    somebody.page.get_by_role("button", name="Continue").click()
    expect(somebody.page.locator("#save-card")).to_be_enabled()
    somebody.type_card(number)
    somebody.page.locator("#save-card").click()


def test_a_card_is_saved_listed_and_removed(mina: Person, studio: Studio) -> None:
    mina.open("/list-payment-cards/")
    expect(mina.page.get_by_role("heading", name="Saved cards")).to_have_count(0)
    allow(studio, "keeps_cards", is_on=True)
    try:
        mina.open("/checkout/mine")
        mina.page.get_by_role("link", name="Saved cards").click()
        is_accessible(mina)
        mina.page.get_by_role("link", name="Add a card").click()
        is_accessible(mina)
        save_card(mina, "4000000000000002")
        mina.page.locator("#card-state", has_text="Nothing was charged. Try another card.").wait_for()
        is_accessible(mina)
        mina.type_card("5555555555554444")
        mina.page.locator("#save-card").click()
        mina.page.wait_for_url("**/list-payment-cards/")
        card = mina.page.locator(".plain-list > li")
        expect(card).to_have_count(1)
        expect(card).to_contain_text("Mastercard •••• 4444")
        expect(card).to_contain_text("Default")
        is_accessible(mina)
        assert mina.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        mina.page.get_by_role("button", name="Remove the card ending in 4444").click()
        mina.page.get_by_text("Nobody can charge it any more").wait_for()
        mina.page.get_by_role("heading", name="No saved cards").wait_for()
    finally:
        allow(studio, "keeps_cards", is_on=False)


def test_the_bank_is_asked_before_a_card_is_saved(mina: Person, studio: Studio) -> None:
    allow(studio, "keeps_cards", is_on=True)
    try:
        save_card(mina, "4000002500003155")
        bank = mina.page.frame_locator("iframe[title*='3-D Secure']")
        bank.get_by_role("button", name="Authorise").click()
        mina.page.wait_for_url("**/list-payment-cards/")
        expect(mina.page.locator(".plain-list")).to_contain_text("•••• 3155")
    finally:
        allow(studio, "keeps_cards", is_on=False)


def test_an_order_is_left_to_be_paid_at_the_desk(guest: Person, staff: Person, studio: Studio) -> None:
    allow(studio, "pays_on_arrival", is_on=True)
    try:
        token = guest.fill_cart("Yoga block")
        guest.say_who("Olga Arriving", "olga@example.com")
        guest.page.get_by_role("button", name="Pay when I arrive").click()
        guest.page.get_by_text("You pay when you arrive.").wait_for()
    finally:
        allow(studio, "pays_on_arrival", is_on=False)
    assert studio.payments(token) == []
    staff.open("/checkout/")
    staff.page.locator("#arrivals").get_by_role("link", name="Olga Arriving").click()
    staff.page.get_by_text("Discount", exact=True).click()
    staff.page.fill("#discount-off", "10")
    staff.page.fill("#discount-reason", "Waited long")
    staff.page.get_by_role("button", name="Take it off").click()
    expect(staff.page.locator("#discount")).to_contain_text("Waited long")
    is_accessible(staff)
    staff.page.get_by_role("button", name="Cash").first.click()
    staff.gets_the_receipt()
    assert studio.payments(token) == [("cash", "succeeded")]
