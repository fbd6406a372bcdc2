"""The same click twice, and two people at once, on every action: one effect, or a clear refusal, and never a 500.

What an action does once is measured, on all tables (judge.books); twice, and by two at once, it has to come to the
same. The two at once are held at their first lock (or write) until both have come there: each has then seen a world
without the other. These rows are really committed, for the threads have connections of their own.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections
from django.http import HttpResponse

from tests.integration.access.actions import ACTIONS, EACH, ONE, Action
from tests.integration.access.asking import brief, send, who_may
from tests.integration.access.judge import NOBODYS, books, change
from tests.integration.access.world import Asked, World, token
from web.core import tenancy
from web.core.models import Profile
from web.webhooks import receiving

GATE = re.compile(r'FOR (?:NO KEY )?UPDATE|^\s*(?:INSERT INTO|UPDATE|DELETE FROM)\s+"?(\w+)', re.IGNORECASE)
WAITS_SECONDS = 0.5  # for another who may have been refused before any lock
STAYS_SECONDS = 30


@pytest.fixture(scope="module")
def world(transactional_db: None) -> World:
    tenancy.forget_hosts()
    receiving._secrets.cache_clear()
    return World()


def _person(action: Action, world: World, number: int = 1) -> Profile | None:
    if action.whose is not None:
        return action.whose(world.mine)
    return who_may(action, world, number=1 if action.by_one else number)


def _measured(what: Callable[[], list[HttpResponse]]) -> tuple[list[HttpResponse], dict[str, int]]:
    before = books()
    answers = what()
    return answers, change(before, books())


def _once(action: Action, world: World) -> dict[str, int]:
    """Return what the action does."""
    asked, person = action.ask(world.mine), _person(action, world)
    browser = world.mine.browser(person)
    (answer,), effect = _measured(lambda: [send(action, asked, browser)])
    assert answer.status_code == action.answer, brief(answer)
    assert effect or action.is_quiet, "it did nothing"
    return effect


def _is_clear(answer: HttpResponse) -> bool:
    """Say whether an answer is one that a person can act on."""
    return answer.status_code < 500 and answer.status_code not in (400, 403, 405)


def _judge(
    action: Action, rule: str, once: dict[str, int], answers: list[HttpResponse], effect: dict[str, int]
) -> None:
    assert all(_is_clear(answer) for answer in answers), [brief(answer) for answer in answers]
    more = change({**dict.fromkeys(effect, 0), **once}, {**dict.fromkeys(once, 0), **effect})
    more = {name: value for name, value in more.items() if name.partition(".")[0] not in action.lines}
    if rule == ONE:
        assert not more, f"than once, there is {more} more: {[brief(answer) for answer in answers]}"
    else:
        assert action.why, "say why each click counts"
        assert more, "one effect after all: the table says otherwise"


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_the_same_click_twice(world: World, action: Action) -> None:
    once = _once(action, world)
    asked, person = action.ask(world.mine), _person(action, world)
    browsers = [world.mine.browser(person) for _ in range(2)]
    answers, effect = _measured(lambda: [send(action, asked, browser) for browser in browsers])
    assert answers[0].status_code == action.answer, brief(answers[0])
    _judge(action, action.twice, once, answers, effect)


class _Gate(threading.local):
    """Holds each of two at its first lock until the other has come to its own, or is not coming."""

    has_passed = False

    def __init__(self, barrier: threading.Barrier) -> None:
        self.barrier = barrier

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        found = GATE.search(sql)
        if not self.has_passed and found is not None and found[1] not in NOBODYS:
            self.has_passed = True
            with contextlib.suppress(threading.BrokenBarrierError):
                self.barrier.wait(WAITS_SECONDS)
        return execute(sql, params, many, context)


def _at_once(asks: Sequence[Callable[[], HttpResponse]]) -> list[HttpResponse]:
    gate = _Gate(threading.Barrier(len(asks)))
    answers: list[HttpResponse] = []

    def ask(one: Callable[[], HttpResponse]) -> None:
        try:
            with connection.execute_wrapper(gate):
                answers.append(one())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask, args=(one,)) for one in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(STAYS_SECONDS)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    return answers


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_two_at_once(world: World, action: Action) -> None:
    """Two people with a form of their own each; where it is one person's own, the same form in two tabs."""
    once = _once(action, world)
    asked = action.ask(world.mine)
    people = [_person(action, world)]
    people.append(people[0] if action.by_one or action.whose else _person(action, world, 2))
    forms: list[Asked] = [asked, asked]
    if "form_token" in asked.body and not (action.by_one and action.at_once == ONE):
        forms[1] = replace(asked, body={**asked.body, "form_token": token()})
    browsers = [world.mine.browser(person) for person in people]

    asks = [partial(send, action, form, browser) for form, browser in zip(forms, browsers, strict=True)]
    answers, effect = _measured(lambda: _at_once(asks))
    assert len(answers) == 2
    assert action.answer in [answer.status_code for answer in answers], [brief(answer) for answer in answers]
    _judge(action, action.at_once, once, answers, effect)


def test_the_table_says_what_it_means() -> None:
    assert {rule for action in ACTIONS for rule in (action.twice, action.at_once)} <= {ONE, EACH}
