"""Events that come at the same moment are stored at the same moment: one statement and one commit for all of them.

A commit waits for the disk, and a statement costs more than the rows in it. So a request that finds another one
storing hands its event over and waits; when that one is done, the first who waits stores for all who do. Nobody waits
for company: a request that is alone stores at once. The answer is given after the commit, as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from django.db import DatabaseError, DataError, IntegrityError

from web.payments.operations.arrivals import Arrived

LONGEST_WAIT_SECONDS = 20.0  # for one that hangs: no other business's events, and no page, shall hang with it

Store = Callable[[Sequence[tuple[int, Arrived]]], list[bool]]


class NotStored(Exception):
    """Nobody can say that this event is stored: whoever was storing others hangs, or failed. Stripe sends it again."""


class _Letter:
    """An event on its way: `turn` comes when it is stored, when it cannot be, or when its request is to store."""

    def __init__(self, account_id: int, event: Arrived) -> None:
        self.arrival = (account_id, event)
        self.turn = threading.Event()
        self.is_new: bool | None = None
        self.error: Exception | None = None

    @property
    def is_settled(self) -> bool:
        return self.is_new is not None or self.error is not None

    def result(self) -> bool:
        if self.error is not None:
            raise self.error
        assert self.is_new is not None
        return self.is_new


class Together:
    """The events that the threads of this process are storing. `store` stores several, and says which are new."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: list[_Letter] = []
        self._is_storing = False

    def store(self, *, account_id: int, event: Arrived) -> bool:
        """Store an event, alone or with others; return whether it is new. DatabaseError: it is not stored."""
        letter = _Letter(account_id, event)
        with self._lock:
            self._waiting.append(letter)
            is_ours, self._is_storing = not self._is_storing, True
        if not is_ours and not letter.turn.wait(LONGEST_WAIT_SECONDS) and not self._is_called(letter):
            raise NotStored
        if not letter.is_settled:
            self._store_for_all()
        return letter.result()

    def _is_called(self, letter: _Letter) -> bool:
        """Return whether a letter's turn came at the last moment; else take it back, if nobody has it in hand."""
        with self._lock:
            if letter in self._waiting and not letter.turn.is_set():
                self._waiting.remove(letter)
            return letter.turn.is_set()

    def _store_for_all(self) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
        try:
            self._settle(batch)
        finally:  # whatever happens, nobody waits for ever, and nobody is told that it is stored
            for letter in batch:
                if not letter.is_settled:
                    letter.error = NotStored()
            with self._lock:
                self._is_storing = bool(self._waiting)
                following = self._waiting[:1]
                for letter in batch + following:
                    letter.turn.set()

    def _settle(self, batch: list[_Letter]) -> None:
        try:
            found = self._store([letter.arrival for letter in batch])
        except (DataError, IntegrityError) as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for letter in batch:  # which of them it is shows when each is stored by itself
                self._settle([letter])
        except DatabaseError as error:  # it is away, or too slow: asking once for each would only take longer
            for letter in batch:
                letter.error = error
        else:
            for letter, is_new in zip(batch, found, strict=True):
                letter.is_new = is_new
