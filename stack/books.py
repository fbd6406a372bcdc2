"""The books' checker: what we say about money, held against what Stripe says, and against itself.

Used by the fault tests, the chaos run, drills, the demo and the benchmarks. It imports nothing of the product
and reads both sides as they are: our rows by SQL, Stripe's by the sandbox's own record. An empty list means
that no customer was charged twice, no paid order is lost, no refund was made twice, and nothing is in limbo.

`python -m stack.books DATABASE_URL SANDBOX_URL ACCOUNT…` prints what it finds.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg import sql
from psycopg.rows import dict_row

Row = dict[str, Any]
IN_HUNDREDS = frozenset({"isk", "ugx"})  # Stripe counts them in hundredths, which nobody has
COMMITTED = (
    "requested", "unknown", "awaiting", "declined", "processing", "authorised", "cancelling", "succeeded",
    "reserved",
)  # fmt: skip
# What waits for a customer may wait; these wait for us or for Stripe, and not for long.
IN_BETWEEN = ("requested", "unknown", "processing", "cancelling")


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One thing that must not be, and the money that hangs on it, in minor units of the currency."""

    name: str
    about: str
    at_risk: int = 0
    currency: str = ""

    def __str__(self) -> str:
        money = f" ({self.at_risk} {self.currency} at risk)" if self.at_risk else ""
        return f"{self.name}: {self.about}{money}"


@dataclass
class Books:
    """Both sides, read once. `stripe` is what the sandbox's `books/{account}` answers, by Stripe's account id."""

    connection: psycopg.Connection[Row]
    stripe: dict[str, dict[str, list[Row]]]
    found: list[Discrepancy] = field(default_factory=list)

    def rows(self, query: str, *parameters: Any) -> list[Row]:
        """Return rows of ours; a query may use `%s`."""
        return self.connection.execute(query.encode(), parameters or None).fetchall()

    def report(self, name: str, about: object, at_risk: int = 0, currency: str = "") -> None:
        self.found.append(Discrepancy(name, str(about), at_risk, currency))

    def report_rows(self, name: str, query: str, *parameters: Any) -> None:
        """Report each row that a query finds; it returns `about`, and may return `at_risk` and `currency`."""
        for row in self.rows(query, *parameters):
            self.report(name, row["about"], row.get("at_risk") or 0, row.get("currency") or "")


Check = Callable[[Books], None]
_always: list[Check] = []
_when_quiet: list[Check] = []


def _invariant(check: Check) -> Check:
    _always.append(check)
    return check


def _once_quiet(check: Check) -> Check:
    _when_quiet.append(check)
    return check


def check(
    database_url: str,
    sandbox_url: str,
    accounts: Sequence[str],
    *,
    is_quiet: bool = True,
    mail_dir: Path | None = None,
) -> list[Discrepancy]:
    """Return every discrepancy, the most money first; `accounts` are slugs at the sandbox.

    While work is under way (`is_quiet` false) only what must hold at every moment is checked. `mail_dir` adds
    the mails that were really sent.
    """
    stripe = {f"acct_{slug}": stripe_books(sandbox_url, slug) for slug in accounts}
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = compare(connection, stripe, is_quiet=is_quiet)
        if mail_dir is not None and is_quiet:
            found += mails(connection, mail_dir)
    return sorted(found, key=lambda one: -one.at_risk)


def compare(
    connection: psycopg.Connection[Row], stripe: dict[str, dict[str, list[Row]]], *, is_quiet: bool = True
) -> list[Discrepancy]:
    """Return what is wrong by an open connection and Stripe's books by account id."""
    books = Books(connection, stripe)
    for each in _always + (_when_quiet if is_quiet else []):
        each(books)
    return books.found


def stripe_books(sandbox_url: str, slug: str) -> dict[str, list[Row]]:
    """Return the sandbox's own record of an account."""
    answer = requests.get(f"{sandbox_url}/_sandbox/books/{slug}", timeout=60)
    answer.raise_for_status()
    books: dict[str, list[Row]] = answer.json()
    return books


