"""Every sandbox that a test ran is held against the SDK's schema before it ends: all its objects, all its events.

The schema thereby judges every flow: the sandbox's own tests, sales of the integration tests, journeys of
browsers, and what is left after parts were killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import requests

from tests.contract import schema


def dump(base: str) -> list[dict[str, Any]]:
    """Return every object and event of the sandbox at an address."""
    answer = requests.get(f"{base}/_sandbox/dump", timeout=60)
    answer.raise_for_status()
    objects: list[dict[str, Any]] = answer.json()["data"]
    return objects


def checked(objects: Iterable[dict[str, Any]]) -> tuple[Counter[str], list[str]]:
    """Return how many there are of each kind of object and event, and what does not conform."""
    kinds: Counter[str] = Counter()
    found: set[str] = set()
    for obj in objects:
        kinds[obj["object"]] += 1
        found.update(schema.problems(obj))
        if obj["object"] == "event":
            kinds[f"event {obj['type']}"] += 1
            found.update(f"in {obj['type']}: {problem}" for problem in schema.problems(obj["data"]["object"]))
    return kinds, sorted(found)


def judge(base: str) -> None:
    """Fail where a sandbox that is about to end produced something that the SDK does not know."""
    _kinds, found = checked(dump(base))
    assert found == []
