"""Nothing is in limbo: no work forgotten, no payment in between, no receipt unsent."""

from __future__ import annotations

from stack.books.record import COMMITTED, Books, once_quiet

# What waits for a customer may wait; these wait for us or for Stripe, and not for long.
IN_BETWEEN = ["requested", "unknown", "processing", "cancelling"]


@once_quiet
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


@once_quiet
def _events(books: Books) -> None:
    """Find events that were stored and never applied."""
    for name, state in (("an_event_is_not_applied", "received"), ("an_event_is_dead", "dead")):
        books.report_rows(
            name,
            "SELECT format('%%s %%s %%s', event_type, event_id, error) AS about FROM payments_inboxevent"
            " WHERE state = %s",
            state,
        )


@once_quiet
def _in_between(books: Books) -> None:
    """Find payments, attempts and carts that wait for something that will not come."""
    books.report_rows(
        "a_payment_is_stuck_in_between",
        "SELECT format('payment %%s is %%s', id, state) AS about, amount_minor AS at_risk, currency"
        " FROM payments_payment WHERE state = ANY (%s)",
        IN_BETWEEN,
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
        COMMITTED,
    )
    books.report_rows(
        "a_live_payment_is_never_looked_at",
        "SELECT format('payment %%s is %%s', id, state) AS about, amount_minor AS at_risk, currency"
        " FROM payments_payment WHERE next_check_at IS NULL AND state = ANY (%s)"
        " AND state NOT IN ('succeeded', 'reserved')",
        COMMITTED,
    )


@once_quiet
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
