"""The page that is a reader: a person stands at it with a browser, while a server asks it for money."""

import re
from typing import Any

import pytest
import requests
from playwright import sync_api as playwright

from tests.contract.conftest import Account, eventually
from tests.contract.test_console import click
from tests.contract.test_terminal import intent, made, process, touch

WIDTHS = [(360, "light"), (1280, "dark")]


@pytest.fixture(params=WIDTHS, ids=["phone", "desk"])
def page(request: pytest.FixtureRequest, browser: Any) -> Any:
    width, scheme = request.param
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened.set_default_timeout(15_000)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert problems == []
    opened.close()


def test_a_person_at_the_reader_sees_what_is_asked_and_pays(page: Any, account: Account) -> None:
    evil = "<script>alert(1)</script>"
    reader, asked = made(account, label=evil[:30]), intent(account, 250)
    page.goto(f"{account.sandbox.base}/_sandbox/reader/{reader.id}")
    playwright.expect(page.get_by_text("Nothing to pay.")).to_be_visible()
    config = {"enable_customer_cancellation": True, "tipping": {"amount_eligible": 200}}
    process(account, reader, asked, **config)
    page.get_by_role("button", name="20 % · 0.40 USD").click()  # the page has looked by itself
    playwright.expect(page.get_by_text("2.90 USD")).to_be_visible()
    page.get_by_role("button", name="A card that is declined").click()
    playwright.expect(page.locator(".sign")).to_have_text("Declined")
    process(account, reader, asked, **config)
    page.get_by_role("button", name="No tip").click()
    page.get_by_role("button", name="Cancel").click()
    playwright.expect(page.locator(".sign")).to_have_text("Cancelled")
    process(account, reader, asked, skip_tipping=True)
    page.get_by_label("The bank answers").select_option("600000")
    page.get_by_role("button", name="Insert").click()
    playwright.expect(page.get_by_text("Authorising")).to_be_visible()
    page.get_by_role("button", name="The bank answers").click()
    playwright.expect(page.get_by_text("Approved")).to_be_visible()
    assert account.v1.payment_intents.retrieve(asked.id).status == "succeeded"
    page.get_by_role("button", name="Unplug").click()
    playwright.expect(page.get_by_text("No power")).to_be_visible()
    page.get_by_role("button", name="Plug in").click()
    page.get_by_text("What goes wrong next").click()
    page.get_by_role("button", name="It is busy").click()
    page.get_by_text("What goes wrong next").wait_for()
    with pytest.raises(Exception, match="busy"):
        process(account, reader, intent(account))


def test_inputs_and_carts_are_on_the_screen(page: Any, account: Account) -> None:
    reader = made(account)
    inputs: Any = [
        {"type": "email", "custom_text": {"title": "Receipt to"}},
        {"type": "selection", "required": True, "custom_text": {"title": "Mat"},
         "selection": {"choices": [{"id": "y", "text": "Yes"}, {"id": "n", "text": "No"}]}},
    ]  # fmt: skip
    account.v1.terminal.readers.collect_inputs(reader.id, {"inputs": inputs})
    page.goto(f"{account.sandbox.base}/_sandbox/reader/{reader.id}")
    page.get_by_label("Mat").select_option("n")
    page.get_by_role("button", name="Submit").click()
    playwright.expect(page.get_by_text("Done")).to_be_visible()
    action = account.v1.terminal.readers.retrieve(reader.id).action
    assert action is not None
    assert action.collect_inputs is not None
    email, mat = action.collect_inputs.inputs
    assert mat.selection is not None
    assert (email.skipped, mat.selection.id) == (True, "n")
    cart: Any = {
        "currency": "usd",
        "total": 2500,
        "line_items": [{"amount": 2500, "description": "Mat", "quantity": 1}],
    }
    account.v1.terminal.readers.set_reader_display(reader.id, {"type": "cart", "cart": cart})
    playwright.expect(page.get_by_text("25.00 USD").last).to_be_visible()


def test_readers_are_registered_listed_and_attended_by_clicking(account: Account) -> None:
    assert click(account, "register", code="simulated-s700", label="Bar", view="readers").status_code == 303
    reader = account.v1.terminal.readers.list().data[0]
    assert (reader.label, reader.device_type) == ("Bar", "simulated_stripe_s700")
    shown = requests.get(
        f"{account.sandbox.base}/", params={"account": account.slug, "view": "readers"}, timeout=10
    ).text
    assert f"/_sandbox/reader/{reader.id}" in shown
    started = click(account, "reader_auto", id=reader.id, after_ms="5", pay="1")
    assert (started.status_code, started.headers["Location"]) == (303, f"/_sandbox/reader/{reader.id}")
    asked = intent(account)
    process(account, reader, asked)
    eventually(lambda: account.v1.payment_intents.retrieve(asked.id).status == "succeeded")
    click(account, "reader_auto", id=reader.id, off="1")
    click(account, "auto_readers", view="readers")
    assert "Somebody stands here" in _page(account, reader.id)
    refused = click(account, "reader_present", id=reader.id, card="visa")
    assert (refused.status_code, "not waiting" in refused.text) == (400, True)
    assert click(account, "reader_dance", id=reader.id).status_code == 404
    touch(account, reader, "unplug")
    assert re.search("No power", _page(account, reader.id))
    account.v1.terminal.readers.delete(reader.id)
    gone = requests.get(f"{account.sandbox.base}/_sandbox/reader/{reader.id}", timeout=10)
    assert gone.status_code == 404


def _page(account: Account, reader_id: str) -> str:
    answer = requests.get(f"{account.sandbox.base}/_sandbox/reader/{reader_id}", timeout=10)
    assert answer.status_code == 200
    return answer.text
