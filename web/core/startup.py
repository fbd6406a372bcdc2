"""Starting quickly: the garbage collector rests while a process imports, and never looks at what was imported again.

Nothing that is imported is garbage, and without this a third of a worker's start and end goes into looking through it,
again and again. What is frozen is not written to by the collector either: children that are forked from the process
go on sharing that memory with it.
"""

from __future__ import annotations

import gc


def begin() -> None:
    """Let the collector rest; for an entry point, before its imports."""
    gc.disable()


def done() -> None:
    """Let it work again, on what comes from now on."""
    gc.freeze()
    gc.enable()
