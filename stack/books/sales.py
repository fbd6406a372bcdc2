"""Our rows against each other: orders, carts, payments, their history, and both ledgers."""

from __future__ import annotations

from stack.books.record import COMMITTED, Books, invariant


@invariant
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


@invariant
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


@invariant
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
        COMMITTED,
    )


@invariant
def _history(books: Books) -> None:
    """Find payments whose last line of history says another state, and orders made twice or by nobody."""
    books.report_rows(
        "a_payments_history_ends_elsewhere",
        """
        SELECT format('payment %s is %s, its history says %s', payment.id, payment.state, last.to_state) AS about,
               payment.amount_minor AS at_risk, payment.currency
        FROM payments_payment AS payment
        LEFT JOIN LATERAL (SELECT to_state FROM payments_paymentevent WHERE payment_id = payment.id
                           AND kind IN ('payment.requested', 'payment.moved')  -- not its refunds', its reader's
                           ORDER BY id DESC LIMIT 1) AS last ON true
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


@invariant
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
