"""Processor time of whole trees of processes: what a measurement costs, whoever does the work.

From /proc, in user and system seconds. Children that have ended are in their parent's count once it has
waited for them, so a PostgreSQL whose backends come and go is counted whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def of_trees(roots: Iterable[int]) -> float:
    """Return the processor seconds of these processes, their living descendants, and what those waited for."""
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pid = int(entry.name)
        children.setdefault(int(fields[1]), []).append(pid)
        used[pid] = sum(int(ticks) for ticks in fields[11:15]) / _TICKS
    total, todo, seen = 0.0, list(roots), set()
    while todo:
        pid = todo.pop()
        if pid not in seen:
            seen.add(pid)
            total += used.get(pid, 0.0)
            todo.extend(children.get(pid, ()))
    return total


def memory_of(pid: int) -> float:
    """Return the MB that a process has for itself: what one more of its kind would cost (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def descendants(root: int) -> list[int]:
    """Return a process and all that it started and that still lives."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found.extend(int(child) for child in task.read_text().split())
    return found
