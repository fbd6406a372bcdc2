"""`make chaos`: one run, with what happened printed."""

from __future__ import annotations

import argparse
import os
import sys

from stack import demo
from stack.chaos import Chaos
from stack.processes import Stack


def main() -> None:
    """Run it; print what happened; end with 1 where the books disagree or a customer complained."""
    parser = argparse.ArgumentParser(description="Sell while everything fails, then check the books")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--sales", type=int, default=3000)
    options = parser.parse_args()
    print(f"chaos: SEED={options.seed} SALES={options.sales}", flush=True)
    with Stack() as stack:
        outcome = Chaos(stack, demo.open_studio(stack), seed=options.seed, sales=options.sales).run()
    print("\n".join(outcome.lines()), flush=True)
    sys.exit(0 if outcome.is_good else 1)


if __name__ == "__main__":
    main()
