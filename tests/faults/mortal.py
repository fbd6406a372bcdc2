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
from django.db import InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from web.core import faultpoints
from web.core.faultpoints import ProcessDied


class Mortal:
    """Counts the steps of the thread that it was made for, and lets what runs there die at one of them.

    With `is_cut` it lives on: its connection to the database is gone at that step, and of a commit it never
    learns whether it happened.
    """

    def __init__(self, dies_at: int | None, *, is_cut: bool = False) -> None:
        self.dies_at, self.is_cut = dies_at, is_cut
        self.steps, self.is_dead, self.was_struck = 0, False, False
        self.last_step = ""
        self._is_spared = False
        self._thread = threading.get_ident()

    @contextlib.contextmanager
    def spared(self) -> Iterator[None]:
        """Count nothing in here: what comes before the part that a story is about."""
        self._is_spared = True
        yield
        self._is_spared = False

    def step(self, what: str) -> None:
        """Do one more thing, or die instead."""
        if threading.get_ident() != self._thread or self._is_spared:
            return
        if not self.is_dead:
            self.steps += 1
            if self.steps != self.dies_at:
                return
            self.was_struck, self.last_step = True, what
            connection.close()  # the server rolls back what was open, as for any client that is gone
            if self.is_cut:
                raise OperationalError("server closed the connection unexpectedly")
            self.is_dead = True
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
            except (OperationalError, InterfaceError):
                if not self.was_struck:
                    raise
            except BaseException:
                if not self.is_dead:
                    raise
            finally:
                if self.is_dead:
                    connection.close()
