"""Our refunds and disputes against Stripe's, and against the payments that they are of."""

from __future__ import annotations

from collections import defaultdict

from stack.books.record import Books, Row, invariant, once_quiet, ours


@invariant
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


@invariant
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


@once_quiet
def _refunds_in_between(books: Books) -> None:
    """Find refunds that nobody carries on with."""
    books.report_rows(
        "a_refund_is_stuck_in_between",
        "SELECT format('refund %s is %s', id, state) AS about, amount_minor AS at_risk, currency"
        " FROM payments_refund WHERE state IN ('requested', 'submitting', 'unknown')",
    )


@once_quiet
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


@once_quiet
def _disputes(books: Books) -> None:
    """Hold each dispute of a payment of ours against its row: it was heard of, and so was how it stands."""
    rows = {
        (row["stripe_account"], row["stripe_dispute_id"]): row
        for row in books.rows(
            "SELECT dispute.*, account.account_id AS stripe_account FROM payments_dispute AS dispute"
            " JOIN payments_stripeaccount AS account ON account.id = dispute.account_id"
        )
    }
    intents = {
        row["intent_id"]
        for row in books.rows("SELECT intent_id FROM payments_payment WHERE intent_id IS NOT NULL")
    }
    for account, theirs in books.stripe.items():
        for dispute in theirs["disputes"]:
            if dispute["payment_intent"] not in intents:
                continue
            amount, currency = ours(dispute["amount"], dispute["currency"]), dispute["currency"]
            row = rows.get((account, dispute["id"]))
            if row is None:
                books.report("a_dispute_was_never_heard_of", dispute["id"], amount, currency)
            elif (row["amount_minor"], row["currency"]) != (amount, currency):
                books.report("a_dispute_has_another_amount", dispute["id"], amount, currency)
            elif row["status"] != dispute["status"]:
                about = f"{dispute['id']}: {dispute['status']} at Stripe, {row['status']} here"
                books.report("a_dispute_stands_otherwise", about, amount, currency)
