"""The work of a drill: nothing but a line that says it was done, in the transaction that ends its job."""

from __future__ import annotations

import time

from django.utils import timezone

from web.payments.jobs import Lease
from web.payments.operations import drills

STEP_SECONDS = 0.01  # so that a drill has something to interrupt


def drill_step(*, step: int, lease: Lease) -> None:
    """Do one step of a drill."""
    time.sleep(STEP_SECONDS)
    drills.do(step=step, lease=lease, now=timezone.now())
