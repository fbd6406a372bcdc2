"""How much is measured: all of it, or with `PAYDESK_BENCH_QUICK=1` a tenth and once, to see that it works."""

import os

IS_QUICK = os.environ.get("PAYDESK_BENCH_QUICK") == "1"
RUNS = 1 if IS_QUICK else 3


def of(number: int) -> int:
    """Return how many of something there shall be."""
    return max(number // 10, 40) if IS_QUICK else number
