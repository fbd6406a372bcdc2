"""The JSON API against the real application and PostgreSQL: tokens, scopes, businesses, keys, problems and pages."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from tests.giving_back import succeed, told
from tests.integration.access.judge import books, change
from tests.integration.access.world import PRICE, World
from tests.integration.api.conftest import EVERY, Program
from web.api import openapi
from web.api.routes import Route
from web.api.urls import V1
from web.core import faultpoints
from web.payments.models import ApiRequest, ApiToken, Order, Payment, PaymentSettings, Refund
from web.payments.operations import keeping
from web.payments.states import PaymentState

pytestmark = pytest.mark.django_db
PROBLEM = "application/problem+json"
OPERATIONS = list(openapi.operations(V1))


def _problem(response: Any, status: int, code: str) -> dict[str, Any]:
    said: dict[str, Any] = response.said
    assert (response.status_code, response["Content-Type"], said["code"]) == (status, PROBLEM, code), said
    assert said["status"] == status
    assert said["title"]
    assert "next" in said
    assert "money_moved" in said
    return said


# Every operation: what is asked of it, and which of the other business's objects stands in place of ours.
Asked = tuple[str, object]
ASKED: dict[str, Callable[[World, Any], Asked]] = {
    "get_locations": lambda w, s: ("locations", None),
    "get_items": lambda w, s: ("items", None),
    "post_carts": lambda w, s: ("carts", {"location": s.place.id, "lines": [{"item": s.item.id, "quantity": 1}]}),
    "get_cart": lambda w, s: (f"carts/{s.cart().token}", None),
    "put_cart_line": lambda w, s: (f"carts/{s.cart().token}/lines/{s.item.id}", {"quantity": 2}),
    "put_cart_buyer": lambda w, s: (f"carts/{s.cart().token}/buyer", {"name": "Ada", "email": "ada@example.com"}),
    "put_cart_tip": lambda w, s: (f"carts/{s.cart().token}/tip", {"percent": 10}),
    "post_payments": lambda w, s: ("payments", {"cart": s.cart().token, "expected_total": PRICE}),
    "get_payment": lambda w, s: (f"payments/{s.payment().public_id}", None),
    "post_payment_cancel": lambda w, s: (f"payments/{s.payment().public_id}/cancel", None),
    "post_payment_check": lambda w, s: (f"payments/{s.payment().public_id}/check", None),
    "get_readers": lambda w, s: ("readers", None),
    "post_terminal_payments": lambda w, s: ("terminal-payments", {
        "cart": s.cart().token, "reader": s.reader().public_id, "expected_total": PRICE}),
    "get_terminal_payment": lambda w, s: (f"terminal-payments/{s.action().public_id}", None),
    "post_terminal_payment_cancel": lambda w, s: (f"terminal-payments/{s.action().public_id}/cancel", None),
    "get_orders": lambda w, s: ("orders", None),
    "get_order": lambda w, s: (f"orders/{s.order().number}", None),
    "post_refunds": lambda w, s: ("refunds", {"order": s.order().number, "reason": "A class fell out"}),
    "get_refunds": lambda w, s: ("refunds", None),
    "get_refund": lambda w, s: (f"refunds/{s.refund().public_id}", None),
}  # fmt: skip
LISTS = ("get_locations", "get_items", "get_readers", "get_orders", "get_refunds")


@pytest.mark.parametrize(
    ("name", "method", "route"), [one[2:] for one in OPERATIONS], ids=[one[2] for one in OPERATIONS]
)
def test_who_may_what(world: World, name: str, method: str, route: Route) -> None:
    """Its scope opens an address and no other does; what is another business's is a 404, and changes nothing."""
    path, body = ASKED[name](world, world.mine)
    other_path, other_body = ASKED[name](world, world.theirs)
    others = [name for name in EVERY if name != str(route.scope)]
    without, allowed = Program(world.mine, *others), Program(world.mine, str(route.scope))
    foreign = Program(world.theirs, host=world.mine.host)
    before = books()
    said = _problem(without.ask(method, path, body), 403, "scope_missing")
    assert said["scope"] == route.scope
    if name not in LISTS:
        response = allowed.ask(method, other_path, other_body)
        assert response.status_code == 404, response.said
    _problem(foreign.ask(method, path, body), 401, "token_unknown")
    assert not {table for table in change(before, books()) if not table.startswith("payments_apitoken")}
    response = allowed.ask(method, path, body)
    assert response.status_code == route.status, response.said
    assert route.answer.model_validate(response.said)


