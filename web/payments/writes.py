"""What the change of a sale writes: on the spot, or gathered with what other sales of a batch write.

Operations change rows in memory and say here what is to be stored. There is one road to "paid" whoever takes it;
only the moment of the statements differs:

- `AtOnce` stores each row where it is said: what a page or a job does to one sale.
- `Gathered` keeps the rows until `flush` stores those of all sales of a batch with one statement a table. While
  rows are gathered no statement may write (`nothing_is_written`): an operation that would, because it does
  something that batches do not know, ends the gathering of its sale, which is then applied by itself.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from django.db import connection, transaction

from web.payments import history, jobs, rows
from web.payments.jobs import JobKind
from web.payments.models import Cart, CartLine, Order, OrderLine, Payment, PaymentEvent

T = TypeVar("T")


class NotInABatch(Exception):
    """This sale does something that is only done for one sale by itself. Nothing was written for it."""


class Writes(Protocol):
    """Where the rows of a sale's change go."""

    def payment(self, payment: Payment) -> None:
        """Store the payment as it is now."""

    def history(self, line: PaymentEvent) -> None:
        """Add a line to the sale's history."""

    def order(
        self, order: Order, lines: Sequence[OrderLine], *, cart: Cart, paid_by: Sequence[Payment]
    ) -> None:
        """Store an order with its lines, link what paid it, and delete the cart that it was."""

    def job_of_order(self, kind: JobKind, order: Order, *, now: datetime.datetime) -> None:
        """Queue a job that works on the order."""

    def known(self, key: Hashable, find: Callable[[], T]) -> T:
        """Return what `find` returns: for a batch it is asked once for each key."""


class AtOnce:
    """Stores on the spot."""

    def payment(self, payment: Payment) -> None:
        payment.save()

    def history(self, line: PaymentEvent) -> None:
        history.store(line)

    def order(
        self, order: Order, lines: Sequence[OrderLine], *, cart: Cart, paid_by: Sequence[Payment]
    ) -> None:
        order.save(force_insert=True)
        for line in lines:
            line.order = order  # which has its key now
        OrderLine.objects.bulk_create(lines)
        for payment in paid_by:
            payment.order = order
            payment.save(update_fields=["order"])
        CartLine.objects.filter(cart=cart).delete()
        cart.delete()

    def job_of_order(self, kind: JobKind, order: Order, *, now: datetime.datetime) -> None:
        jobs.enqueue(
            kind, business_id=order.business_id, now=now, order_id=order.id, dedup_key=f"order:{order.id}"
        )

    def known(self, key: Hashable, find: Callable[[], T]) -> T:
        return find()


class Gathered:
    """Keeps the rows of one sale until `flush`.

    `payments` are the sale's as they are stored; `order_keys` are primary keys for orders that come to be;
    `looked_up` is what the batch has asked so far.
    """

    def __init__(
        self, payments: Sequence[Payment], order_keys: Iterator[int], looked_up: dict[Hashable, Any]
    ) -> None:
        self._order_keys = order_keys
        self._looked_up = looked_up
        self._stored = {payment.id: payment.state for payment in payments}
        self._moved: dict[int, str] = {}
        self.payments: dict[int, Payment] = {}
        self.lines_of_history: list[PaymentEvent] = []
        self.orders: list[Order] = []
        self.order_lines: list[OrderLine] = []
        self.carts: list[int] = []
        self.jobs: list[jobs.Wanted] = []

    def payment(self, payment: Payment) -> None:
        # The database looks at each edge of a state machine: two steps must not be stored as one.
        if payment.state != self._stored[payment.id]:
            if self._moved.setdefault(payment.id, payment.state) != payment.state:
                raise NotInABatch("a payment that moves twice")
        elif payment.id in self._moved:
            raise NotInABatch("a payment that moves back")
        self.payments[payment.id] = payment

    def history(self, line: PaymentEvent) -> None:
        self.lines_of_history.append(line)

    def order(
        self, order: Order, lines: Sequence[OrderLine], *, cart: Cart, paid_by: Sequence[Payment]
    ) -> None:
        order.id = next(self._order_keys)
        for line in lines:
            line.order = order
        for payment in paid_by:
            payment.order = order
            self.payment(payment)
        self.orders.append(order)
        self.order_lines.extend(lines)
        self.carts.append(cart.id)

    def job_of_order(self, kind: JobKind, order: Order, *, now: datetime.datetime) -> None:
        self.jobs.append(
            jobs.wanted(
                kind, business_id=order.business_id, now=now, order_id=order.id, dedup_key=f"order:{order.id}"
            )
        )

    def known(self, key: Hashable, find: Callable[[], T]) -> T:
        if key not in self._looked_up:
            self._looked_up[key] = find()
        found: T = self._looked_up[key]
        return found


def flush(gathered: Sequence[Gathered]) -> None:
    """Store what was gathered for several sales, in the transaction at hand: all of it, or it raises."""
    rows.insert([order for each in gathered for order in each.orders])
    rows.insert([line for each in gathered for line in each.order_lines])
    rows.update([payment for each in gathered for payment in each.payments.values()])
    carts = [cart_id for each in gathered for cart_id in each.carts]
    if carts:
        with connection.cursor() as cursor:
            cursor.execute(
                "WITH gone AS (DELETE FROM payments_cartline WHERE cart_id = ANY(%s))"
                " DELETE FROM payments_cart WHERE id = ANY(%s)",
                [carts, carts],
            )
            if cursor.rowcount != len(carts):
                raise rows.RowsMissing(f"carts: {cursor.rowcount} of {len(carts)}")
    rows.insert([line for each in gathered for line in each.lines_of_history])
    jobs.write([job for each in gathered for job in each.jobs])


@contextlib.contextmanager
def nothing_is_written() -> Iterator[None]:
    """Let rows be gathered: a statement that would write raises NotInABatch before it is sent."""

    def only_reads(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.lstrip().startswith("SELECT"):
            raise NotInABatch(sql.split(maxsplit=1)[0])
        return execute(sql, params, many, context)

    try:
        with connection.execute_wrapper(only_reads):
            yield
    except BaseException:
        # Django marks a transaction in which a save failed as broken. Nothing was sent: it is as it was. What
        # the database itself refused (a read that took too long) stays broken, as it must.
        if not connection.connection or connection.connection.info.transaction_status.name != "INERROR":
            transaction.set_rollback(False)
        raise
