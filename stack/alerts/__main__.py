"""`make alerts-check`: causes each alert on a running stack with a real Prometheus, then follows its runbook.

Ends with 1 where an alert did not fire, a step is not in the runbook, or the alert did not end.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time

from stack import demo
from stack.alerts import prometheus, rules
from stack.alerts.causes import CAUSES, Cause
from stack.alerts.house import House
from stack.alerts.prometheus import Prometheus
from stack.lifetime import StartError
from stack.processes import Stack

FIRES_WITHIN = 200.0
ENDS_WITHIN = 200.0


def tried(cause: Cause, house: House, watch: Prometheus) -> list[str]:
    """Let it happen, wait until its alerts fire, follow the runbooks, wait until they end; return what failed."""
    wanted, fired, wrong = set(cause.alerts), set[str](), list[str]()
    try:
        cause.happen(house)
    except Exception as error:  # noqa: BLE001 - the others are tried all the same
        wrong.append(f"it could not be caused: {type(error).__name__}: {error}")

    def all_fired(firing: set[str]) -> bool:
        fired.update(firing)
        return fired >= wanted

    _, took = watch.wait(all_fired, seconds=FIRES_WITHIN)
    wrong += [f"{name} did not fire" for name in sorted(wanted - fired)]
    try:
        cause.mend(house)
    except Exception as error:  # noqa: BLE001 - as above
        wrong.append(f"{type(error).__name__}: {error}")
    is_over, until_over = watch.wait(lambda firing: not firing & wanted, seconds=ENDS_WITHIN)
    if not is_over:
        wrong.append(f"still firing: {', '.join(sorted(watch.firing() & wanted))}")
    print(f"\n{cause.what}: fired after {took:.0f} s, over {until_over:.0f} s after the runbook", flush=True)
    for name in sorted(wanted & fired):
        print(f"  {name:<16} {rules.runbook_of(name)}", flush=True)
    others = fired - wanted
    if others:
        print(f"  and with it: {', '.join(sorted(others))}", flush=True)
    for line in wrong:
        print(f"  WRONG {line}", flush=True)
    return wrong


def main() -> int:
    """Try every cause, or those that are named; return 1 where something was wrong."""
    parser = argparse.ArgumentParser(description="Make every alert fire, and end it by its runbook")
    parser.add_argument("-k", default="", help="only causes whose name or alerts contain this")
    wanted = parser.parse_args().k
    began, token = time.monotonic(), secrets.token_hex(16)
    chosen = [one for one in CAUSES if wanted in " ".join((one.what, *one.alerts))]
    wrong: list[str] = []
    with Stack(shows_metrics=True, env={"METRICS_TOKEN": token}, say=lambda _line: None) as stack:
        house = House(stack, demo.open_studio(stack))
        ports = dict(stack.metrics_ports)
        beat = ports.pop("beat")
        folder = stack.run_dir / "prometheus"
        with prometheus.watching(
            folder, web=stack.urls.web, token=token, workers=ports.values(), beat=beat
        ) as watch:
            for cause in chosen:
                wrong += tried(cause, house, watch)
        print("\nfollowed:")
        for page, book in sorted(house.books.items()):
            print(f"  {page}: {len(set(book.followed))} of its commands")
    fired = {name for cause in chosen for name in cause.alerts}
    print(
        f"alerts: {len(fired)} of {len(rules.names())} tried in {time.monotonic() - began:.0f} s, {len(wrong)} wrong"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StartError as reason:
        sys.exit(str(reason))