def test_every_operation_is_asked_and_no_address_is_beside_them() -> None:
    assert set(ASKED) == {name for _w, _a, name, _m, _r in OPERATIONS}


def test_a_sale_from_its_cart_to_its_refund(world: World, program: Program) -> None:
    shop = world.mine
    cart = program.post("carts", {
        "location": shop.place.id, "lines": [{"item": shop.item.id, "quantity": 2}],
        "buyer": {"name": "Ada Guest", "email": "ada@example.com"}}).said  # fmt: skip
    assert (cart["total"], cart["state"], cart["due"]) == (2 * PRICE, "open", 2 * PRICE)
    wrong = program.post("payments", {"cart": cart["cart"], "expected_total": PRICE})
    assert _problem(wrong, 409, "total_changed")["total"] == 2 * PRICE
    asked = program.post("payments", {"cart": cart["cart"], "expected_total": 2 * PRICE})
    assert (asked.status_code, asked.said["state"], asked.said["money_moved"]) == (202, "requested", False)
    frozen = program.ask("PUT", f"carts/{cart['cart']}/tip", {"percent": 10})
    _problem(frozen, 409, "cart_frozen")
    payment = Payment.objects.get(public_id=asked.said["payment"])
    assert program.get(f"carts/{cart['cart']}").said["live_payment"] == asked.said["payment"]
    succeed(payment)
    paid = program.get(f"payments/{asked.said['payment']}").said
    assert (paid["state"], paid["is_final"], paid["money_moved"], paid["client_secret"]) == (
        "succeeded",
        True,
        True,
        None,
    )
    gone = _problem(program.get(f"carts/{cart['cart']}"), 409, "already_paid")
    assert gone["order"] == paid["order"]
    order = program.get(f"orders/{paid['order']}").said
    assert (order["total"], order["reference"], order["buyer_email"]) == (
        2 * PRICE,
        cart["reference"],
        "ada@example.com",
    )
    assert program.get(f"orders?reference={cart['reference']}").said["data"] == [order]
    line = order["lines"][0]["line"]
    body = {"order": order["number"], "reason": "one too many", "lines": [{"line": line, "quantity": 1}]}
    _problem(program.post("refunds", {**body, "expected": 1}), 409, "refund_share_changed")
    refund = program.post("refunds", {**body, "expected": PRICE}).said
    assert (refund["amount"], len(refund["refunds"])) == (PRICE, 1)
    _problem(program.post("refunds", body), 409, "refund_under_way")
    listed = program.get(f"refunds?order={order['number']}").said["data"]
    assert listed == refund["refunds"]
    assert Refund.objects.get(public_id=listed[0]["refund"]).created_by == program.token.created_by


def test_the_limit_of_refunds_holds_for_programs(world: World, program: Program) -> None:
    shop = world.mine
    PaymentSettings.objects.filter(business=shop.business).update(refund_limit_minor=PRICE - 1)
    body = {"order": shop.order().number, "reason": "A class fell out"}
    _problem(program.post("refunds", body), 403, "refund_above_limit")
    assert program.post("refunds", {**body, "amount": 1000}, key="k").status_code == 202
    body["order"] = shop.order().number
    _problem(
        program.post("refunds", {**body, "amount": PRICE - 1000}), 403, "refund_above_limit"
    )  # of a day, together


