"""`make demo`: the whole of Paydesk running on this machine, until Ctrl-C.

`python -m stack.demo --once` starts it, shows that every part is healthy, and ends.
"""

import argparse
import contextlib
import signal
import sys

from stack.lifetime import StartError
from stack.processes import Stack


def main() -> None:
    """Run the demo; end with code 1 and the reason when a part does not start."""
    parser = argparse.ArgumentParser(description="Run the whole of Paydesk on this machine")
    parser.add_argument("--once", action="store_true", help="end when it has been shown")
    options = parser.parse_args()
    try:
        with Stack() as stack:
            print(f"\n  Paydesk  {stack.urls.web}\n  Stripe   {stack.urls.sandbox} (the sandbox)\n")
            for process in stack.processes():
                print(f"  {process.name:<16} {process.pid}")
            if not options.once:
                print("\nCtrl-C ends it.", flush=True)
                with contextlib.suppress(KeyboardInterrupt):
                    signal.pause()
                print("\nstopping", flush=True)
    except StartError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
