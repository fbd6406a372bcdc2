"""The balance and its way to the bank: what a payout holds, when it arrives, and that it can come back."""

import pytest
import requests
import stripe

from tests.contract.conftest import Account, Running, eventually

DAY = 24 * 3600


@pytest.fixture
def studio(own_sandbox: Running) -> Account:
    """An account whose clock is its own."""
    return Account(own_sandbox, "studio")


def advance(account: Account, seconds: float) -> None:
    """Move the clock."""
    account.sandbox.control("POST", "clock", advance=seconds)


def settled(account: Account, count: int) -> None:
    """Wait until that many balance transactions have arrived."""
    eventually(lambda: len(account.v1.balance_transactions.list({"limit": 100}).data) == count)


def amounts(account: Account) -> tuple[int, int]:
    """Return what is available and pending in dollars' cents."""
    balance = account.v1.balance.retrieve()
    return balance.available[0].amount, balance.pending[0].amount


def test_money_is_pending_then_available(studio: Account) -> None:
    assert amounts(studio) == (0, 0)
    studio.pay(amount=10_000)
    studio.v1.refunds.create({"payment_intent": studio.pay(amount=2_000).id, "amount": 500})
    settled(studio, 3)
    net = 10_000 - 320 + 2_000 - 88 - 500
    assert amounts(studio) == (0, net)
    assert {line.status for line in studio.v1.balance_transactions.list().data} == {"pending"}
    advance(studio, 2 * DAY + 1)
    assert amounts(studio) == (net, 0)
    lines = studio.v1.balance_transactions.list({"type": "charge"})
    assert {line.status for line in lines.data} == {"available"}
    charge = studio.v1.charges.list({"limit": 1, "expand": ["data.balance_transaction"]}).data[0]
    assert isinstance(charge.balance_transaction, stripe.BalanceTransaction)
    assert charge.balance_transaction.status == "available"


def test_midnight_pays_out_what_is_available_and_says_what_it_held(studio: Account) -> None:
    studio.pay(amount=10_000)
    studio.v1.refunds.create({"payment_intent": studio.pay(amount=2_000).id, "amount": 500})
    settled(studio, 3)
    advance(studio, 3 * DAY + 1)
    payout = eventually(lambda: studio.v1.payouts.list().data)[0]
    assert (payout.amount, payout.automatic) == (10_000 - 320 + 2_000 - 88 - 500, True)
    eventually(lambda: "payout.reconciliation_completed" in studio.types())
    done = studio.v1.payouts.retrieve(payout.id, {"expand": ["balance_transaction"]})
    assert (done.status, done.reconciliation_status) == ("in_transit", "completed")
    assert isinstance(done.balance_transaction, stripe.BalanceTransaction)
    assert done.balance_transaction.amount == -payout.amount
    held = list(studio.v1.balance_transactions.list({"payout": payout.id, "limit": 2}).auto_paging_iter())
    assert [line.type for line in held] == ["payout", *[line.type for line in held[1:]]]
    assert sorted(line.type for line in held[1:]) == ["charge", "charge", "refund"]
    assert sum(line.net for line in held) == 0
    assert amounts(studio) == (0, 0)
    advance(studio, 2 * DAY)
    eventually(lambda: studio.v1.payouts.retrieve(payout.id).status == "paid")
    kinds = [kind for kind in studio.types() if kind.startswith("payout")]
    assert kinds == ["payout.created", "payout.updated", "payout.reconciliation_completed", "payout.paid"]
    assert [one.id for one in studio.v1.payouts.list({"status": "paid"}).data] == [payout.id]
    assert studio.v1.payouts.list({"arrival_date": {"gt": payout.arrival_date}}).data == []


def test_a_paid_payout_comes_back_and_goes_out_with_the_next(studio: Account) -> None:
    studio.pay(amount=5_000)
    settled(studio, 1)
    advance(studio, 2 * DAY + 1)
    (first,) = studio.sandbox.control("POST", "accounts/studio/payout")["payouts"]
    assert studio.sandbox.control("POST", "accounts/studio/payout")["payouts"] == []
    studio.sandbox.control("POST", f"payouts/{first}/settle", outcome="paid")
    studio.sandbox.control("POST", f"payouts/{first}/settle", outcome="failed", failure_code="account_closed")
    failed = studio.v1.payouts.retrieve(first)
    assert (failed.status, failed.failure_code) == ("failed", "account_closed")
    assert failed.failure_balance_transaction is not None
    assert [kind for kind in studio.types() if kind.startswith("payout")][-2:] == [
        "payout.paid",
        "payout.failed",
    ]
    assert amounts(studio) == (5_000 - 175, 0)
    (second,) = studio.sandbox.control("POST", "accounts/studio/payout")["payouts"]
    held = studio.v1.balance_transactions.list({"payout": second}).data
    assert [line.type for line in held] == ["payout", "payout_failure"]
    assert studio.v1.payouts.retrieve(second).amount == 5_000 - 175


