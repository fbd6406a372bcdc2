"""What no honest form sends: never a 500, and never a change that was not the person's to make.

Each field of each action in turn (the form's token among them) gets each of these values, everything else as an
honest form has it; then fields that no form has are added to an honest one, and it does what it did without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.integration.access.actions import ACTIONS, Action
from tests.integration.access.asking import brief, send, undone, who_may
from tests.integration.access.judge import books, change, writes
from tests.integration.access.world import Asked, World
from tests.long import IS_LONG
from web.core.models import Profile

pytestmark = pytest.mark.django_db

VALUES = {
    "empty": "",
    "huge": str(10**30),
    "negative": "-1",
    "not a number": "NaN",
    "another script": "é۱٢",
    "long": "9" * 5_000,  # more digits than Python makes a number of
    "a NUL": "a\x00b",
    "half a character": "\ud800",
    "too many decimals": "1.001",
    "the last day": "9999-12-31",
    "markup": "<script>alert(1)</script>",
}
# These in each field by itself; the others, and a long text, in all of them at once.
BY_THEMSELVES = ("huge", "not a number", "long", "a NUL", "half a character")
VERY_LONG = "é" * 50_000
# As JSON a program can send what a form cannot.
OTHER_SHAPES: dict[str, object] = {
    "none": None,
    "a list": [1],
    "an object": {"a": 1},
    "a float": 1.5,
    "yes": True,
}
# What a model has and no form may set.
NOBODYS = {
    "business": "2", "business_id": "2", "state": "succeeded", "amount_minor": "1", "amount_received_minor": "1",
    "refunded_minor": "1", "total_minor": "1", "price_minor": "1", "unit_price_minor": "1", "frozen_total_minor": "1",
    "committed_minor": "1", "tip_minor": "1", "discount_minor": "1", "gives_minor": "999", "gives_credits": "9",
    "account_id": "acct_1", "intent_id": "pi_1", "secret_key_sealed": "x", "webhook_token": "x", "is_live": "on",
    "is_staff": "on", "is_superuser": "on", "is_active": "on", "role": "staff", "groups": "1", "user": "1",
    "created_by": "1", "actor": "worker", "id": "1", "pk": "1", "public_id": "x", "created_at": "2000-01-01",
}  # fmt: skip
# Each field gets a fifth of these, another fifth than the field beside it; with `make fuzz` all of them.
EVERY = 5
LARGEST_BODY = 1_048_576
JSON = "application/json"


def _person(action: Action, world: World) -> Profile | None:
    return action.whose(world.mine) if action.whose is not None else who_may(action, world)


def _forms(action: Action, asked: Asked) -> Iterator[tuple[str, Asked]]:
    """Yield forms with one field gone wrong, for a program's short answer; then all of them at once, as a page."""
    values = {**VALUES, **OTHER_SHAPES} if action.is_json else VALUES
    alone = [what for what in values if what in BY_THEMSELVES or what in OTHER_SHAPES]
    for what, value in values.items():
        for place, name in enumerate(asked.body):
            if what not in alone or not (IS_LONG or (alone.index(what) - place) % EVERY == 0):
                continue
            body = {**asked.body, name: value}
            yield f"{name} {what}", replace(asked, body=body, headers={**asked.headers, "Accept": JSON})
        yield f"all {what}", replace(asked, body=dict.fromkeys(asked.body, value))
    yield "all very long", replace(asked, body=dict.fromkeys(asked.body, VERY_LONG))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_hostile_values(world: World, action: Action) -> None:
    """Whatever stands in a field, the answer is one that was meant; what is refused has changed nothing."""
    asked, person = action.ask(world.mine), _person(action, world)
    browser = world.mine.browser(person)
    wrong = []
    before = books()
    for what, form in _forms(action, asked):
        with undone():
            with writes() as written:
                response = send(action, form, browser)
            if response.status_code >= 500:
                wrong.append(f"{what}: {brief(response)}")
            elif written and response.status_code >= 400 and (changed := change(before, books())):
                wrong.append(f"{what}: {response.status_code}, and yet changed {changed}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_fields_that_no_form_has(world: World, action: Action) -> None:
    """An honest form with more in it does what it does without; a program is told that it does not know the field."""
    asked, person = action.ask(world.mine), _person(action, world)
    browser = world.mine.browser(person)
    before = books()
    effects = []
    if action.name == "stripe-webhook":
        return  # no form: Stripe signs every byte of it
    for body in (asked.body, {**NOBODYS, **asked.body}):
        with undone():
            response = send(action, replace(asked, body=body), browser)
            effects.append((response.status_code, change(before, books())))
    if action.is_json and effects[1][0] == 422:
        assert effects[1] == (422, {})
    else:
        assert effects[0] == effects[1]


def test_a_body_beyond_the_limit(world: World) -> None:
    """More than any page takes is refused before it is read into a form."""
    browser = world.mine.browser(world.mine.owner)
    big = "a" * (LARGEST_BODY + 1)
    for path in (
        "/checkout/till/sell/",
        "/settings/policy/",
        "/shop/add/",
    ):
        assert (
            browser.post(path, f"a={big}", content_type="application/x-www-form-urlencoded").status_code
            == 400
        )
    for path in ("/stripe-intent/", "/stripe-terminal/start/"):
        assert (
            browser.post(path, {"cart": big}, content_type=JSON, headers={"Accept": JSON}).status_code == 413
        )


def test_hostile_addresses(world: World) -> None:
    """What cannot be in a path or a search is not found, and no failure."""
    wrong = []
    browser = world.mine.browser(world.mine.owner)
    for text in ("%00", "%ff", "..%2f", "9" * 400, "'%20OR%201=1--", "%F0%9F%A7%98", "%ed%a0%80"):
        for path in (
            f"/purchases/{text}/", f"/receipt/{text}/", f"/reconciliation/{text}/",
            f"/reconciliation/export/?payout={text}", f"/purchases/?q={text}&since={text}&staff={text}&after={text}",
            f"/purchases/export/?q={text}&status={text}", f"/checkout/?cart={text}", f"/checkout/?customer={text}",
            f"/checkout/till/items/?find={text}&location={text}", f"/checkout/till/state/?cart={text}",
            f"/choose_new_customer/?find={text}&cart={text}", f"/list-payment-cards/?customer={text}",
            f"/add_card_details/?setup={text}", f"/credit-balance/?q={text}", f"/credit-services/?q={text}",
            f"/close-out/?location={text}&staff={text}&reader={text}", f"/stripe-terminal/?location={text}",
            f"/accounts/login/?next={text}", f"/?location={text}", f"/purchases/totals/?q={text}&until={text}",
        ):  # fmt: skip
            response: Any = browser.get(path)
            if response.status_code >= 500:
                wrong.append(f"{path[:80]}: {brief(response)}")
            list(getattr(response, "streaming_content", []))
    assert not wrong, "\n".join(wrong)
