"""The page for people: every view, every form, nothing unescaped, at both widths and in both colour schemes."""

import re
from typing import Any

import pytest
import requests

from tests.contract.conftest import Account, Endpoint, Running, eventually
from tests.contract.test_webhooks import listen

VIEWS = ("payments", "charges", "refunds", "customers", "setups", "disputes", "payouts", "events", "faults", "readers",
         "clock", "cards")  # fmt: skip


def look(account: Account, **query: str) -> str:
    """Return a page's HTML."""
    answer = requests.get(f"{account.sandbox.base}/", params={"account": account.slug, **query}, timeout=10)
    assert answer.status_code == 200
    return answer.text


def click(at: Account, what: str, **form: object) -> requests.Response:
    """Send one of the page's forms."""
    url = f"{at.sandbox.base}/_sandbox/play/{what}"
    return requests.post(url, data={"in": at.slug, **form}, timeout=10, allow_redirects=False)


def test_every_view_shows_what_there_is_and_escapes_it(account: Account) -> None:
    account.v1.customers.create({})
    for view in VIEWS:
        assert "<h2>" in look(account, view=view)
    evil = "<script>alert(1)</script>"
    customer = account.v1.customers.create({"name": evil})
    paid = account.pay(metadata={evil[:30]: evil}, customer=customer.id)
    refund = account.v1.refunds.create({"payment_intent": paid.id})
    setup = account.v1.setup_intents.create({"description": evil})
    account.pay("pm_card_createDispute")
    eventually(lambda: "charge.dispute.created" in account.types())
    dispute = account.v1.disputes.list().data[0]
    shown = {"payments": paid.id, "charges": str(paid.latest_charge), "refunds": refund.id, "customers": customer.id,
             "setups": setup.id, "disputes": dispute.id, "events": "charge.dispute.created"}  # fmt: skip
    for view, what in shown.items():
        page = look(account, view=view)
        assert what in page, view
        assert evil not in page, view
    for object_id in (paid.id, customer.id, setup.id, dispute.id):
        page = look(account, object=object_id)
        assert object_id in page
        assert evil not in page
        assert "Its events" in page
    found = requests.get(f"{account.sandbox.base}/", params={"object": paid.id}, timeout=10).text
    assert "&quot;status&quot;: &quot;succeeded&quot;" in found
    assert "has no" in look(account, object="pi_none")


def test_money_moves_by_clicking(account: Account) -> None:
    account.v1.customers.create({})
    made = click(account, "pay", amount="2500", currency="usd", card="pm_card_visa", view="payments")
    assert (made.status_code, made.headers["Location"]) == (303, f"/?account={account.slug}&view=payments")
    intent = account.v1.payment_intents.list().data[0]
    assert (intent.status, intent.amount) == ("succeeded", 2500)
    click(account, "refund", id=intent.id)
    assert account.v1.refunds.list().data[0].amount == 2500
    again = click(account, "refund", id=intent.id)
    assert (again.status_code, "already been refunded" in again.text) == (400, True)
    click(account, "fail_refund", id=account.v1.refunds.list().data[0].id)
    assert account.v1.refunds.list().data[0].status == "failed"
    click(account, "pay", amount="900", currency="usd", card="pm_card_chargeDeclined")
    assert account.v1.payment_intents.list().data[0].status == "requires_payment_method"
    held = account.pay(capture_method="manual")
    click(account, "capture", id=held.id)
    assert account.v1.payment_intents.retrieve(held.id).status == "succeeded"
    click(account, "dispute", id=held.latest_charge)
    dispute = account.v1.disputes.list().data[0]
    click(account, "resolve", id=dispute.id, outcome="won")
    assert account.v1.disputes.retrieve(dispute.id).status == "won"
    other = account.pay(capture_method="manual")
    click(account, "cancel", id=other.id)
    assert account.v1.payment_intents.retrieve(other.id).status == "canceled"
    assert click(account, "pay", amount="much", currency="usd", card="pm_card_visa").status_code == 400
    assert click(account, "dance").status_code == 404
    assert click(account, "refund", id="pi_none").status_code == 404