def test_a_payout_by_hand_needs_the_money(studio: Account) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        studio.v1.payouts.create({"amount": 1000, "currency": "usd"})
    assert caught.value.code == "balance_insufficient"
    studio.pay(amount=5_000)
    settled(studio, 1)
    advance(studio, 2 * DAY + 1)
    made = studio.v1.payouts.create({"amount": 1000, "currency": "usd", "metadata": {"a": "1"}})
    assert (made.automatic, made.reconciliation_status, made.amount) == (False, "not_applicable", 1000)
    assert amounts(studio) == (3_825, 0)
    with pytest.raises(stripe.InvalidRequestError, match="only be filtered on automatic"):
        studio.v1.balance_transactions.list({"payout": made.id})
    other = studio.v1.payouts.create({"amount": 500, "currency": "usd"})
    assert studio.v1.payouts.cancel(other.id).status == "canceled"
    assert amounts(studio) == (3_825, 0)
    assert studio.v1.payouts.update(made.id, {"metadata": {"b": "2"}}).metadata is not None
    eventually(lambda: studio.v1.payouts.retrieve(made.id).status == "in_transit")
    with pytest.raises(stripe.InvalidRequestError):
        studio.v1.payouts.cancel(made.id)


def test_a_payout_ends_only_as_it_can(studio: Account) -> None:
    studio.pay(amount=5_000)
    settled(studio, 1)
    advance(studio, 2 * DAY + 1)
    (payout,) = studio.sandbox.control("POST", "accounts/studio/payout")["payouts"]
    studio.sandbox.control("POST", f"payouts/{payout}/settle", outcome="failed")
    again = requests.post(
        f"{studio.sandbox.base}/_sandbox/payouts/{payout}/settle", json={"outcome": "paid"}, timeout=5
    )
    assert again.status_code == 400


def test_a_domain_is_registered_once(account: Account) -> None:
    made = account.v1.payment_method_domains.create({"domain_name": "Shop.Example.com"})
    assert (made.domain_name, made.enabled, made.apple_pay.status) == ("shop.example.com", True, "active")
    assert account.v1.payment_method_domains.create({"domain_name": "shop.example.com"}).id == made.id
    assert account.v1.payment_method_domains.validate(made.id).google_pay.status == "active"
    assert not account.v1.payment_method_domains.update(made.id, {"enabled": False}).enabled
    assert account.v1.payment_method_domains.list({"enabled": True}).data == []
    assert [
        one.id for one in account.v1.payment_method_domains.list({"domain_name": "shop.example.com"}).data
    ] == [made.id]
    bad = account.v1.payment_method_domains.create({"domain_name": "nowhere.invalid"})
    assert bad.apple_pay.status == "inactive"
    assert bad.apple_pay.status_details is not None
    with pytest.raises(stripe.InvalidRequestError):
        account.v1.payment_method_domains.create({"domain_name": "https://shop.example.com/"})


def test_a_refund_waits_for_the_customer(account: Account) -> None:
    paid = account.pay("pm_card_refundRequiresAction")
    refund = account.v1.refunds.create({"payment_intent": paid.id, "instructions_email": "a@example.com"})
    assert (refund.status, refund.balance_transaction) == ("requires_action", None)
    assert refund.next_action is not None
    assert refund.next_action.display_details is not None
    assert refund.next_action.display_details.email_sent.email_sent_to == "a@example.com"
    account.sandbox.control("POST", f"refunds/{refund.id}/act", outcome="succeeded")
    assert account.v1.refunds.retrieve(refund.id).status == "succeeded"
    assert {"refund.updated", "charge.refund.updated"} <= set(account.types())

    other = account.v1.refunds.create({"payment_intent": account.pay("pm_card_refundRequiresAction").id})
    assert account.v1.refunds.cancel(other.id).status == "canceled"
    third = account.v1.refunds.create({"payment_intent": account.pay("pm_card_refundRequiresAction").id})
    assert account.client.v1.test_helpers.refunds.expire(third.id).status == "failed"
    charge = account.v1.charges.retrieve(str(third.charge))
    assert (charge.amount_refunded, charge.refunded) == (0, False)
