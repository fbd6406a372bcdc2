"""A customer pays with a card or a wallet, and everything that can go wrong on the way."""

from __future__ import annotations

from playwright.sync_api import Browser, expect

from tests.browser.conftest import PHONE, Person, Studio, person

DECLINED_FOR_FUNDS = "4000000000009995"
ASKS_THE_BANK = "4000002500003155"
ONE_PAID = [("online", "succeeded")]


def test_a_guest_buys_on_a_phone(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    guest.page.get_by_role("button", name="One more: Cork yoga mat").click()
    expect(guest.page.locator("#total")).to_have_text("$156.78")
    guest.page.get_by_role("button", name="15 %").click()
    expect(guest.page.locator("#pay-amount")).to_have_text("$178.38")
    width = guest.page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, "nothing is wider than the phone"
    guest.say_who()
    guest.type_card()
    guest.press_pay()
    number = guest.gets_the_receipt()
    for shown in (number, "$178.38", "4242"):
        expect(guest.page.locator("main")).to_contain_text(shown)
    assert studio.payments(token) == ONE_PAID


def test_a_wallet_brings_name_and_address(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart("Yoga block")
    guest.page.frame_locator("#express iframe").locator("#wallet").click()
    sheet = guest.page.frame_locator("iframe[title='Test wallet']")
    sheet.get_by_role("button", name="Pay").first.click()
    guest.gets_the_receipt()
    assert studio.payments(token) == ONE_PAID


def test_declined_then_paid_with_another_card(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    guest.say_who()
    guest.type_card(DECLINED_FOR_FUNDS)
    guest.press_pay()
    guest.is_told("You were not charged")
    assert studio.orders(token) == 0
    guest.type_card()
    guest.press_pay()
    guest.gets_the_receipt()
    assert studio.payments(token) == ONE_PAID, "the same payment was used again"


def test_the_bank_asks_for_a_confirmation(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    guest.say_who()
    guest.type_card(ASKS_THE_BANK)
    guest.press_pay()
    guest.is_told("Your bank may ask you to confirm")
    bank = guest.page.frame_locator("iframe[title*='3-D Secure']")
    bank.get_by_role("button", name="Authorise").click()
    guest.gets_the_receipt()
    assert studio.payments(token) == ONE_PAID


def test_reload_in_the_middle(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    guest.say_who()
    guest.type_card(DECLINED_FOR_FUNDS)
    guest.press_pay()
    guest.is_told("not charged")
    guest.page.reload()
    guest.forms_are_ready()
    guest.is_told("The card does not have enough money.")
    guest.type_card()
    guest.press_pay()
    guest.gets_the_receipt()
    assert studio.payments(token) == ONE_PAID


def test_reload_at_once_after_pressing_pay(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    guest.say_who()
    guest.type_card()
    with guest.page.expect_request("**/stripe-intent/"):
        guest.press_pay()
    guest.page.reload()
    guest.forms_are_ready()
    if "/receipt/" not in guest.page.url:
        expect(guest.page.locator("#pay-button")).to_be_enabled()
        if guest.page.locator("#buyer").is_visible() and not guest.page.input_value("#buyer-email"):
            guest.say_who()
        guest.type_card()
        guest.press_pay()
    guest.gets_the_receipt()
    assert studio.payments(token) == ONE_PAID


def test_pay_pressed_twice(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    guest.say_who()
    guest.type_card()
    asked: list[str] = []
    guest.page.on("request", lambda request: asked.append(request.url))
    guest.page.evaluate(
        "() => { const b = document.getElementById('pay-button'); b.click(); b.click(); b.click(); }"
    )
    guest.gets_the_receipt()
    assert len([url for url in asked if url.endswith("/stripe-intent/")]) == 1
    assert studio.payments(token) == ONE_PAID


def test_back_after_paying_shows_the_receipt(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    guest.say_who()
    guest.type_card()
    guest.press_pay()
    number = guest.gets_the_receipt()
    guest.open(f"/checkout/?cart={token}")
    assert guest.gets_the_receipt() == number
    guest.page.go_back()
    assert "/checkout/?cart=" not in guest.page.url
    guest.open("/")
    guest.page.get_by_role("link", name=number).click()
    assert guest.gets_the_receipt() == number


def test_the_order_is_changed_while_it_waits_for_a_card(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    guest.say_who()
    guest.type_card(DECLINED_FOR_FUNDS)
    guest.press_pay()
    guest.is_told("not charged")
    guest.page.reload()
    guest.forms_are_ready()
    guest.page.get_by_role("button", name="Change the order").click()
    guest.page.get_by_role("button", name="One more: Cork yoga mat").click(timeout=30_000)
    expect(guest.page.locator("#total")).to_have_text("$156.78")
    guest.forms_are_ready()
    guest.type_card()
    guest.press_pay()
    guest.gets_the_receipt()
    assert studio.payments(token) == [("online", "cancelled"), *ONE_PAID]


def test_another_device_sees_that_it_is_being_paid_and_may_cancel(
    guest: Person, studio: Studio, browser: Browser
) -> None:
    token = guest.fill_cart()
    guest.say_who()
    guest.type_card(DECLINED_FOR_FUNDS)
    guest.press_pay()
    guest.is_told("not charged")
    context = browser.new_context(viewport=PHONE)
    other = person(context, studio)
    other.open(f"/checkout/?cart={token}")
    other.is_told("being paid on another device")
    expect(other.page.locator("#pay-button")).to_be_hidden()
    other.page.get_by_role("button", name="Change the order").click()
    other.page.get_by_role("button", name="One more: Cork yoga mat").wait_for(timeout=30_000)
    assert studio.payments(token) == [("online", "cancelled")]
    context.close()


def test_a_second_tab_follows_the_first(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    second = person(guest.page.context, studio)
    guest.say_who()
    guest.type_card(DECLINED_FOR_FUNDS)
    guest.press_pay()
    guest.is_told("not charged")
    second.open(f"/checkout/?cart={token}")
    second.forms_are_ready()
    guest.type_card()
    guest.press_pay()
    guest.gets_the_receipt()
    second.gets_the_receipt()
    assert studio.payments(token) == ONE_PAID


def test_the_network_goes_away_while_paying(guest: Person, studio: Studio) -> None:
    token = guest.fill_cart()
    guest.say_who()
    guest.type_card()
    guest.page.route("**/stripe-intent/**", lambda route: route.abort("internetdisconnected"))
    guest.press_pay()
    guest.is_told("The connection is lost.")
    assert studio.payments(token) == []
    guest.page.unroute("**/stripe-intent/**")
    guest.gets_the_receipt()
    assert studio.payments(token) == ONE_PAID


def test_without_javascript_the_cart_works_and_the_card_form_says_why_not(
    browser: Browser, studio: Studio
) -> None:
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    somebody = person(context, studio)
    somebody.open("/")
    somebody.page.get_by_role("button", name="Add Yoga block to the cart").click()
    somebody.page.get_by_role("button", name="One more: Yoga block").click()
    expect(somebody.page.locator("#total")).to_have_text("$31.57")
    expect(somebody.page.locator("#pay-form")).to_contain_text("Paying by card needs JavaScript.")
    context.close()
