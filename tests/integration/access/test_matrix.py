"""Every address, everybody who may come, own objects and others': complete by the URL configuration."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from itertools import groupby

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.integration.access.actions import ACTIONS, ROWS
from tests.integration.access.asking import (
    SIGNED_OUT,
    brief,
    is_sign_in,
    people,
    refusal_of,
    send,
    swapped,
    undone,
    unsafe,
    who_may,
)
from tests.integration.access.judge import books, changes, writes
from tests.integration.access.table import NOTHING, Row
from tests.integration.access.world import FOREIGNER, World


def _addresses(resolver: URLResolver, space: str = "", path: str = "") -> Iterator[tuple[str, str]]:
    for pattern in resolver.url_patterns:
        here = f"{path}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _addresses(pattern, f"{pattern.namespace}:" if pattern.namespace else space, here)
        elif isinstance(pattern, URLPattern):
            yield here, f"{space}{pattern.name}"


pytestmark = pytest.mark.django_db
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PATTERNS = list(_addresses(get_resolver()))
# Pages of allauth's: a PUT is a POST to them, CSRF token and all; that of the mailed link looks at its key first.
FORMS = ("login", "signup", "change_password", "reset_password", "reset_password_from_key")
TAKEN_TOO = {(f"account_{name}", method) for name in FORMS for method in ("PUT", "POST")}
TAKEN_TOO |= {("account_reset_password_from_key", method) for method in ("PATCH", "DELETE")}
OUTSIDE = {"/healthz", "/readyz"}  # answered by a middleware, before any address is looked up


def _name(row: Row) -> str:
    return row.url.removeprefix("::")


def test_every_address_has_a_row() -> None:
    known, there = {_name(row) for row in ROWS} - OUTSIDE, {name for _path, name in PATTERNS}
    # Operators' pages are over all businesses: tests/integration/ops/test_pages.py has a table of them, as complete.
    # The API's addresses are opened by tokens, not by people: tests/integration/api/test_api.py asks each of them.
    there = {name for name in there if not name.startswith(("ops:", "api:"))} | {
        name for name in known if name.startswith("ops:")
    }
    assert there - known == set(), "addresses without a row in tests/integration/access"
    assert known - there == set(), "rows without an address"
    named = [(row.method, row.name) for row in ROWS]
    assert len(named) == len(set(named)), "two rows of one name: give them `says`"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method}-{row.name}")
def test_who_may_what(world: World, row: Row) -> None:
    """Each person gets the answer of the table, on a page that needs no inline code; who is refused changed nothing."""
    wrong: list[str] = []
    with undone():
        asked = row.ask(world.mine)
        before = books()
        for role, person in people(row, world).items():
            studio = world.theirs if role == FOREIGNER else world.mine
            refused = refusal_of(row.who, role, is_json=row.is_json)
            expected = row.but.get(role, refused or row.answer)
            with undone(), changes(before) as changed:
                response = send(row, asked, studio.browser(person, host=world.mine.host))
                list(getattr(response, "streaming_content", []))
            if response.status_code != expected:
                wrong.append(f"{role}: {brief(response)}, not {expected}")
            if not response.streaming and (fault := unsafe(response)):
                wrong.append(f"{role}: {fault}")
            if refused == 302 and role in SIGNED_OUT and role not in row.but and not is_sign_in(response):
                wrong.append(f"{role}: {brief(response)}, not to the sign-in")
            if changed and (refused is not None or response.status_code >= 400):
                wrong.append(f"{role}: refused, and yet changed {changed}")
    assert not wrong, wrong


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method}-{row.name}")
def test_what_is_anothers_does_not_exist(world: World, row: Row) -> None:
    """Each object of the other business, in place of ours: not there, for who may and for who may not."""
    wrong: list[str] = []
    person = who_may(row, world)
    with undone():
        mine, theirs = row.ask(world.mine), row.ask(world.theirs)
        if row.method == "GET" and not mine.args and not mine.query:
            return
        before = books()
        for field, asked, expected in swapped(row, mine, theirs):
            with undone(), changes(before) as changed:
                response = send(row, asked, world.mine.browser(person))
            if response.status_code != expected:
                wrong.append(f"{field}: {brief(response)}, not {expected}")
            if changed and response.status_code >= 400:
                wrong.append(f"{field}: refused, and yet changed {changed}")
            if row.who.groups and "without" not in row.but:
                with undone():
                    told = send(row, asked, world.mine.browser(world.mine.without(row.who.groups)))
                if told.status_code not in (403, 404):
                    wrong.append(f"{field}: {told.status_code} to who may not ask at all")
        is_swapped = all(ours != other for ours, other in zip(mine.args, theirs.args, strict=True))
        assert is_swapped or row.args_are_words, "nothing was swapped"
    assert not wrong, wrong


def _by_address() -> list[list[Row]]:
    return [list(rows) for _, rows in groupby(sorted(ROWS, key=_name), key=_name)]


def _anywhere(name: str) -> str:
    """Return an address of this name: whatever is in it, what is asked here never comes to look for it."""
    if name in OUTSIDE:
        return name
    for path, pattern in PATTERNS:
        if pattern == name:
            filled = re.sub(r"<uuid:\w+>", str(uuid.uuid4()), path)
            return "/" + re.sub(r"<int:\w+>", "1", re.sub(r"<str:\w+>|\^.*", "x", filled))
    raise AssertionError(name)


@pytest.mark.parametrize("rows", _by_address(), ids=lambda rows: _name(rows[0]))
def test_other_methods_are_not_taken(world: World, rows: list[Row]) -> None:
    """A method that no row names is a 405 to who may ask, and changes nothing."""
    wrong = []
    browser = world.mine.browser(world.mine.owner if rows[0].who.signed_in else None)
    name = _name(rows[0])
    for method in METHODS:
        if method not in {row.method for row in rows} and (name, method) not in TAKEN_TOO:
            with undone(), writes() as written:
                response = send(rows[0], NOTHING, browser, method=method, where=_anywhere(name))
            if response.status_code != (404 if name in OUTSIDE else 405) or written:
                wrong.append(f"{method}: {brief(response)} {sorted(written)}")
    assert not wrong, wrong


def test_no_other_site_can_send_a_form(world: World) -> None:
    """Without the form's own token nothing is done, whoever is signed in; but for Stripe, which signs."""
    wrong = []
    for row in ACTIONS:
        browser = world.mine.browser(world.mine.owner)
        browser.handler.enforce_csrf_checks = True
        with undone(), writes() as written:
            response = send(row, NOTHING, browser, where=_anywhere(_name(row)))
        if (response.status_code, written) != (400 if row.name == "stripe-webhook" else 403, set()):
            wrong.append(f"{row.name}: {brief(response)} {sorted(written)}")
    assert not wrong, wrong


def test_where_nobody_is_served_there_is_nothing(db: None) -> None:
    """On a host that serves no business every address is a 404, but for those of machines."""
    nowhere = Client(SERVER_NAME="nobody.localhost")
    wrong = []
    for row in ROWS:
        response = send(row, NOTHING, nowhere, where=_anywhere(_name(row)))
        if (response.status_code == 404) is row.who.any_host:
            wrong.append(f"{row.name}: {brief(response)}")
    assert not wrong, wrong
