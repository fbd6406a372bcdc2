"""Dying at every step: a process that loses its life at the n-th thing it does, for every n.

What a process does is counted: each statement to the database, each commit before and after it, each line
at which Stripe is asked or has answered. At the n-th it is dead: nothing after that line runs, its open
transaction is gone, its claims stay until their leases run out. Then others carry on, and the books must agree.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from web.core import faultpoints
from web.core.faultpoints import ProcessDied


class Mortal:
    """Counts the steps of the thread that it was made for, and ends what runs there at one of them."""

    def __init__(self, dies_at: int | None) -> None:
        self.dies_at, self.steps, self.is_dead = dies_at, 0, False
        self.last_step = ""
        self._thread = threading.get_ident()

    def step(self, what: str) -> None:
        """Do one more thing, or die instead."""
        if threading.get_ident() != self._thread:
            return
        if not self.is_dead:
            self.steps += 1
            if self.steps != self.dies_at:
                return
            self.is_dead, self.last_step = True, what
            connection.close()  # the server rolls back what was open, as for any client that is gone
        raise ProcessDied(what)  # again and again: `except` and `finally` of the dead change nothing

    def _statement(self, execute: Callable[..., Any], query: str, *rest: Any) -> Any:
        self.step(" ".join(query.split())[:80])
        return execute(query, *rest)

    @contextlib.contextmanager
    def living(self) -> Iterator[None]:
        """Count what this thread does in here. Its death ends the block quietly; whoever comes next is healthy."""
        commit = BaseDatabaseWrapper.commit

        def mortal_commit(wrapper: BaseDatabaseWrapper) -> None:
            self.step("before a commit")
            commit(wrapper)
            self.step("after a commit")

        with pytest.MonkeyPatch.context() as changed:
            changed.setattr(BaseDatabaseWrapper, "commit", mortal_commit)
            changed.setattr(faultpoints, "reach", self.step)
            try:
                with connection.execute_wrapper(self._statement):
                    yield
            except BaseException:
                if not self.is_dead:
                    raise
            finally:
                if self.is_dead:
                    connection.close()
