"""Disputes: money gone at once, evidence, verdicts, deadlines, and what they do to refunds."""

from typing import Any

import pytest
import stripe

from tests.contract.conftest import Account, Running, eventually


def disputed(
    account: Account, card: str = "pm_card_createDispute"
) -> tuple[stripe.PaymentIntent, stripe.Dispute]:
    """Pay with a card whose holder disputes, and wait for the dispute."""
    paid = account.pay(card)
    eventually(lambda: "charge.dispute.created" in account.types())
    return paid, account.v1.disputes.list({"payment_intent": paid.id}).data[0]


def kinds(account: Account) -> list[str]:
    """Return the types of the events about disputes."""
    return [kind for kind in account.types() if kind.startswith("charge.dispute")]


def net(account: Account) -> int:
    """Return the account's whole balance in dollars' cents."""
    balance = account.get("/v1/balance").json()
    return sum(
        row["amount"] for row in [*balance["available"], *balance["pending"]] if row["currency"] == "usd"
    )


def test_a_dispute_takes_the_money_at_once(account: Account) -> None:
    paid, dispute = disputed(account)
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", "fraudulent", 2500)
    assert kinds(account) == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
    lines = dispute.balance_transactions
    assert [(line.amount, line.fee, line.net, line.type, line.reporting_category) for line in lines] == [
        (-2500, 1500, -4000, "adjustment", "dispute")
    ]
    assert dispute.evidence_details.due_by is not None
    assert account.v1.charges.retrieve(str(paid.latest_charge)).disputed
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.refunds.create({"payment_intent": paid.id})
    assert caught.value.code == "charge_disputed"
    books = account.books()
    assert books["refunds"] == []
    shown = books["disputes"][0]
    assert (shown["charge"], shown["payment_intent"], shown["amount"]) == (
        books["charges"][0]["id"], books["payment_intents"][0]["id"], books["charges"][0]["amount"],
    )  # fmt: skip
    entries = {entry["id"]: entry for entry in books["balance_transactions"]}
    assert all(charge["balance_transaction"] in (None, *entries) for charge in books["charges"])


@pytest.mark.parametrize(
    ("text", "status", "last"),
    [
        ("winning_evidence", "won", "charge.dispute.funds_reinstated"),
        ("losing_evidence", "lost", "charge.dispute.closed"),
    ],
)
def test_evidence_decides(account: Account, text: str, status: str, last: str) -> None:
    paid, dispute = disputed(account)
    before = net(account)
    staged = account.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "A"}, "submit": False})
    assert (staged.status, staged.evidence_details.submission_count) == ("needs_response", 0)
    assert staged.evidence_details.has_evidence
    sent = account.v1.disputes.update(
        dispute.id, {"evidence": {"uncategorized_text": text}, "metadata": {"a": "1"}}
    )
    assert (sent.status, sent.evidence_details.submission_count) == ("under_review", 1)
    assert (sent.evidence.customer_name, sent.evidence.uncategorized_text) == ("A", text)
    eventually(lambda: account.v1.disputes.retrieve(dispute.id).status == status)
    assert kinds(account)[2:4] == ["charge.dispute.updated"] * 2
    assert kinds(account)[-1] == last
    assert net(account) - before == (2500 if status == "won" else 0)
    with pytest.raises(stripe.InvalidRequestError):
        account.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "B"}})
    with pytest.raises(stripe.InvalidRequestError):
        account.v1.disputes.close(dispute.id)
    if status == "won":
        assert account.v1.refunds.create({"payment_intent": paid.id}).status == "succeeded"


def test_closing_accepts_the_loss(account: Account) -> None:
    _, dispute = disputed(account, "pm_card_createDisputeProductNotReceived")
    assert dispute.reason == "product_not_received"
    assert account.v1.disputes.close(dispute.id).status == "lost"
    assert kinds(account)[-1] == "charge.dispute.closed"


def test_an_inquiry_takes_no_money_and_ends_with_a_refund(account: Account) -> None:
    paid, inquiry = disputed(account, "pm_card_createDisputeInquiry")
    assert (inquiry.status, inquiry.balance_transactions, inquiry.is_charge_refundable) == (
        "warning_needs_response", [], True,
    )  # fmt: skip
    account.v1.refunds.create({"payment_intent": paid.id})
    assert account.v1.disputes.retrieve(inquiry.id).status == "warning_closed"
    assert kinds(account) == ["charge.dispute.created", "charge.dispute.closed"]


def test_an_inquiry_escalates(account: Account) -> None:
    paid, inquiry = disputed(account, "pm_card_createDisputeInquiry")
    account.v1.disputes.update(inquiry.id, {"evidence": {"uncategorized_text": "escalate_inquiry_evidence"}})
    eventually(lambda: account.v1.disputes.retrieve(inquiry.id).status == "needs_response")
    assert kinds(account)[-1] == "charge.dispute.funds_withdrawn"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        account.v1.refunds.create({"payment_intent": paid.id})
    assert caught.value.code == "charge_disputed"


def test_a_dispute_is_opened_and_decided_by_hand(account: Account) -> None:
    paid = account.pay()
    made = account.sandbox.control(
        "POST", f"charges/{paid.latest_charge}/dispute", reason="duplicate", amount=1000
    )
    dispute = account.v1.disputes.retrieve(made["id"], {"expand": ["charge", "payment_intent"]})
    assert (dispute.amount, dispute.reason) == (1000, "duplicate")
    assert isinstance(dispute.charge, stripe.Charge)
    account.sandbox.control("POST", f"disputes/{dispute.id}/resolve", outcome="won")
    assert account.v1.disputes.retrieve(dispute.id).status == "won"
    assert account.v1.disputes.list({"charge": str(paid.latest_charge)}).data[0].id == dispute.id


def test_the_deadline_passes_by_the_clock(own_sandbox: Running) -> None:
    account = Account(own_sandbox, "studio")
    _, dispute = disputed(account)
    assert dispute.evidence_details.due_by is not None
    left = dispute.evidence_details.due_by - own_sandbox.control("GET", "clock")["now"]
    own_sandbox.control("POST", "clock", advance=left - 60)
    assert account.v1.disputes.retrieve(dispute.id).status == "needs_response"
    own_sandbox.control("POST", "clock", advance=61)
    after = eventually(lambda: _lost(account, dispute.id))
    assert after.evidence_details.past_due


def _lost(account: Account, dispute_id: str) -> Any:
    found = account.v1.disputes.retrieve(dispute_id)
    return found if found.status == "lost" else None


def test_an_issuer_warns(account: Account) -> None:
    paid = account.pay("pm_card_createIssuerFraudWarning")
    eventually(lambda: "radar.early_fraud_warning.created" in account.types())
    warnings = account.v1.radar.early_fraud_warnings.list({"payment_intent": paid.id}).data
    assert [warning.charge for warning in warnings] == [paid.latest_charge]
    assert account.v1.radar.early_fraud_warnings.retrieve(warnings[0].id).actionable