def ours(amount: int, currency: str) -> int:
    """Return an amount of Stripe's in our minor units."""
    return amount // 100 if currency in IN_HUNDREDS else amount


# --- ours against Stripe's --------------------------------------------------------------------------


@_once_quiet
def _charges(books: Books) -> None:
    """Hold each successful charge against the payment that it belongs to."""
    payments = _payments_by_intent(books)
    for account, theirs in books.stripe.items():
        paid: dict[str, list[Row]] = defaultdict(list)
        for charge in theirs["charges"]:
            if charge["status"] == "succeeded" and charge["captured"]:
                paid[charge["payment_intent"] or charge["id"]].append(charge)
        for intent_id, charges in paid.items():
            amount = sum(ours(charge["amount_captured"], charge["currency"]) for charge in charges)
            currency = charges[0]["currency"]
            payment = payments.get((account, intent_id))
            if payment is None:
                books.report("a_charge_belongs_to_no_payment", intent_id, amount, currency)
                continue
            if len(charges) > 1:
                books.report("an_intent_was_charged_twice", intent_id, amount, currency)
            if payment["currency"] != currency:
                books.report("a_charge_has_another_currency", _about(payment), amount, currency)
            elif payment["state"] == "succeeded" and amount != payment["amount_received_minor"]:
                books.report("a_charge_has_another_amount", _about(payment), amount, currency)


def _payments_by_intent(books: Books) -> dict[tuple[str, str], Row]:
    rows = books.rows(
        "SELECT payment.*, account.account_id AS stripe_account FROM payments_payment AS payment"
        " JOIN payments_stripeaccount AS account ON account.id = payment.account_id WHERE intent_id IS NOT NULL"
    )
    return {(row["stripe_account"], row["intent_id"]): row for row in rows}


def _about(payment: Row) -> str:
    return f"payment {payment['id']} ({payment['state']}, {payment['intent_id']})"


@_once_quiet
def _claimed_charges(books: Books) -> None:
    """Find payments that we call paid and Stripe does not."""
    for (account, intent_id), payment in _payments_by_intent(books).items():
        if payment["state"] not in ("succeeded", "held") or account not in books.stripe:
            continue
        charges = [
            charge
            for charge in books.stripe[account]["charges"]
            if charge["payment_intent"] == intent_id and charge["status"] == "succeeded"
        ]
        if not charges:
            books.report(
                "a_payment_succeeded_without_a_charge",
                _about(payment),
                payment["amount_received_minor"],
                payment["currency"],
            )


@_invariant
def _one_intent(books: Books) -> None:
    """Find payments for which Stripe has two intents that can take money or have."""
    for account, theirs in books.stripe.items():
        intents: dict[str, list[Row]] = defaultdict(list)
        for intent in theirs["payment_intents"]:
            if intent["status"] != "canceled" and intent["metadata"].get("payment"):
                intents[intent["metadata"]["payment"]].append(intent)
        for payment, several in intents.items():
            if len(several) > 1:
                amount = sum(ours(intent["amount"], intent["currency"]) for intent in several[1:])
                names = ", ".join(intent["id"] for intent in several)
                books.report(
                    "a_payment_has_two_intents",
                    f"payment {payment} at {account}: {names}",
                    amount,
                    several[0]["currency"],
                )


@_invariant
def _charged_beyond_the_order(books: Books) -> None:
    """Find orders for which customers were charged more than the total, held money apart."""
    payments = _payments_by_intent(books)
    charged: dict[str, int] = defaultdict(int)
    for account, theirs in books.stripe.items():
        for charge in theirs["charges"]:
            payment = payments.get((account, charge["payment_intent"]))
            if payment and charge["status"] == "succeeded" and payment["state"] != "held":
                charged[str(payment["cart_reference"])] += ours(charge["amount_captured"], charge["currency"])
    for order in books.rows("SELECT * FROM payments_order"):
        amount = charged.get(str(order["cart_reference"]), 0)
        if amount > order["total_minor"]:
            books.report(
                "an_order_was_charged_beyond_its_total",
                f"order {order['number']}: {amount} of {order['total_minor']}",
                amount - order["total_minor"],
                order["currency"],
            )


