"""Named points between two steps, at which a test lets this process die, stop or fail. Inert without a folder.

`PAYDESK_FAULT_DIR` names a folder, and settings refuse it outside of a local installation. A file there, named
for a point, arms it for one strike, by whichever process comes first; what it says is what happens:

    kill    SIGKILL to this very process: nothing after this line runs, no clean-up either
    raise   an ordinary exception
    die     an exception that nobody catches: the death of a process, within a test's own
    pause   wait until `POINT.struck` is removed
"""

from __future__ import annotations

import os
import pathlib
import signal
import time

from django.conf import settings

ATTEMPT_BEGUN = "attempt-begun"  # what we shall ask Stripe is committed; nothing was sent
STRIPE_ANSWERED = "stripe-answered"  # Stripe has done it; nothing of that is committed
ORDER_MADE = "order-made"  # the order is written; its transaction is open
PAYMENT_REQUESTED = "payment-requested"  # committed; the page has no answer yet
EVENT_STORED = "event-stored"  # committed; no bell has rung, Stripe has no answer
JOB_CLAIMED = "job-claimed"  # leased; nothing was done
API_DONE = "api-done"  # what a program asked for is written; its transaction is open
RECEIPT_RENDERED = "receipt-rendered"  # kept; not sent
RECEIPT_SENT = "receipt-sent"  # the mail has left; nothing says so

LONGEST_PAUSE_SECONDS = 120


class FaultInjected(Exception):
    """A test asked for an error at this point."""


class ProcessDied(BaseException):
    """A test asked for this process to be dead from here on; nothing may catch it."""


def reach(point: str) -> None:
    """Pass the point, unless a test has armed it."""
    if settings.FAULT_DIR:
        _reach(pathlib.Path(settings.FAULT_DIR), point)


def _reach(folder: pathlib.Path, point: str) -> None:
    struck = folder / f"{point}.struck"
    try:
        os.rename(folder / point, struck)  # atomic: of all that come at once, one is struck
    except FileNotFoundError:
        return
    action = struck.read_text().strip()
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "raise":
        raise FaultInjected(point)
    elif action == "die":
        raise ProcessDied(point)
    elif action == "pause":
        deadline = time.monotonic() + LONGEST_PAUSE_SECONDS
        while struck.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    else:
        raise ValueError(f"{point}: what is {action!r}?")
