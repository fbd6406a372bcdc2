"""Whoever is on call looks, pauses, lets a dead job run again, tries an event out, and finds the story of a sale."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Person, Studio
from tests.browser.test_accessibility import is_accessible
from tests.browser.test_backoffice import pay_online

WHY = "the incident of this morning"


@pytest.fixture(scope="module")
def _operators(studio: Studio) -> None:
    """The owner may act, the front desk may only look."""
    for who, *read_only in (("owner",), ("desk", "--read-only")):
        email = f"{who}@hanriver.example"
        studio.stack.manage("operators", "grant", email, "--business", "1001", *read_only)


@pytest.mark.usefixtures("_operators")
def test_an_operator_looks_acts_and_finds_a_sale_and_a_reader_of_the_page_only_looks(
    staff: Person, desk: Person, guest: Person, studio: Studio
) -> None:
    number = pay_online(guest)
    page = staff.page

    def confirm(button: str) -> None:
        page.fill("#act-reason", WHY)
        page.get_by_role("button", name=button).click()

    staff.open("/ops/")
    expect(page.locator("#queue-intents")).to_be_visible()
    page.locator("#pause-receipts").click()
    expect(page.locator("main")).to_contain_text("Customers get their receipts later.")
    confirm("Pause it")
    expect(page.locator("#queue-receipts")).to_contain_text("Paused")
    is_accessible(staff)
    page.locator("#resume-receipts").click()
    expect(page.locator("main")).to_contain_text(WHY)
    confirm("Resume it")
    expect(page.locator("#pause-receipts")).to_be_visible()

    job = "id = (SELECT max(id) FROM payments_job WHERE name = 'send_receipt')"
    studio.rows(f"UPDATE payments_job SET state = 'dead', last_error = 'SMTPError' WHERE {job} RETURNING id")
    staff.open("/ops/jobs/?state=dead")
    page.get_by_role("link", name="Let all of them run again…").click()
    page.fill("#act-number", "2")
    confirm("Let them run again")  # not the number that fits: nothing is done
    page.get_by_role("alert").wait_for()
    assert studio.rows(f"SELECT state FROM payments_job WHERE {job}") == [("dead",)]
    is_accessible(staff)
    page.fill("#act-number", "1")
    confirm("Let them run again")
    page.get_by_text("1 job waits again.").wait_for()

    page.fill("#ops-q", number)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Order {number}")
    expect(page.locator("main")).to_contain_text("req_")
    is_accessible(staff)
    ((event,),) = studio.rows(
        "SELECT event_id FROM payments_inboxevent WHERE event_type = 'payment_intent.succeeded'"
        " ORDER BY id DESC LIMIT 1"
    )
    page.fill("#ops-q", event)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Order {number}")  # it is part of this sale
    page.get_by_role("link", name="payment_intent.succeeded").click()
    expect(page.locator("main")).to_contain_text(event)
    page.get_by_role("button", name="See what a replay would change").click()
    expect(page.locator("#rehearsal")).to_contain_text("nothing", ignore_case=True, timeout=30_000)
    is_accessible(staff)
    page.get_by_role("link", name="Replay it…").click()
    confirm("Replay it")
    page.get_by_text("waits to be applied again.").wait_for()
    assert studio.rows(f"SELECT state FROM payments_job WHERE {job}") == [("done",)]  # a while ago
    staff.open("/ops/actions/")
    expect(page.locator("main")).to_contain_text(WHY)
    is_accessible(staff)

    desk.open("/ops/")
    expect(desk.page.locator("#queue-intents")).to_be_visible()
    expect(desk.page.get_by_role("link", name="…")).to_have_count(0)
    assert desk.page.goto(f"{studio.origin}/ops/queues/receipts/pause/").status == 403  # type: ignore[union-attr]