@_once_quiet
def _settled(books: Books) -> None:
    """Hold what Stripe ended against what we think of it: the last word must have arrived."""
    for (account, intent_id), payment in _payments_by_intent(books).items():
        theirs = books.stripe.get(account)
        if theirs is None:
            continue
        intent = next((one for one in theirs["payment_intents"] if one["id"] == intent_id), None)
        money = payment["amount_minor"], payment["currency"]
        if intent is None:
            books.report("an_intent_is_not_at_stripe", _about(payment), *money)
        elif intent["status"] == "succeeded" and payment["state"] not in ("succeeded", "held"):
            books.report("a_charge_was_never_settled", _about(payment), *money)
        elif intent["status"] == "canceled" and payment["state"] not in ("cancelled", "failed"):
            books.report("a_cancellation_was_never_settled", _about(payment), *money)
        elif payment["state"] in ("cancelled", "failed") and intent["status"] != "canceled":
            books.report("an_ended_payment_can_still_be_paid", _about(payment), *money)


@_once_quiet
def _orphaned_intents(books: Books) -> None:
    """Find intents of ours at Stripe whose payment does not know them."""
    known = {intent_id for _account, intent_id in _payments_by_intent(books)}
    for theirs in books.stripe.values():
        for intent in theirs["payment_intents"]:
            is_open = intent["status"] not in ("canceled", "succeeded")  # the charge says the rest
            if is_open and intent["id"] not in known and intent["metadata"].get("payment"):
                amount = ours(intent["amount"], intent["currency"])
                books.report("an_open_intent_belongs_to_no_payment", intent["id"], amount, intent["currency"])


# --- refunds ----------------------------------------------------------------------------------------


@_invariant
def _refunds_within_the_payment(books: Books) -> None:
    """Find payments of which more is given back than came in, by our rows or by Stripe's.

    What Stripe reports beyond that (a refund made in its dashboard) is kept apart, and counts for neither.
    """
    books.report_rows(
        "refunds_exceed_the_payment",
        """
        SELECT format('payment %s', payment.id) AS about, payment.currency,
               sum(refund.amount_minor) - payment.amount_received_minor - payment.refunded_beyond_minor AS at_risk
        FROM payments_refund AS refund JOIN payments_payment AS payment ON payment.id = refund.payment_id
        WHERE refund.state NOT IN ('failed', 'cancelled') GROUP BY payment.id
        HAVING sum(refund.amount_minor) > payment.amount_received_minor + payment.refunded_beyond_minor
        """,
    )
    for theirs in books.stripe.values():
        given: dict[str, int] = defaultdict(int)
        for refund in theirs["refunds"]:
            if refund["status"] in ("succeeded", "pending", "requires_action"):
                given[refund["charge"]] += refund["amount"]
        for charge in theirs["charges"]:
            if given[charge["id"]] > charge["amount_captured"]:
                books.report(
                    "stripe_gave_back_more_than_came_in",
                    charge["id"],
                    ours(given[charge["id"]] - charge["amount_captured"], charge["currency"]),
                    charge["currency"],
                )


@_invariant
def _reserved_refunds(books: Books) -> None:
    """Hold what a payment reserves for refunds, and says was returned, against its refunds."""
    sums = """
        SELECT format('payment %s: %s for %s', payment.id, {counted}, coalesce(sum(refund.amount_minor) FILTER (
                   WHERE {which}), 0)) AS about, payment.currency, {counted} AS at_risk
        FROM payments_payment AS payment LEFT JOIN payments_refund AS refund ON refund.payment_id = payment.id
        GROUP BY payment.id
        HAVING {counted} <> coalesce(sum(refund.amount_minor) FILTER (WHERE {which}), 0)
    """
    books.report_rows(
        "a_payment_reserves_another_amount_than_its_refunds",
        sums.format(
            counted="payment.refunded_minor + payment.refunded_beyond_minor",
            which="refund.state NOT IN ('failed', 'cancelled')",
        ),
    )
    books.report_rows(
        "a_payment_returned_another_amount_than_its_refunds",
        sums.format(counted="payment.returned_minor", which="refund.state = 'succeeded'"),
    )