def test_a_client_secret_is_for_tokens_that_sell(world: World, program: Program) -> None:
    from web.core.crypto import seal

    payment = told(world.mine.shop.request(world.mine.cart()), PaymentState.AWAITING)
    Payment.objects.filter(id=payment.id).update(client_secret_sealed=seal("pi_1_secret_2"))
    path = f"payments/{payment.public_id}"
    # A scope opens an address; "read" alone sees how far it is, not what pays it.
    assert program.get(path).said["client_secret"] == "pi_1_secret_2"
    assert Program(world.mine, "read").get(path).said["client_secret"] is None


# --- tokens ------------------------------------------------------------------------------------------------


def test_a_token_that_is_over_opens_nothing(world: World, program: Program) -> None:
    assert program.get("locations").status_code == 200
    assert program.token.used_at is not None
    assert program.secret not in json.dumps(list(ApiToken.objects.values()), default=str)
    rows = ApiToken.objects.filter(id=program.token.id)
    now = timezone.now()
    for field in ("revoked_at", "expires_at"):
        rows.update(**{field: now - datetime.timedelta(seconds=1)})
        response = program.get("locations")
        _problem(response, 401, "token_unknown")
        assert response["WWW-Authenticate"] == "Bearer"
        rows.update(**{field: None})
    maker = program.token.created_by
    assert maker is not None
    maker.role = "customer"  # a token acts for who made it
    maker.save()
    _problem(program.get("locations"), 401, "token_unknown")
    for secret in ("pdk_wrong", "x" * 5000, "", "pdk_é"):
        _problem(Program(world.mine, secret=secret or " ").get("locations"), 401, "token_unknown")


def test_no_cookie_opens_the_api(world: World) -> None:
    browser = world.mine.browser(world.mine.owner)
    assert browser.get("/api/v1/locations").status_code == 401


def test_a_token_has_so_many_calls_in_a_minute(program: Program, settings: Settings) -> None:
    settings.API_CALLS_PER_MINUTE = 2
    assert [program.get("locations")["RateLimit-Remaining"] for _ in range(2)] == ["1", "0"]
    response = program.get("locations")
    _problem(response, 429, "too_many_calls")
    assert 1 <= int(response["Retry-After"]) <= 60
    ApiToken.objects.update(minute_at=timezone.now() - datetime.timedelta(minutes=2))
    assert program.get("locations").status_code == 200


# --- keys --------------------------------------------------------------------------------------------------


def test_a_key_does_a_thing_once(world: World, program: Program) -> None:
    cart = world.mine.shop.cart()
    body = {"cart": cart.token, "expected_total": PRICE}
    first = program.post("payments", body, key="k1")
    before = books()
    again = program.post("payments", body, key="k1")
    assert (again.said, again["Idempotent-Replayed"]) == (first.said, "true")
    assert not {name for name in change(before, books()) if not name.startswith("payments_apitoken")}
    other = world.mine.shop.cart()
    _problem(program.post("payments", {**body, "cart": other.token}, key="k1"), 422, "idempotency_key_reused")
    _problem(program.post("carts", body, key="k1"), 422, "invalid_request")
    assert Program(world.mine).post("payments", body, key="k1").said["payment"] == first.said["payment"]
    _problem(program.ask("POST", "payments", body, key="none"), 400, "idempotency_key_missing")
    # The row is forgotten after days; what it made is found by the form token that stands for the key.
    ApiRequest.objects.all().delete()
    payment = Payment.objects.get(public_id=first.said["payment"])
    told(payment, PaymentState.CANCELLED)
    assert program.post("payments", body, key="k1").said["payment"] == first.said["payment"]
    assert Payment.objects.filter(cart_reference=payment.cart_reference).count() == 1


def test_a_refusal_leaves_its_key_free(world: World, program: Program) -> None:
    cart = world.mine.shop.cart()
    _problem(
        program.post("payments", {"cart": cart.token, "expected_total": 1}, key="k"), 409, "total_changed"
    )
    assert program.post("payments", {"cart": cart.token, "expected_total": PRICE}, key="k").status_code == 202


