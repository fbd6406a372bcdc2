"""What every sandbox of the session produced, kept for the one test that judges it all (contract/test_schema.py).

The schema of the SDK is thereby held against every flow: the sandbox's own tests, sales of the integration
tests, journeys of browsers, and what is left after parts were killed.
"""

from __future__ import annotations

from typing import Any

import requests

_kept: list[dict[str, Any]] = []
_running: list[str] = []


def dump(base: str) -> list[dict[str, Any]]:
    """Return every object and event of the sandbox at an address."""
    answer = requests.get(f"{base}/_sandbox/dump", timeout=60)
    answer.raise_for_status()
    objects: list[dict[str, Any]] = answer.json()["data"]
    return objects


def keep(base: str) -> None:
    """Keep what a sandbox holds that is about to end."""
    _kept.extend(dump(base))


def watch(base: str) -> None:
    """Ask a sandbox that runs until the session ends for what it holds, when everything is judged."""
    _running.append(base)


def everything() -> list[dict[str, Any]]:
    """Return all that was produced so far."""
    return [*_kept, *(obj for base in _running for obj in dump(base))]
