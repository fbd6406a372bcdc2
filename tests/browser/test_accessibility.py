"""Every page, by axe's rules: nothing serious, in light and in dark."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import Person, Studio

SERIOUS = {"serious", "critical"}
# What WCAG 2.2 AA asks; axe's own best practices are not asserted.
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}

# A colour that is still fading in is nobody's text colour. What turns for ever (a spinner) is not waited for.
AT_REST = """() => document.getAnimations().every((animation) =>
    animation.playState !== "running" || animation.effect.getComputedTiming().endTime === Infinity)"""


def is_accessible(somebody: Person) -> None:
    """Run axe on the page at rest; name what is wrong and where."""
    somebody.page.wait_for_function(AT_REST)
    found = Axe().run(somebody.page, options=RULES).response["violations"]
    serious = [
        f"{violation['id']}: {violation['help']} at {[node['target'] for node in violation['nodes']]}"
        for violation in found
        if violation["impact"] in SERIOUS
    ]
    assert serious == [], somebody.page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_a_guest(guest: Person, scheme: str) -> None:
    guest.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    for path in ("/", "/accounts/login/", "/accounts/signup/", "/checkout/mine", "/receipt/unknown/"):
        guest.open(path)
        is_accessible(guest)
    guest.fill_cart()
    expect(guest.page.locator("#pay-button")).to_be_enabled()
    is_accessible(guest)
    guest.say_who()
    guest.type_card()
    guest.press_pay()
    guest.gets_the_receipt()
    is_accessible(guest)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_staff(staff: Person, scheme: str) -> None:
    staff.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    for path in (
        "/checkout/",
        "/choose_new_customer/?find=mi",
        "/purchases/",
        "/settings/",
        "/settings/readers/",
        "/credit-balance/",
        "/credit-services/",
        "/close-out/",
        "/reconciliation/",
        "/reconciliation/differences/",
    ):
        staff.open(path)
        is_accessible(staff)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_sale_on_a_reader(staff: Person, studio: Studio, scheme: str) -> None:
    staff.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    staff.open("/checkout/")
    staff.page.fill("#code", "BLOCK")
    staff.page.keyboard.press("Enter")
    staff.page.locator("#charge").wait_for()
    is_accessible(staff)
    staff.page.locator("#charge").click()
    staff.page.locator(".reader-message", has_text="Present card.").wait_for()
    is_accessible(staff)
    studio.reader().decline()
    staff.page.locator("#again").wait_for()
    is_accessible(staff)
    staff.page.locator("#cancel-payment").click()
    staff.page.locator("#code").wait_for(timeout=60_000)
    is_accessible(staff)
