"""`python -m bench.footprint`: what each part of Paydesk takes while it does nothing, and after sales: memory, start.

No target belongs to it; the numbers of workers and connections in compose.yaml were chosen by it (docs/performance.md).
Memory is proportional set size: a page that processes share counts in parts, so that the sum is what the machine gives.
"""

from __future__ import annotations

import time

from bench import cpu, house, sales
from bench.house import House

SALES = 200
IDLE_SECONDS = 30.0


def main() -> None:
    """Print a line for each part."""
    with house.opened(webhooks=True, env=sales.ENV) as h:
        before = memory(h)
        spent = h.spent_by(without=())
        time.sleep(IDLE_SECONDS)
        idle = {name: (now - spent[name]) / IDLE_SECONDS for name, now in h.spent_by(without=()).items()}
        sales.sell(h, SALES, first=0, per_second=20)
        h.settle_down()
        after = memory(h)
        starts = {name: start(h, name) for name in before if name not in ("postgres", "redis", "sandbox")}
    print(f"{'':18}{'start':>9}{'MB idle':>9}{f'MB after {SALES} sales':>21}{'of a core, idle':>17}")
    for name in before:
        took = f"{starts[name]:.1f} s" if name in starts else ""
        print(f"{name:18}{took:>9}{before[name]:>9.0f}{after[name]:>21.0f}{idle[name]:>17.1%}")


def memory(h: House) -> dict[str, float]:
    """Return the megabytes of each part with all its processes."""
    return {name: sum(map(cpu.memory_of, cpu.descendants(pid))) for name, pid in h.pids().items()}


def start(h: House, name: str) -> float:
    """Take a part down, bring it up, and return the seconds until it is healthy."""
    h.stack.take_down(name)
    began = time.perf_counter()
    h.stack.bring_up(name)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