def test_faults_are_armed_and_removed_by_clicking(account: Account) -> None:
    armed = click(account, "add_fault", kind="error_500_before", account=account.slug, operation="customers.create",
                  times="", probability="0.5", seed="3")  # fmt: skip
    assert armed.status_code == 303
    page = look(account, view="faults")
    assert "in force" in look(account)
    assert "operation customers.create" in page
    assert {account.post("/v1/customers").status_code for _ in range(12)} == {200, 500}
    mine = [fault for fault in account.sandbox.control("GET", "faults")["data"]
            if fault["match"].get("account") == account.slug]  # fmt: skip
    assert [(fault["probability"], fault["seed"], fault["times"]) for fault in mine] == [(0.5, 3, None)]
    click(account, "remove_fault", fault=mine[0]["id"])
    assert {account.post("/v1/customers").status_code for _ in range(12)} == {200}
    assert click(account, "add_fault", kind="gremlins").status_code == 400
    assert click(account, "add_fault", kind="latency", ms="long").status_code == 400


def test_a_fault_by_method_and_path(account: Account) -> None:
    armed = click(account, "add_fault", kind="error_500_before", account=account.slug, method="GET",
                  path="/v1/customers$", times="")  # fmt: skip
    assert armed.status_code == 303
    assert account.post("/v1/customers").status_code == 200
    assert (account.get("/v1/customers").status_code, account.get("/v1/refunds").status_code) == (500, 200)
    assert "path /v1/customers$" in look(account, view="faults")
    for fault in account.sandbox.control("GET", "faults")["data"]:
        if fault["match"].get("account") == account.slug:
            click(account, "remove_fault", fault=fault["id"])


def test_the_events_about_an_object_are_found_however_old(account: Account) -> None:
    paid = account.pay()
    eventually(lambda: "charge.updated" in account.types())
    for number in range(60):
        account.v1.customers.create({"name": str(number)})
    page = look(account, object=paid.id)
    found = re.findall(r"<td data-label=\"Event\"><div>([a-z_.]+)<br>", page)
    assert found == ["payment_intent.succeeded", "payment_intent.created"]
    event = account.v1.events.list({"type": "payment_intent.created"}).data[0].id
    assert f"<h2>event <code>{event}</code></h2>" in look(account, object=event)


def test_events_are_resent_delayed_and_dropped_by_clicking(account: Account, endpoint: Endpoint) -> None:
    listen(account, endpoint, "customer.created")
    account.v1.customers.create({})
    eventually(lambda: len(endpoint.received) == 1)
    event = endpoint.events()[0]["id"]
    click(account, "resend", id=event)
    eventually(lambda: len(endpoint.received) == 2)
    eventually(lambda: look(account, view="events").count("delivered") >= 2)
    account.fault("webhook_delay", ms=60_000)
    account.v1.customers.create({})
    eventually(lambda: "Delay 60 s" in look(account, view="events"))
    late = re.findall(r"evt_\w+", look(account, view="events", failed="1"))[0]
    assert click(account, "drop", id=late).status_code == 303
    assert "dropped" in look(account, view="events", failed="1")
    assert event not in look(account, view="events", failed="1")


def test_the_clock_and_payouts_move_by_clicking(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    account.pay()
    eventually(lambda: "charge.updated" in account.types())
    assert click(account, "advance", advance="172801", view="clock").status_code == 303
    assert own_sandbox.control("GET", "clock")["offset"] == 172801
    click(account, "pay_out", view="payouts")
    payout = account.v1.payouts.list().data[0]
    assert payout.id in look(account, view="payouts")
    click(account, "settle", id=payout.id, outcome="paid")
    click(account, "settle", id=payout.id, outcome="failed")
    assert account.v1.payouts.retrieve(payout.id).status == "failed"
    assert click(account, "advance", advance="-5").status_code == 400


def test_another_site_cannot_click(account: Account) -> None:
    url = f"{account.sandbox.base}/_sandbox/play/clear_faults"
    assert requests.post(url, headers={"Origin": "http://evil.example"}, timeout=5).status_code == 404


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_nothing_is_cut_off(account: Account, browser: Any, width: int, scheme: Any) -> None:
    account.pay(metadata={"a_rather_long_name_of_a_key": "x" * 120})
    account.pay("pm_card_createDispute")
    account.v1.payment_intents.create({"amount": 99_999_999, "currency": "usd"})
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.set_default_timeout(10_000)
    for view in VIEWS:
        page.goto(f"{account.sandbox.base}/?account={account.slug}&view={view}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
    page.close()
