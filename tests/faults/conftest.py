"""One running Paydesk for all faults that processes have; what is only raced or cut runs in this process.

Whatever a test broke is mended after it; then all must become quiet, and our books and Stripe's must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_django import Settings

from tests import leaks, produced
from tests.faults import house as houses
from tests.faults.house import House
from tests.faults.points import Points
from tests.integration.conftest import at_stripe, sandbox  # noqa: F401 - fixtures
from tests.own_servers import own_servers


@pytest.fixture(scope="session")
def _house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as held:
        with own_servers():  # they are going to be killed
            running = held.enter_context(houses.opened(tmp_path_factory.mktemp("points")))
        yield running
        produced.judge(running.stack.urls.sandbox)
        leaks.judge(running.stack.run_dir, running.stack.mail_dir)
        leaks.judge_stores(running.stack.urls.redis, running.stack.urls.database)


@pytest.fixture
def house(_house: House) -> Iterator[House]:
    """A healthy house; after the test it is mended, becomes quiet, and its books must agree."""
    _house.healthy()
    yield _house
    _house.healthy()
    _house.agree()


@pytest.fixture
def points(settings: Settings, tmp_path: Path) -> Points:
    """The named points of this very process."""
    folder = tmp_path / "points"
    settings.FAULT_DIR = str(folder)
    return Points(folder)