def test_a_process_that_dies_takes_the_key_with_it(
    world: World, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    cart = world.mine.shop.cart()
    body = {"cart": cart.token, "expected_total": PRICE}

    def die(_point: str) -> None:
        raise SystemError("dies here")

    with monkeypatch.context() as patch:
        patch.setattr(faultpoints, "reach", die)
        broken = program.post("payments", body, key="k")
    said = _problem(broken, 500, "server_error")
    assert said["money_moved"] is None
    assert not Payment.objects.filter(cart_reference=cart.reference).exists()
    assert program.post("payments", body, key="k").status_code == 202


def test_keys_are_forgotten_after_days(world: World, program: Program) -> None:
    program.post("payments", {"cart": world.mine.shop.cart().token, "expected_total": PRICE})
    kept = next(one for one in keeping.ALL if one.name == "keys")
    assert keeping.forget(kept, now=timezone.now() + datetime.timedelta(days=2)) == 0
    assert keeping.forget(kept, now=timezone.now() + datetime.timedelta(days=4)) == 1


# --- problems ----------------------------------------------------------------------------------------------


def test_every_error_is_a_problem(world: World, program: Program) -> None:
    _problem(program.ask("DELETE", "carts"), 405, "method_not_allowed")
    _problem(program.get("nothing/here"), 404, "not_found")
    _problem(program.get("/api/v2/carts"), 404, "not_found")
    _problem(program.get(f"carts/{'x' * 41}"), 404, "not_found")
    _problem(program.post("carts", b"{"), 400, "malformed_json")
    _problem(program.post("carts", b"[" * 30_000), 400, "malformed_json")
    _problem(program.post("carts", b'{"a": "' + b"x" * 40_000 + b'"}'), 413, "body_too_large")
    said = _problem(program.post("carts", {"location": "1", "more": 1}), 422, "invalid_request")
    assert {one["field"] for one in said["fields"]} == {"location", "more"}
    _problem(program.get("orders?limit=0"), 422, "invalid_request")
    _problem(program.get("orders?cursor=abc"), 422, "invalid_request")
    _problem(program.get("orders?limits=1"), 422, "invalid_request")
    elsewhere = Program(world.mine, host="nobody.localhost")
    _problem(elsewhere.get("locations"), 404, "unknown_host")
    bad_host = Program(world.mine, host="bad_host..").get("locations")
    assert (bad_host.status_code, bad_host["Content-Type"]) == (400, PROBLEM)
    form = program.browser.post("/api/v1/carts", {"a": 1}, headers={
        "Authorization": f"Bearer {program.secret}", "Idempotency-Key": "1"})  # fmt: skip
    assert (form.status_code, form["Content-Type"]) == (415, PROBLEM)


# --- pages of lists ------------------------------------------------------------------------------------------


def test_pages_are_stable_while_orders_are_made(world: World, program: Program) -> None:
    shop = world.mine
    numbers = [shop.order().number for _ in range(5)][::-1]
    same = Order.objects.get(number=numbers[0]).created_at
    with transaction.atomic():
        Order.objects.filter(number__in=numbers[:3]).update(
            created_at=same
        )  # of one moment: told apart by their ids
    seen: list[str] = []
    cursor = ""
    while len(seen) < 5:
        said = program.get(f"orders?limit=2{cursor}").said
        seen += [order["number"] for order in said["data"]]
        shop.order()  # newer than the page: it shifts nothing
        cursor = f"&cursor={said['next_cursor']}"
        assert re.fullmatch(r"[A-Za-z0-9_-]+", said["next_cursor"] or "end")
    assert seen[:5] == numbers


# --- the document --------------------------------------------------------------------------------------------


def test_the_document_and_its_page(world: World) -> None:
    browser = world.mine.browser(None)
    document = browser.get(reverse("api:openapi")).json()
    assert document["openapi"] == "3.1.0"
    assert len(document["paths"]) == len(V1)
    page = browser.get(reverse("api:reference"))
    assert page.status_code == 200
    for _written, address, name, method, _route in OPERATIONS:
        assert method.lower() in document["paths"][address]
        assert f'id="{name}"' in page.content.decode()
    assert 'id="problem-cart_frozen"' in page.content.decode()
