"""Staff sell at the till, and the owner sets payments up."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Person, Studio


def test_a_cash_sale_with_the_keyboard_alone(staff: Person, studio: Studio) -> None:
    staff.open("/checkout/")
    for code in ("BLOCK", "8801234567890"):
        expect(staff.page.locator("#code")).to_be_focused()
        staff.page.keyboard.type(code)
        staff.page.keyboard.press("Enter")
        staff.page.wait_for_url("**cart=**")
        expect(staff.page.locator("#order")).to_be_visible()
    expect(staff.page.locator(".line")).to_have_count(2)
    token = staff.token
    staff.page.get_by_role("button", name="Cash").click()
    staff.gets_the_receipt()
    assert studio.payments(token) == [("cash", "succeeded")]
    staff.page.get_by_role("link", name="New sale").click()
    expect(staff.page.locator("#code")).to_be_focused()


def test_the_customer_pays_by_link_while_the_till_watches(
    staff: Person, guest: Person, studio: Studio
) -> None:
    staff.open("/checkout/")
    staff.page.fill("#code", "PASS1")
    staff.page.keyboard.press("Enter")
    staff.page.wait_for_url("**cart=**")
    token = staff.token
    guest.open(f"/checkout/?cart={token}")
    guest.forms_are_ready()
    guest.say_who()
    guest.type_card()
    guest.press_pay()
    number = guest.gets_the_receipt()
    assert staff.gets_the_receipt() == number, "the till follows"
    assert studio.payments(token) == [("online", "succeeded")]


def test_an_order_shows_its_timeline(staff: Person, guest: Person) -> None:
    guest.fill_cart("Yoga block")
    guest.say_who()
    guest.type_card()
    guest.press_pay()
    number = guest.gets_the_receipt()
    staff.open("/purchases/")
    staff.page.get_by_role("link", name=number).click()
    timeline = staff.page.locator(".timeline")
    for shown in ("Payment requested", "Sent to Stripe", "Stripe answered", "Order made"):
        expect(timeline).to_contain_text(shown)


def test_keys_of_the_same_account_are_tried_and_taken_into_use(staff: Person) -> None:
    staff.open("/settings/")
    staff.page.get_by_text("Enter other keys").click()
    staff.page.get_by_label("Publishable key").fill("pk_test_hanriver_two")
    staff.page.get_by_label("Secret key").fill("sk_test_hanriver_two")
    staff.page.get_by_role("button", name="Save and check").click()
    expect(staff.page.locator("#accounts")).to_contain_text("secret key ending in …_two is stored")
    expect(staff.page.locator("#accounts")).not_to_contain_text("Being checked", timeout=20_000)
    expect(staff.page.locator("#accounts")).to_contain_text("In use")
    expect(staff.page.locator("#accounts")).to_contain_text("acct_hanriver")
