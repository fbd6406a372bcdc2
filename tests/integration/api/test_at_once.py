"""Two requests with one key at the same moment, really committed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection, connections

from tests.integration.access.world import PRICE, World
from tests.integration.api.conftest import Program, token_of
from web.payments.models import Cart, Payment


def test_two_at_once_with_one_key(transactional_db: None) -> None:
    """One does it; the other is told that it is being worked on, or gets its answer. There is one payment."""
    world = World()
    cart = world.mine.shop.cart()
    secret = token_of(world.mine)
    held, go = threading.Event(), threading.Event()
    answers: list[Any] = []

    def hold(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("INSERT INTO") and "payments_apirequest" in sql:
            held.set()
            go.wait(10)
        return execute(sql, params, many, context)

    def ask() -> None:
        try:
            with connection.execute_wrapper(hold):
                program = Program(world.mine, secret=secret)
                answers.append(
                    program.post("payments", {"cart": cart.token, "expected_total": PRICE}, key="k")
                )
        finally:
            connections.close_all()

    first = threading.Thread(target=ask)
    first.start()
    assert held.wait(20)
    second = Program(world.mine, secret=secret).post(
        "payments", {"cart": cart.token, "expected_total": PRICE}, key="k"
    )
    said = second.said
    assert (second.status_code, said["code"], said["money_moved"]) == (409, "idempotency_key_in_flight", None)
    assert second["Retry-After"] == "1"
    go.set()
    first.join(20)
    assert answers[0].status_code == 202
    assert Cart.objects.get(id=cart.id).committed_minor == PRICE
    assert Payment.objects.filter(cart_reference=cart.reference).count() == 1
