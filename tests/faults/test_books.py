"""The checker itself: one good sale agrees; whatever is then broken, on our side or Stripe's, is named."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection as django_connection
from django.utils import timezone
from psycopg.rows import dict_row

from stack import books
from stack.books import Row
from tests.faults.test_dying_at_every_step import database_url
from tests.integration.conftest import AtStripe
from tests.integration.tasks.test_sale import arrive, awaiting, run
from tests.stored import Desk, usd
from web.payments.models import Ledger
from web.payments.operations import tenders
from web.payments.queries.quotes import quote

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]

Stripe = dict[str, list[Row]]


@pytest.fixture
def sold(at_stripe: Make) -> Iterator[tuple[psycopg.Connection[Row], str, Stripe]]:
    """A sale that is paid, one that waits, and one that a balance has paid in part.

    With a connection that may break anything and keeps nothing.
    """
    at = at_stripe()
    payment = awaiting(at)
    at.pay(payment)
    arrive(at)
    run("send_receipt")
    awaiting(at)
    desk = Desk(at.shop)
    desk.has(usd(5000))
    cart = desk.cart()
    tenders.use(
        business=desk.business,
        token=cart.token,
        ledger=Ledger.MONEY,
        amount=usd(1000),
        form_token="a part",
        expected_total_minor=quote(cart).totals.total.amount,
        now=timezone.now(),
        staff=desk.staff,
    )
    assert desk.balance() == (5000, 1000)
    django_connection.close()
    with psycopg.connect(database_url(), row_factory=dict_row) as own:
        own.execute("SET session_replication_role = replica")  # no triggers: the books are the last guard
        for row in own.execute(
            "SELECT conrelid::regclass::text AS name, conname FROM pg_constraint JOIN pg_class ON pg_class.oid ="
            " conrelid WHERE relname LIKE 'payments_%' AND contype IN ('c', 'u', 'f')"
        ).fetchall():
            own.execute(
                f'ALTER TABLE {row["name"]} DROP CONSTRAINT IF EXISTS "{row["conname"]}" CASCADE'.encode()
            )
        for row in own.execute(
            "SELECT indexname FROM pg_indexes WHERE tablename LIKE 'payments_%' AND indexdef LIKE '%UNIQUE%'"
            " AND indexname NOT LIKE '%_pkey'"
        ).fetchall():
            own.execute(f'DROP INDEX IF EXISTS "{row["indexname"]}"'.encode())
        for row in own.execute(
            "SELECT column_name AS name FROM information_schema.columns WHERE is_nullable = 'NO'"
            " AND table_name = 'payments_refund' AND column_name <> 'id'"
        ).fetchall():
            own.execute(f'ALTER TABLE payments_refund ALTER COLUMN "{row["name"]}" DROP NOT NULL'.encode())
        yield own, f"acct_{at.slug}", at.books()
        own.rollback()


PAID = "state = 'succeeded'"
OPEN = "state = 'awaiting'"
SQL = {
    "a_charge_belongs_to_no_payment": f"UPDATE payments_payment SET intent_id = 'pi_other' WHERE {PAID}",
    "a_charge_has_another_currency": f"UPDATE payments_payment SET currency = 'eur' WHERE {PAID}",
    "a_charge_has_another_amount": f"UPDATE payments_payment SET amount_received_minor = 1 WHERE {PAID}",
    "a_charge_was_never_settled": f"UPDATE payments_payment SET state = 'awaiting' WHERE {PAID}",
    "an_ended_payment_can_still_be_paid": f"UPDATE payments_payment SET state = 'cancelled' WHERE {OPEN}",
    "an_intent_is_not_at_stripe": f"UPDATE payments_payment SET intent_id = 'pi_other' WHERE {OPEN}",
    "an_open_intent_belongs_to_no_payment": f"UPDATE payments_payment SET intent_id = NULL WHERE {OPEN}",
    "a_payment_succeeded_without_a_charge": f"UPDATE payments_payment SET state = 'succeeded' WHERE {OPEN}",
    "refunds_exceed_the_payment": "REFUND 99999 succeeded",
    "a_payment_reserves_another_amount_than_its_refunds": "UPDATE payments_payment SET refunded_minor = 5",
    "a_payment_returned_another_amount_than_its_refunds": "UPDATE payments_payment SET returned_minor = 5",
    "a_refund_is_stuck_in_between": "REFUND 5 submitting",
    "a_refund_is_not_at_stripe": "REFUND 5 succeeded",
    "an_order_is_not_covered_by_its_payments": "UPDATE payments_order SET total_minor = total_minor + 1",
    "an_order_was_charged_beyond_its_total": "UPDATE payments_order SET total_minor = total_minor - 1",
    "a_paid_order_is_lost": f"UPDATE payments_payment SET order_id = NULL WHERE {PAID}",
    "a_paid_cart_is_no_order": f"UPDATE payments_payment SET state = 'succeeded' WHERE {OPEN}",
    "money_is_set_aside_for_no_cart": f"UPDATE payments_payment SET state = 'reserved' WHERE {PAID}",
    "a_balance_is_not_the_sum_of_its_entries": "UPDATE payments_ledgerbalance SET reserved = 999",
    "a_balance_is_not_what_its_lots_have_left": "UPDATE payments_ledgerlot SET taken = taken - 1",
    "a_cart_is_open_and_ordered": "UPDATE payments_cart SET reference = (SELECT cart_reference FROM payments_order)",
    "a_sale_has_two_orders": "COPY payments_order number='X', token='x'",
    "a_cart_counts_other_payments_than_it_has": "UPDATE payments_cart SET committed_minor = 1",
    "a_payments_history_ends_elsewhere": f"UPDATE payments_payment SET state = 'declined' WHERE {OPEN}",
    "an_order_was_not_made_exactly_once": "DELETE FROM payments_paymentevent WHERE kind = 'order.made'",
    "a_job_is_due_and_not_done": "UPDATE payments_job SET state = 'waiting', due_at = now() - interval '1 hour'",
    "a_job_runs_for_ever": "UPDATE payments_job SET state = 'running'",
    "a_job_is_dead": "UPDATE payments_job SET state = 'dead'",
    "an_event_is_not_applied": "UPDATE payments_inboxevent SET state = 'received'",
    "an_event_is_dead": "UPDATE payments_inboxevent SET state = 'dead'",
    "a_payment_is_stuck_in_between": f"UPDATE payments_payment SET state = 'cancelling' WHERE {OPEN}",
    "an_attempt_is_open": "UPDATE payments_attempt SET state = 'unknown'",
    "a_cart_is_frozen_for_nothing": f"UPDATE payments_payment SET state = 'failed' WHERE {OPEN}",
    "a_live_payment_is_never_looked_at": "UPDATE payments_payment SET next_check_at = NULL",
    "an_order_has_no_receipt": "DELETE FROM payments_receipt",
    "a_receipt_was_not_sent": "UPDATE payments_receipt SET sent_at = NULL",
    "a_refunds_receipt_was_not_sent": "INSERT INTO payments_refundreceipt (refund_id, language, subject, html, text,"
    " rendered_at, sent_to) VALUES (1, 'en', 's', 'h', 't', now(), 'a@b.example')",
    "a_receipt_was_sent_twice": "COPY payments_paymentevent WHERE kind = 'receipt.sent'",
}  # fmt: skip


def test_a_good_sale_agrees(sold: tuple[psycopg.Connection[Row], str, Stripe]) -> None:
    own, account, theirs = sold
    assert books.compare(own, {account: theirs}) == []


def test_each_broken_row_is_named(sold: tuple[psycopg.Connection[Row], str, Stripe]) -> None:
    own, account, theirs = sold
    missed = {}
    for name, change in SQL.items():
        with own.transaction(force_rollback=True):
            _break(own, change)
            found = {one.name for one in books.compare(own, {account: theirs})}
        if name not in found:
            missed[name] = found
    assert missed == {}
    assert books.compare(own, {account: theirs}) == []


def _break(own: psycopg.Connection[Row], change: str) -> None:
    verb, _, rest = change.partition(" ")
    if verb == "REFUND":
        amount, state = rest.split()
        own.execute(
            "INSERT INTO payments_refund (public_id, business_id, payment_id, amount_minor, currency, destination,"
            " reason, state, state_changed_at, stripe_refund_id, failure_code, form_token, created_at)"
            " SELECT gen_random_uuid(), business_id, id, %s, currency, 'method', 'r', %s, now(), 're_1', '', 'f', now()"
            " FROM payments_payment WHERE state = 'succeeded'",
            [amount, state],
        )
    elif verb == "COPY":
        table, _, rest = rest.partition(" ")
        where = rest if rest.startswith("WHERE") else ""
        new = {} if where else dict(part.strip().split("=") for part in rest.split(","))
        columns = [
            row["name"]
            for row in own.execute(
                "SELECT column_name AS name FROM information_schema.columns"
                " WHERE table_name = %s AND column_name <> 'id'",
                [table],
            ).fetchall()
        ]
        values = ", ".join(new.get(column, f'"{column}"') for column in columns)
        names = ", ".join(f'"{column}"' for column in columns)
        own.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table} {where}".encode())
    else:
        own.execute(change.encode())


def test_what_stripe_did_beyond_our_books_is_named(
    sold: tuple[psycopg.Connection[Row], str, Stripe],
) -> None:
    own, account, theirs = sold

    def found(change: Callable[[Stripe], Any]) -> dict[str, int]:
        broken = copy.deepcopy(theirs)
        change(broken)
        return {one.name: one.at_risk for one in books.compare(own, {account: broken})}

    charge = theirs["charges"][0]
    intent = next(one for one in theirs["payment_intents"] if one["id"] == charge["payment_intent"])
    refund = {
        "id": "re_1", "status": "succeeded", "amount": 100, "currency": "usd", "metadata": {"refund": "r"},
        "charge": charge["id"], "payment_intent": intent["id"],
    }  # fmt: skip

    again = found(lambda stripe: stripe["charges"].append({**charge, "id": "ch_2"}))
    assert again["an_intent_was_charged_twice"] == 2 * charge["amount"]
    assert again["an_order_was_charged_beyond_its_total"] == charge["amount"]
    second = found(lambda stripe: stripe["payment_intents"].append({**intent, "id": "pi_2"}))
    assert second["a_payment_has_two_intents"] == charge["amount"]
    ended = found(lambda stripe: stripe["payment_intents"][1].update(status="canceled"))
    assert "a_cancellation_was_never_settled" in ended
    assert found(lambda stripe: stripe["refunds"].append(refund)) == {"a_stripe_refund_has_no_row": 100}
    twice = found(lambda stripe: stripe["refunds"].extend([refund, {**refund, "id": "re_2"}]))
    assert twice["a_refund_was_made_twice"] == 100
    beyond = found(lambda stripe: stripe["refunds"].append({**refund, "amount": charge["amount"] + 1}))
    assert beyond["stripe_gave_back_more_than_came_in"] == 1


def test_a_stripe_refund_is_exactly_one_row(sold: tuple[psycopg.Connection[Row], str, Stripe]) -> None:
    own, account, theirs = sold
    charge = theirs["charges"][0]
    refund = {
        "id": "re_1", "status": "succeeded", "amount": 5, "currency": "usd", "metadata": {},
        "charge": charge["id"], "payment_intent": charge["payment_intent"],
    }  # fmt: skip
    stripe = {account: {**theirs, "refunds": [refund]}}
    _break(own, "REFUND 5 succeeded")
    own.execute(
        "UPDATE payments_payment SET refunded_minor = 5, returned_minor = 5 WHERE state = 'succeeded'"
    )
    assert books.compare(own, stripe) == []
    own.execute("UPDATE payments_refund SET amount_minor = 4")
    own.execute(
        "UPDATE payments_payment SET refunded_minor = 4, returned_minor = 4 WHERE state = 'succeeded'"
    )
    assert [one.name for one in books.compare(own, stripe)] == ["a_refund_has_another_amount"]
    own.execute("UPDATE payments_refund SET amount_minor = 5, state = 'pending'")
    own.execute(
        "UPDATE payments_payment SET refunded_minor = 5, returned_minor = 0 WHERE state = 'succeeded'"
    )
    assert [one.name for one in books.compare(own, stripe)] == ["a_refund_was_never_settled"]
    _break(own, "COPY payments_refund WHERE true")
    assert "a_stripe_refund_has_two_rows" in {one.name for one in books.compare(own, stripe)}


def test_a_dispute_is_known_as_it_stands(sold: tuple[psycopg.Connection[Row], str, Stripe]) -> None:
    own, account, theirs = sold
    intent_id = next(charge["payment_intent"] for charge in theirs["charges"])
    theirs["disputes"] = [
        {
            "id": "dp_1",
            "payment_intent": intent_id,
            "amount": 700,
            "currency": "usd",
            "status": "needs_response",
        },
        {
            "id": "dp_2",
            "payment_intent": "pi_of_somebody_else",
            "amount": 1,
            "currency": "usd",
            "status": "lost",
        },
    ]

    def names() -> list[str]:
        return [one.name for one in books.compare(own, {account: theirs})]

    assert names() == ["a_dispute_was_never_heard_of"]
    own.execute(
        "INSERT INTO payments_dispute (business_id, account_id, payment_id, stripe_dispute_id, charge_id, amount_minor,"
        " currency, reason, status, is_refundable, taken_minor, fee_minor, fee_currency, entries, snapshot_at,"
        " opened_at) SELECT business_id, account_id, id, 'dp_1', charge_id, 700, 'usd', '', 'needs_response', false, 0,"
        " 0, '', 0, now(), now() FROM payments_payment WHERE intent_id = %s",
        [intent_id],
    )
    assert names() == []
    own.execute("UPDATE payments_dispute SET status = 'lost'")
    assert names() == ["a_dispute_stands_otherwise"]
    own.execute("UPDATE payments_dispute SET amount_minor = 1")
    assert names() == ["a_dispute_has_another_amount"]


def test_every_mail_is_held_against_its_receipt(
    sold: tuple[psycopg.Connection[Row], str, Stripe], tmp_path: Any
) -> None:
    own, _account, _theirs = sold

    def write(name: str, reference: object, body: str) -> None:
        text = f"Message-ID: <receipt-{reference}@paydesk>\nTo: a@b.example\nSubject: Receipt\n\n{body}\n"
        (tmp_path / name).write_text(text + "-" * 79 + "\n")

    def names() -> list[str]:
        return [one.name for one in books.mails(own, tmp_path)]

    reference = own.execute("SELECT cart_reference FROM payments_order").fetchall()[0]["cart_reference"]
    assert names() == ["a_receipt_was_never_mailed"]
    write("1.log", reference, "thanks")
    write("2.log", reference, "thanks")
    assert names() == []
    write("2.log", reference, "other words")
    assert names() == ["two_different_receipts_were_mailed"]
    write("2.log", "another", "thanks")
    assert names() == ["a_receipt_was_mailed_for_no_order"]
