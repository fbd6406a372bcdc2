"""The catalogue of operations: which method and path is which, and which a publishable key may call."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.world import Obj, Tx

Handler = Callable[..., Obj]
Job = Callable[[Tx, str], Any]


@dataclass(frozen=True)
class Operation:
    """One endpoint: a handler gets the transaction, the checked parameters and the ids of the path."""

    name: str
    method: str
    path: str
    handler: Handler
    publishable: bool


_FIXED: dict[tuple[str, str], Operation] = {}
_PATTERNS: list[tuple[str, re.Pattern[str], Operation]] = []

#: How an object of a kind is shown, where that depends on the moment; see ``view``.
VIEWS: dict[str, Callable[[Tx, Obj], Obj]] = {}

#: Work that happens later by itself, by name; see ``Tx.after``.
JOBS: dict[str, Job] = {}


def operation(
    name: str, method: str, path: str, *, publishable: bool = False
) -> Callable[[Handler], Handler]:
    """Register a handler; ``{}`` in the path is an id."""

    def register(handler: Handler) -> Handler:
        entry = Operation(name, method, path, handler, publishable)
        if "{}" in path:
            _PATTERNS.append((method, re.compile(f"^{path.replace('{}', '([^/]+)')}$"), entry))
        else:
            _FIXED[method, path] = entry
        return handler

    return register


def view(kind: str) -> Callable[[Callable[[Tx, Obj], Obj]], Callable[[Tx, Obj], Obj]]:
    """Register how an object of a kind is shown in lists and where it is expanded."""

    def register(show: Callable[[Tx, Obj], Obj]) -> Callable[[Tx, Obj], Obj]:
        VIEWS[kind] = show
        return show

    return register


def job(name: str) -> Callable[[Job], Job]:
    """Register what a timer of that name does."""

    def register(handler: Job) -> Job:
        JOBS[name] = handler
        return handler

    return register


def resolve(method: str, path: str) -> tuple[Operation, tuple[Any, ...]] | None:
    """Return the operation of a request and the ids in its path."""
    fixed = _FIXED.get((method, path))
    if fixed is not None:
        return fixed, ()
    for wanted, pattern, entry in _PATTERNS:
        if wanted == method and (match := pattern.match(path)):
            return entry, match.groups()
    return None


def every() -> list[Operation]:
    """Return every registered operation."""
    return [*_FIXED.values(), *(entry for _, _, entry in _PATTERNS)]
