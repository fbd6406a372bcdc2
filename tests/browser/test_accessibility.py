"""Every page, by axe's rules: nothing serious, in light and in dark, in Korean, and nothing cut off when enlarged."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ViewportSize, expect

from stack import demo
from tests.browser.conftest import PHONE, Person, Studio, person

SERIOUS = {"serious", "critical"}
# What WCAG 2.2 AA asks; axe's own best practices are not asserted.
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
# In another language all but colours may differ.
WORDS = {**RULES, "rules": {"color-contrast": {"enabled": False}}}

# A colour that is still fading in is nobody's text colour. What turns for ever (a spinner) is not waited for.
AT_REST = """() => document.getAnimations().every((animation) =>
    animation.playState !== "running" || animation.effect.getComputedTiming().endTime === Infinity)"""

GUEST_PAGES = ("/", "/accounts/login/", "/accounts/signup/", "/checkout/mine", "/receipt/unknown/")
STAFF_PAGES = (
    "/checkout/",
    "/choose_new_customer/?find=mi",
    "/purchases/",
    "/purchases/refunds/",
    "/settings/",
    "/settings/readers/",
    "/settings/api/",
    "/credit-balance/",
    "/credit-services/",
    "/close-out/",
    "/reconciliation/",
    "/reconciliation/differences/",
    "/api/",
)
# What a screen of 1280 x 900 shows at 200 %, and what WCAG asks of the narrowest (1.4.10): 1280 wide at 400 %.
ENLARGED: tuple[ViewportSize, ...] = (
    ViewportSize(width=640, height=450),
    ViewportSize(width=320, height=256),
)
# What reaches beyond the page's edge, of what people see; a table may be scrolled within its own frame.
OVERFLOWING = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > width + 1)
        .slice(0, 5).map((one) => `${one.tagName}.${one.className} ${one.textContent.trim().slice(0, 40)}`)
        .concat(`page ${document.documentElement.scrollWidth} of ${width}`);
}"""


def fits_when_enlarged(somebody: Person) -> None:
    """Look at the page at 200 % and at 400 %: nobody scrolls sideways to read it."""
    before = somebody.page.viewport_size
    assert before is not None
    for size in ENLARGED:
        somebody.page.set_viewport_size(size)
        assert somebody.page.evaluate(OVERFLOWING) == [], f"{somebody.page.url} at {size['width']} px"
    somebody.page.set_viewport_size(before)


def is_accessible(somebody: Person, scheme: str = "light", rules: dict[str, Any] | None = None) -> None:
    """Run axe on the page at rest; name what is wrong and where. In the dark only colours are others than in light."""
    somebody.page.wait_for_function(AT_REST)
    options = rules or (RULES if scheme == "light" else COLOURS)
    found = Axe().run(somebody.page, options=options).response["violations"]
    serious = [
        f"{violation['id']}: {violation['help']} at {[node['target'] for node in violation['nodes']]}"
        for violation in found
        if violation["impact"] in SERIOUS
    ]
    assert serious == [], somebody.page.url
    if scheme == "light":
        fits_when_enlarged(somebody)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_a_guest(guest: Person, scheme: str) -> None:
    guest.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    for path in GUEST_PAGES:
        guest.open(path)
        is_accessible(guest, scheme)
    guest.fill_cart()
    expect(guest.page.locator("#pay-button")).to_be_enabled()
    is_accessible(guest, scheme)
    guest.say_who()
    guest.type_card()
    guest.press_pay()
    guest.gets_the_receipt()
    is_accessible(guest, scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_staff(staff: Person, scheme: str) -> None:
    staff.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    for path in STAFF_PAGES:
        staff.open(path)
        is_accessible(staff, scheme)


def test_pages_in_korean(browser: Browser, studio: Studio) -> None:
    """A guest's by what their browser asks for, those of staff by what they chose."""
    in_korean = (
        b"UPDATE core_profile SET language = %s WHERE email = 'owner@hanriver.example' RETURNING language"
    )
    with psycopg.connect(studio.database, autocommit=True) as connection:
        assert connection.execute(in_korean, ["ko"]).rowcount == 1
        context = browser.new_context(viewport=PHONE, locale="ko-KR", reduced_motion="reduce")
        try:
            somebody = person(context, studio)
            for path in GUEST_PAGES:
                somebody.open(path)
                expect(somebody.page.locator("html")).to_have_attribute("lang", "ko")
                is_accessible(somebody, rules=WORDS)
            somebody.open("/accounts/login/")
            somebody.page.fill("[name=login]", "owner@hanriver.example")
            somebody.page.fill("[name=password]", demo.PASSWORD)
            somebody.page.press("[name=password]", "Enter")
            somebody.page.wait_for_url(lambda url: "/accounts/login/" not in url)
            for path in STAFF_PAGES:
                somebody.open(path)
                expect(somebody.page.locator("html")).to_have_attribute("lang", "ko")
                is_accessible(somebody, rules=WORDS)
            assert somebody.problems == []
        finally:
            context.close()
            connection.execute(in_korean, ["en"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_sale_on_a_reader(staff: Person, studio: Studio, scheme: str) -> None:
    staff.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    staff.open("/checkout/")
    staff.page.fill("#code", "BLOCK")
    staff.page.keyboard.press("Enter")
    staff.page.locator("#charge").wait_for()
    is_accessible(staff, scheme)
    staff.page.locator("#charge").click()
    staff.page.locator(".reader-message", has_text="Present card.").wait_for()
    is_accessible(staff, scheme)
    studio.reader().decline()
    staff.page.locator("#again").wait_for()
    is_accessible(staff, scheme)
    staff.page.locator("#cancel-payment").click()
    staff.page.locator("#code").wait_for(timeout=60_000)
    is_accessible(staff, scheme)
