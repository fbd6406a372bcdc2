"""Events that come at the same moment are stored at once, and each request is told of its own."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, DataError
from django.utils import timezone

from tests.shop import Shop
from web.payments.models import InboxEvent
from web.payments.operations import arrivals
from web.payments.operations.arrivals import Arrived
from web.webhooks import together as meeting
from web.webhooks.together import NotStored, Together

SECONDS = 20


def event(name: str, payload: str = "{}") -> Arrived:
    return Arrived(
        name, "charge.succeeded", "ch_1", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), payload
    )


class Slow:
    """Stores like the database, in memory; the first statement waits until it is let go."""

    def __init__(self, fails: Callable[[Sequence[str]], BaseException | None] = lambda _names: None) -> None:
        self.statements: list[list[str]] = []
        self.stored: set[str] = set()
        self.has_begun, self.may_end = threading.Event(), threading.Event()
        self.fails = fails

    def store_all(self, arrivals: Sequence[tuple[int, Arrived]]) -> list[bool]:
        names = [arrived.event_id for _account, arrived in arrivals]
        self.statements.append(names)
        if len(self.statements) == 1:
            self.has_begun.set()
            assert self.may_end.wait(SECONDS)
        if error := self.fails(names):
            raise error
        found = [name not in self.stored for name in names]
        self.stored |= set(names)
        return found


def bring(slow: Slow, names: Sequence[str]) -> list[bool | BaseException]:
    """Bring the first event, and the others while it is being stored; return what each request was told."""
    together = Together(slow.store_all)

    def one(name: str) -> bool | BaseException:
        try:
            return together.store(account_id=1, event=event(name))
        except BaseException as error:
            return error

    with ThreadPoolExecutor(len(names)) as pool:
        first = pool.submit(one, names[0])
        assert slow.has_begun.wait(SECONDS)
        others = []
        for number, name in enumerate(names[1:], start=1):
            others.append(pool.submit(one, name))
            while len(together._waiting) < number:
                pass
        slow.may_end.set()
        told = [each.result(SECONDS) for each in (first, *others)]
    assert not together._is_storing
    assert together.store(account_id=1, event=event("the next one")) is True
    return told


def test_those_who_come_meanwhile_are_stored_with_one_statement() -> None:
    slow = Slow()
    assert bring(slow, ["a", "b", "c", "d"]) == [True] * 4
    assert slow.statements[:2] == [["a"], ["b", "c", "d"]]


def test_what_is_there_already_is_told_apart() -> None:
    assert bring(Slow(), ["a", "b", "a", "c"]) == [True, True, False, True]


def test_one_that_cannot_be_stored_takes_no_other_with_it() -> None:
    poison = DataError("no jsonb")
    slow = Slow(lambda names: poison if "bad" in names else None)
    assert bring(slow, ["a", "b", "bad", "c"]) == [True, True, poison, True]
    assert slow.stored >= {"a", "b", "c"}


@pytest.mark.parametrize("error", [DatabaseError("away"), ValueError("a mistake of ours"), SystemExit(1)])
def test_nobody_waits_for_ever(error: BaseException) -> None:
    slow = Slow(lambda names: None if names == ["the next one"] else error)
    told = bring(slow, ["a", "b", "c"])
    assert all(isinstance(each, BaseException) for each in told)
    assert slow.stored == {"the next one"}


def test_a_database_that_is_away_is_asked_once_for_all() -> None:
    slow = Slow(lambda names: None if names == ["the next one"] else DatabaseError("away"))
    assert all(isinstance(each, DatabaseError) for each in bring(slow, ["a", "b", "c", "d"]))
    assert slow.statements == [["a"], ["b", "c", "d"], ["the next one"]]


def test_one_that_hangs_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "LONGEST_WAIT_SECONDS", 0.05)
    slow = Slow()
    together = Together(slow.store_all)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(together.store, account_id=1, event=event("a"))
        assert slow.has_begun.wait(SECONDS)
        with pytest.raises(NotStored):
            together.store(account_id=1, event=event("b"))
        slow.may_end.set()
        assert first.result(SECONDS) is True
    assert together.store(account_id=1, event=event("b")) is True
    assert slow.statements == [["a"], ["b"]]


@pytest.mark.django_db(transaction=True)
def test_of_two_alike_in_one_statement_one_is_new() -> None:
    account, now = Shop.make().account.id, timezone.now()
    assert arrivals.store_all([(account, event("evt_1"))], now=now) == [True]
    alike = [(account, event(name)) for name in ("evt_1", "evt_2", "evt_2", "evt_3")]
    assert arrivals.store_all(alike, now=now) == [False, True, False, True]
    assert InboxEvent.objects.count() == 3
