"""/stripe-terminal/: what a till may ask, what it is told, and who may not ask at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import ProfileFactory, StaffFactory
from tests.integration.checkout.conftest import wanted
from tests.shop import Shop, waiting
from web.core.crypto import seal
from web.core.models import Business, Profile
from web.payments.models import Cart, ConnectionToken, Payment, Reader, ReaderAction
from web.payments.operations import lane, terminal
from web.payments.queries import readers as queries
from web.payments.states import ActionState

pytestmark = pytest.mark.django_db
Ask = Callable[..., Any]


def ready_reader(shop: Shop, label: str = "Front desk") -> Reader:
    return Reader.objects.create(
        business=shop.business,
        account=shop.account,
        location=shop.location,
        state=Reader.State.READY,
        label=label,
        stripe_reader_id=f"tmr_{uuid.uuid4().hex[:12]}",
        created_at=timezone.now(),
    )


@pytest.fixture
def reader(shop: Shop) -> Reader:
    return ready_reader(shop)


@pytest.fixture
def staff(business: Business) -> Profile:
    return StaffFactory.create(business=business, name="Dana Desk", groups=["store"])


@pytest.fixture
def till(sign_in: Callable[[Profile], Client], staff: Profile) -> Client:
    return sign_in(staff)


def body(cart: Cart, reader: Reader, **rest: Any) -> dict[str, object]:
    return {**wanted(cart, **rest), "reader": str(reader.public_id)}


def test_a_payment_is_put_on_a_reader_and_followed(
    ask: Ask, till: Client, cart: Cart, reader: Reader
) -> None:
    answer = ask("/stripe-terminal/start/", body(cart, reader), browser=till)
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"
    assert waiting("serve_reader") == 1
    again = ask("/stripe-terminal/start/", body(cart, reader), browser=till)
    assert again.json()["action"] == answer.json()["action"]
    status = till.get(answer.json()["status_url"])
    told = status.json()
    assert (told["state"], told["payment_state"], told["money_moved"]) == ("queued", "requested", False)
    assert (told["amount"], told["currency"], told["reader_label"]) == (3600, "usd", "Front desk")
    assert till.get(answer.json()["status_url"], headers={"If-None-Match": status["ETag"]}).status_code == 304
    listed = till.get("/stripe-terminal/").json()["readers"]
    assert [(one["label"], one["is_free"], one["holder"]) for one in listed] == [
        ("Front desk", False, "Dana Desk")
    ]
    Payment.objects.update(state="cancelling")
    later = till.get(answer.json()["status_url"], headers={"If-None-Match": status["ETag"]})
    assert later.status_code == 200


def test_the_next_one_sees_who_holds_the_reader(
    ask: Ask, till: Client, shop: Shop, reader: Reader, business: Business, staff: Profile
) -> None:
    other = StaffFactory.create(business=business, name="Mo Other", groups=["store"])
    for person in (other, staff):
        terminal.start(
            business=business,
            token=shop.cart().token,
            reader_id=reader.public_id,
            form_token=uuid.uuid4().hex,
            expected_total_minor=3600,
            staff=person,
            now=timezone.now(),
        )
    second = ReaderAction.objects.latest("id")
    told = till.get(f"/stripe-terminal/{second.public_id}/").json()
    assert (told["position"], told["holder"], told["ahead"]) == (1, "Mo Other", ["Mo Other"])
    (listed,) = queries.readers(business)
    assert (listed.holder, [action.id for action in listed.queue]) == (
        "Mo Other",
        [second.id - 1, second.id],
    )


def test_taking_back_cancelling_and_handing_over(
    ask: Ask, till: Client, cart: Cart, shop: Shop, reader: Reader
) -> None:
    started = ask("/stripe-terminal/start/", body(cart, reader), browser=till).json()
    other = ready_reader(shop, "Back room")
    moved = ask(started["hand_over_url"], {"reader": str(other.public_id)}, browser=till)
    assert moved.status_code == 202
    assert moved.json()["action"] != started["action"]
    followed = till.get(started["status_url"]).json()  # who follows the old place is told of the new one
    assert (followed["action"], followed["reader_label"]) == (moved.json()["action"], "Back room")
    back = ask(moved.json()["take_back_url"], browser=till)
    assert back.json()["state"] == "cancelled"
    cart.refresh_from_db()
    assert cart.state == "open"
    refused = ask(moved.json()["take_back_url"], browser=till)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "action_ended")
    assert ask(started["cancel_url"], browser=till).status_code == 202  # nothing left to cancel: no error


def test_what_makes_no_sense(ask: Ask, till: Client, cart: Cart, reader: Reader) -> None:
    def code(sent: dict[str, object]) -> tuple[int, str]:
        answer = ask("/stripe-terminal/start/", sent, browser=till)
        return answer.status_code, answer.json()["error"]["code"]

    good = body(cart, reader)
    assert code({**good, "expected_total": 1}) == (409, "total_changed")
    assert code({**good, "reader": str(uuid.uuid4())}) == (404, "reader_not_found")
    assert code({**good, "cart": "nothing"}) == (404, "cart_not_found")
    assert code({**good, "expected_total": "3600"}) == (422, "invalid_request")
    assert code({**good, "amount": 1}) == (422, "invalid_request")
    Reader.objects.update(state=Reader.State.REGISTERING)
    assert code(good) == (409, "reader_not_ready")
    assert not Payment.objects.exists()
    assert till.get("/stripe-terminal/start/").status_code == 405


def test_staff_only_and_nobody_elses(
    ask: Ask,
    client: Client,
    sign_in: Callable[[Profile], Client],
    till: Client,
    cart: Cart,
    reader: Reader,
    business: Business,
    other_business: Business,
) -> None:
    started = ask("/stripe-terminal/start/", body(cart, reader), browser=till).json()
    customer = sign_in(ProfileFactory.create(business=business))
    kitchen = sign_in(StaffFactory.create(business=business, groups=["schedule"]))
    stranger = sign_in(StaffFactory.create(business=other_business, groups=["store"]))
    json = {"Accept": "application/json"}
    for path in ("/stripe-terminal/", started["status_url"]):
        assert client.get(path, headers=json).status_code == 401
        assert customer.get(path, headers=json).status_code == 403
        assert kitchen.get(path, headers=json).status_code == 403
    assert stranger.get(started["status_url"], headers=json).status_code == 404
    assert stranger.get("/stripe-terminal/").json() == {"readers": []}
    for name in ("cancel", "take_back"):
        assert ask(started[f"{name}_url"], browser=stranger).status_code == 404
    assert ReaderAction.objects.get().state == "queued"


def test_a_connection_token_is_given_out_once_to_who_asked(
    ask: Ask, till: Client, sign_in: Callable[[Profile], Client], business: Business, reader: Reader
) -> None:
    asked = ask("/stripe-terminal/connection-tokens/", browser=till)
    assert asked.status_code == 202
    address = asked.json()["token_url"]
    assert ask(address, browser=till).json()["secret"] is None
    ConnectionToken.objects.update(secret_sealed=seal("pst_secret"))
    other = sign_in(StaffFactory.create(business=business, groups=["store"]))
    assert ask(address, browser=other).status_code == 404
    assert ask(address, browser=till).json() == {"secret": "pst_secret"}
    assert ConnectionToken.objects.get().secret_sealed == ""
    assert ask(address, browser=till).status_code == 404


def test_words_for_every_end(shop: Shop, reader: Reader, staff: Profile) -> None:
    from web.checkout.reader_words import words_for_action

    action = terminal.start(
        business=shop.business,
        token=shop.cart().token,
        reader_id=reader.public_id,
        form_token=uuid.uuid4().hex,
        expected_total_minor=3600,
        staff=staff,
        now=timezone.now(),
    ).action
    payment = action.payment
    for state in ActionState:
        action.state = state
        assert words_for_action(action, payment).message
    action.state, action.failure_code = ActionState.FAILED, lane.TIMED_OUT
    assert "in time" in str(words_for_action(action, payment).message)
    action.failure_code, payment.decline_code = "card_declined", "insufficient_funds"
    assert "enough money" in str(words_for_action(action, payment).message)
    action.state, payment.state = ActionState.SUCCEEDED, "succeeded"
    assert words_for_action(action, payment).money_moved
