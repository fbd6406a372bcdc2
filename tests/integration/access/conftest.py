"""The two businesses, made once a module: a table of a thousand requests must not make them a thousand times."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connections
from pytest_django import DjangoDbBlocker

from tests.integration.access.actions import ROWS
from tests.integration.access.asking import people, undone, who_may
from tests.integration.access.world import World
from web.core import tenancy


@pytest.fixture(scope="module")
def transactional_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let a module write for good, and empty the tables once at its end: after each test that would take minutes."""
    with django_db_blocker.unblock():
        yield
        connections.close_all()
        call_command("flush", verbosity=0, interactive=False)
        connections.close_all()


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """Both businesses in a transaction that is undone at the module's end; each test undoes its own part before."""
    with django_db_blocker.unblock(), undone():
        tenancy.forget_hosts()
        world = World()
        for row in ROWS:  # everybody signs in now: what a test makes is undone with it
            for number in (1, 2):
                world.mine.meet(who_may(row, world, number=number))
            for person in people(row, world).values():
                world.mine.meet(person)
            if row.who.groups:
                world.mine.meet(world.mine.without(row.who.groups))
        world.theirs.meet(world.theirs.owner)
        world.theirs.staff("store"), world.theirs.staff("refunds")
        yield world
