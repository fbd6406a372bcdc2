"""How long things took, as counts per step: small to keep for every minute, and added up for any stretch of time.

A step is half a doubling, from a millisecond to an hour: a percentile read from them is within a fifth of the true one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHORTEST_SECONDS = 0.001
STEPS_PER_DOUBLING = 2
STEPS = 45  # the last one holds everything beyond about an hour


def step_sql(seconds: str) -> str:
    """Return the SQL for the step of a span: `seconds` is an expression in seconds, as double precision."""
    return (
        f"CASE WHEN {seconds} <= {SHORTEST_SECONDS} THEN 0 "
        f"ELSE least(ceil({STEPS_PER_DOUBLING} * ln({seconds} / {SHORTEST_SECONDS}) / ln(2))::int, {STEPS - 1}) END"
    )


def upper_edge(step: int) -> float:
    """Return the longest span, in seconds, that is counted in a step."""
    return SHORTEST_SECONDS * 2 ** (step / STEPS_PER_DOUBLING)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """In seconds: half took no longer than p50."""

    count: int
    p50: float
    p95: float
    p99: float


def added(counts: Iterable[Sequence[int]]) -> list[int]:
    """Add up the counts of several minutes; one that has none is an empty list."""
    sums = [0] * STEPS
    for one in counts:
        for step, number in enumerate(one):
            sums[step] += number
    return sums


def percentiles(counts: Sequence[int]) -> Percentiles | None:
    """Read p50, p95 and p99 from counts; None where nothing was counted."""
    total = sum(counts)
    if not total:
        return None
    return Percentiles(total, *(_quantile(counts, total, share) for share in (0.5, 0.95, 0.99)))


def _quantile(counts: Sequence[int], total: int, share: float) -> float:
    wanted, below = share * total, 0
    for step, number in enumerate(counts):
        if number and below + number >= wanted:
            within = (wanted - below) / number
            lower = upper_edge(step - 1) if step else 0.0
            return lower + (upper_edge(step) - lower) * within
        below += number
    raise AssertionError("the counts do not add up to their total")