@_once_quiet
def _refunds_in_between(books: Books) -> None:
    """Find refunds that nobody carries on with."""
    books.report_rows(
        "a_refund_is_stuck_in_between",
        "SELECT format('refund %s is %s', id, state) AS about, amount_minor AS at_risk, currency"
        " FROM payments_refund WHERE state IN ('requested', 'submitting', 'unknown')",
    )


@_once_quiet
def _refunds(books: Books) -> None:
    """Hold each refund of Stripe's against the one row of ours, and the other way round."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in books.rows(
        "SELECT refund.* FROM payments_refund AS refund JOIN payments_payment AS payment ON payment.id = payment_id"
        " JOIN payments_stripeaccount AS account ON account.id = payment.account_id"
        " WHERE stripe_refund_id IS NOT NULL AND account.account_id = ANY (%s)",
        list(books.stripe),
    ):
        rows[row["stripe_refund_id"]].append(row)
    for theirs in books.stripe.values():
        asked: dict[str, list[Row]] = defaultdict(list)
        for refund in theirs["refunds"]:
            amount = ours(refund["amount"], refund["currency"])
            mine = rows.get(refund["id"], [])
            if (refund["metadata"] or {}).get("refund") and refund["status"] != "failed":
                asked[refund["metadata"]["refund"]].append(refund)
            if len(mine) > 1:
                books.report("a_stripe_refund_has_two_rows", refund["id"], amount, refund["currency"])
            elif not mine:
                books.report("a_stripe_refund_has_no_row", refund["id"], amount, refund["currency"])
            elif (mine[0]["amount_minor"], mine[0]["currency"]) != (amount, refund["currency"]):
                books.report("a_refund_has_another_amount", refund["id"], amount, refund["currency"])
            elif (refund["status"] == "succeeded") != (mine[0]["state"] == "succeeded"):
                about = f"{refund['id']}: {refund['status']} at Stripe, {mine[0]['state']} here"
                books.report("a_refund_was_never_settled", about, amount, refund["currency"])
        for asked_for, several in asked.items():
            if len(several) > 1:
                amount = sum(ours(refund["amount"], refund["currency"]) for refund in several[1:])
                books.report("a_refund_was_made_twice", f"refund {asked_for}", amount, several[0]["currency"])
    known = {refund["id"] for theirs in books.stripe.values() for refund in theirs["refunds"]}
    for stripe_id, mine in rows.items():
        if mine[0]["state"] == "succeeded" and stripe_id not in known:
            books.report("a_refund_is_not_at_stripe", stripe_id, mine[0]["amount_minor"], mine[0]["currency"])


# --- ours against ours --------------------------------------------------------------------------------


@_invariant
def _orders_are_covered(books: Books) -> None:
    """Find orders whose payments are not exactly their total, in their currency."""
    books.report_rows(
        "an_order_is_not_covered_by_its_payments",
        """
        SELECT format('order %s: %s paid of %s', orders.number, coalesce(sum(payment.amount_minor), 0),
                      orders.total_minor) AS about, orders.currency,
               abs(orders.total_minor - coalesce(sum(payment.amount_minor), 0)) AS at_risk
        FROM payments_order AS orders LEFT JOIN payments_payment AS payment
             ON payment.order_id = orders.id AND payment.state = 'succeeded'
                AND payment.currency = orders.currency AND payment.cart_reference = orders.cart_reference
        GROUP BY orders.id HAVING coalesce(sum(payment.amount_minor), 0) <> orders.total_minor
        """,
    )


@_invariant
def _paid_and_ordered(books: Books) -> None:
    """Find money that came in and bought nothing: neither ordered, nor held, nor on a partly paid cart."""
    books.report_rows(
        "a_paid_order_is_lost",
        """
        SELECT format('payment %s', payment.id) AS about, payment.currency, payment.amount_minor AS at_risk
        FROM payments_payment AS payment
        LEFT JOIN payments_cart AS cart ON cart.reference = payment.cart_reference AND cart.state = 'frozen'
        WHERE payment.state = 'succeeded' AND payment.order_id IS NULL AND cart.id IS NULL
              AND NOT payment.is_released
        """,
    )
    books.report_rows(
        "a_paid_cart_is_no_order",
        """
        SELECT format('cart %s', cart.reference) AS about, cart.currency, cart.frozen_total_minor AS at_risk
        FROM payments_cart AS cart JOIN payments_payment AS payment ON payment.cart_reference = cart.reference
        WHERE cart.state = 'frozen' AND payment.state = 'succeeded' AND NOT payment.is_released
        GROUP BY cart.id HAVING sum(payment.amount_minor) >= cart.frozen_total_minor
        """,
    )


@_invariant
def _carts_and_orders(books: Books) -> None:
    """Find references that are a cart and an order, or two orders, and sums that are not what they sum."""
    books.report_rows(
        "a_cart_is_open_and_ordered",
        "SELECT format('order %s', number) AS about, total_minor AS at_risk, orders.currency FROM payments_order"
        " AS orders JOIN payments_cart AS cart ON cart.reference = orders.cart_reference",
    )
    books.report_rows(
        "a_sale_has_two_orders",
        "SELECT format('orders %s', string_agg(number, ', ')) AS about, min(total_minor) AS at_risk,"
        " min(currency) AS currency FROM payments_order GROUP BY cart_reference HAVING count(*) > 1",
    )
    books.report_rows(
        "a_cart_counts_other_payments_than_it_has",
        """
        SELECT format('cart %%s: %%s for %%s', cart.reference, cart.committed_minor,
                      coalesce(sum(payment.amount_minor), 0)) AS about, cart.currency,
               abs(cart.committed_minor - coalesce(sum(payment.amount_minor), 0)) AS at_risk
        FROM payments_cart AS cart LEFT JOIN payments_payment AS payment
             ON payment.cart_reference = cart.reference AND payment.state = ANY (%s) AND NOT payment.is_released
        GROUP BY cart.id HAVING cart.committed_minor <> coalesce(sum(payment.amount_minor), 0)
        """,
        list(COMMITTED),
    )


@_invariant
def _history(books: Books) -> None:
    """Find payments whose last line of history says another state, and orders made twice or by nobody."""
    books.report_rows(
        "a_payments_history_ends_elsewhere",
        """
        SELECT format('payment %s is %s, its history says %s', payment.id, payment.state, last.to_state) AS about,
               payment.amount_minor AS at_risk, payment.currency
        FROM payments_payment AS payment
        LEFT JOIN LATERAL (SELECT to_state FROM payments_paymentevent WHERE payment_id = payment.id
                           AND to_state <> '' ORDER BY id DESC LIMIT 1) AS last ON true
        WHERE last.to_state IS DISTINCT FROM payment.state
        """,
    )
    books.report_rows(
        "an_order_was_not_made_exactly_once",
        """
        SELECT format('order %s: %s lines', orders.number, count(line.id)) AS about,
               orders.total_minor AS at_risk, orders.currency
        FROM payments_order AS orders LEFT JOIN payments_paymentevent AS line
             ON line.cart_reference = orders.cart_reference AND line.kind = 'order.made'
        GROUP BY orders.id HAVING count(line.id) <> 1
        """,
    )


@_invariant
def _ledgers(books: Books) -> None:
    """Hold the balance of each ledger against the sum of its entries, and what is set aside against its sales."""
    books.report_rows(
        "a_balance_is_not_the_sum_of_its_entries",
        """
        SELECT format('balance %s: %s for %s', balance.id, balance.amount, coalesce(sum(entry.amount), 0)) AS about,
               abs(balance.amount - coalesce(sum(entry.amount), 0)) AS at_risk, balance.currency
        FROM payments_ledgerbalance AS balance
        LEFT JOIN payments_ledgerentry AS entry ON entry.balance_id = balance.id
        GROUP BY balance.id HAVING balance.amount <> coalesce(sum(entry.amount), 0)
            OR balance.reserved <> coalesce(sum(entry.reserved), 0) OR balance.amount < 0
            OR balance.reserved NOT BETWEEN 0 AND balance.amount
        """,
    )
    books.report_rows(
        "a_balance_is_not_what_its_lots_have_left",
        """
        SELECT format('balance %s: %s free for %s in lots', balance.id, balance.amount - balance.reserved,
                      coalesce(sum(lot.amount - lot.taken), 0)) AS about,
               abs(balance.amount - balance.reserved - coalesce(sum(lot.amount - lot.taken), 0)) AS at_risk,
               balance.currency
        FROM payments_ledgerbalance AS balance
        LEFT JOIN payments_ledgerlot AS lot ON lot.balance_id = balance.id
        GROUP BY balance.id HAVING balance.amount - balance.reserved <> coalesce(sum(lot.amount - lot.taken), 0)
        """,
    )
    books.report_rows(
        "money_is_set_aside_for_no_cart",
        """
        SELECT format('payment %s', payment.id) AS about, payment.amount_minor AS at_risk, payment.currency
        FROM payments_payment AS payment LEFT JOIN payments_cart AS cart
             ON cart.reference = payment.cart_reference AND cart.state = 'frozen'
        WHERE payment.state = 'reserved' AND cart.id IS NULL
        """,
    )


# --- nothing is in limbo ------------------------------------------------------------------------------


@_once_quiet
def _jobs(books: Books) -> None:
    """Find work that is due, running for ever, or given up."""
    for name, condition in (
        ("a_job_is_due_and_not_done", "state = 'waiting' AND due_at <= now()"),
        ("a_job_runs_for_ever", "state = 'running'"),
        ("a_job_is_dead", "state = 'dead'"),
    ):
        books.report_rows(
            name,
            f"SELECT format('%s %s %s', name, id, last_error) AS about FROM payments_job WHERE {condition}",  # noqa: S608
        )


@_once_quiet
def _events(books: Books) -> None:
    """Find events that were stored and never applied."""
    for name, state in (("an_event_is_not_applied", "received"), ("an_event_is_dead", "dead")):
        books.report_rows(
            name,
            "SELECT format('%%s %%s %%s', event_type, event_id, error) AS about FROM payments_inboxevent"
            " WHERE state = %s",
            state,
        )


@_once_quiet
def _in_between(books: Books) -> None:
    """Find payments, attempts and carts that wait for something that will not come."""
    books.report_rows(
        "a_payment_is_stuck_in_between",
        "SELECT format('payment %%s is %%s', id, state) AS about, amount_minor AS at_risk, currency"
        " FROM payments_payment WHERE state = ANY (%s)",
        list(IN_BETWEEN),
    )
    books.report_rows(
        "an_attempt_is_open",
        "SELECT format('%s %s is %s', operation, key, state) AS about FROM payments_attempt"
        " WHERE state IN ('sent', 'unknown')",
    )
    books.report_rows(
        "a_cart_is_frozen_for_nothing",
        """
        SELECT format('cart %%s', reference) AS about, frozen_total_minor AS at_risk, currency
        FROM payments_cart AS cart WHERE state = 'frozen' AND NOT EXISTS (
            SELECT 1 FROM payments_payment AS payment WHERE payment.cart_reference = cart.reference
            AND (payment.state = ANY (%s) OR payment.state = 'held') AND NOT payment.is_released)
        """,
        list(COMMITTED),
    )
    books.report_rows(
        "a_live_payment_is_never_looked_at",
        "SELECT format('payment %%s is %%s', id, state) AS about, amount_minor AS at_risk, currency"
        " FROM payments_payment WHERE next_check_at IS NULL AND state = ANY (%s)"
        " AND state NOT IN ('succeeded', 'reserved')",
        list(COMMITTED),
    )


@_once_quiet
def _receipts(books: Books) -> None:
    """Find orders without their one receipt, or whose receipt was never noted as sent, or noted twice."""
    books.report_rows(
        "an_order_has_no_receipt",
        "SELECT format('order %s', number) AS about FROM payments_order AS orders WHERE NOT EXISTS"
        " (SELECT 1 FROM payments_receipt WHERE order_id = orders.id)",
    )
    books.report_rows(
        "a_receipt_was_not_sent",
        "SELECT format('order %s', order_id) AS about FROM payments_receipt WHERE sent_to <> '' AND sent_at IS NULL",
    )
    books.report_rows(
        "a_receipt_was_sent_twice",
        "SELECT format('sale %s: %s times', cart_reference, count(*)) AS about FROM payments_paymentevent"
        " WHERE kind = 'receipt.sent' AND NOT data ? 'again'"  # asked for again by somebody: another mail
        " GROUP BY cart_reference, data ->> 'refund' HAVING count(*) > 1",
    )
    books.report_rows(
        "a_refunds_receipt_was_not_sent",
        "SELECT format('refund %s', refund_id) AS about FROM payments_refundreceipt"
        " WHERE sent_to <> '' AND sent_at IS NULL",
    )


def mails(connection: psycopg.Connection[Row], folder: Path) -> list[Discrepancy]:
    """Hold the mails that were really written against the receipts.

    A worker that dies between sending and noting sends again: the copy must be the same to the letter, under
    the same Message-ID, by which mail programs show both as one.
    """
    found = []
    sent: dict[str, set[str]] = defaultdict(set)
    for message in _messages(folder.glob("*.log")):
        name = str(message["Message-ID"] or "")
        if name.startswith(("<receipt-", "<refund-")):
            body = message.get_body(("plain",))
            text = body.get_content() if body is not None else ""
            content = f"{message['To']} {message['Subject']} {text}"
            sent[name].add(hashlib.sha256(content.encode()).hexdigest())
    receipts = connection.execute(
        b"SELECT format('order %s', number) AS about, format('<receipt-%s@paydesk>', cart_reference) AS name"
        b" FROM payments_receipt JOIN payments_order AS orders ON orders.id = order_id WHERE sent_to <> ''"
        b" UNION ALL SELECT format('refund %s', refund.id), format('<refund-%s@paydesk>', public_id)"
        b" FROM payments_refundreceipt JOIN payments_refund AS refund ON refund.id = refund_id WHERE sent_to <> ''"
    ).fetchall()
    for row in receipts:
        copies = sent.pop(row["name"], set())
        if not copies:
            found.append(Discrepancy("a_receipt_was_never_mailed", row["about"]))
        elif len(copies) > 1:
            found.append(Discrepancy("two_different_receipts_were_mailed", row["about"]))
    found += [Discrepancy("a_receipt_was_mailed_for_no_order", name) for name in sent]
    return found


def _messages(files: Iterable[Path]) -> Iterable[email.message.EmailMessage]:
    for path in files:
        for part in path.read_bytes().split(b"-" * 79 + b"\n"):  # Django's file backend ends each mail so
            if part.strip():
                yield email.message_from_bytes(part, policy=email.policy.default)


def counts(database_url: str) -> Row:
    """Return how much there is: orders, payments by state, attempts that were sent again, copies of events."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        states = connection.execute(
            sql.SQL("SELECT state, count(*) AS number FROM payments_payment GROUP BY state ORDER BY state")
        ).fetchall()
        one = connection.execute(
            b"SELECT (SELECT count(*) FROM payments_order) AS orders,"
            b" (SELECT count(*) FROM payments_attempt WHERE sends > 1) AS sent_again,"
            b" (SELECT count(*) FROM payments_job WHERE fence > 1) AS claimed_again,"
            b" (SELECT count(*) FROM payments_inboxevent) AS events"
        ).fetchone()
    assert one is not None
    return {**one, "payments": {row["state"]: row["number"] for row in states}}


def main(arguments: list[str]) -> int:
    """Print what is wrong; return 1 where something is."""
    if len(arguments) < 3:
        print(__doc__)
        return 2
    database_url, sandbox_url, *accounts = arguments
    found = check(database_url, sandbox_url, accounts)
    for one in found:
        print(one)
    print(f"books: {len(found)} discrepancies")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
