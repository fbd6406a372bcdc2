"""Starting quickly: the garbage collector rests while a process imports, and never looks at what was imported again.

Nothing that is imported is garbage, and without this a third of a worker's start and end goes into looking through it,
again and again. What is frozen is not written to by the collector either: children that are forked from the process
go on sharing that memory with it.
"""

from __future__ import annotations

import gc
import sys

# What libraries load where it happens to be installed, beside the sandbox or a developer's tools, and the product never
# uses: an HTTP client for asyncio (stripe), coloured tracebacks (structlog). A tenth of a process's start.
LEFT_OUT = ("aiohttp", "rich")

_ends_when_ready = False


def begin(*, ends_when_ready: bool = False) -> None:
    """Let the collector rest; for an entry point, before its imports. Until `done`, or until Django is ready."""
    global _ends_when_ready
    for name in LEFT_OUT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # `import` raises, as where it is not installed
    _ends_when_ready = ends_when_ready
    gc.disable()


def ready() -> None:
    """Django's applications are there: of a command, that is all that it imports before it works."""
    if _ends_when_ready:
        done()


def done() -> None:
    """Let it work again, on what comes from now on."""
    gc.freeze()
    gc.enable()
