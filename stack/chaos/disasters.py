"""What is killed, halted and wiped while people buy."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from stack.processes import Stack


def stripe_worker_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill_worker("stripe")


def ledger_worker_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill_worker("ledger")


def mail_worker_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill_worker("mail")


def child_killed(stack: Stack, chance: random.Random) -> None:
    """Kill one process of the prefork pool."""
    pid = stack.pid("worker-ledger-1")
    if pid is None:
        raise ProcessLookupError("worker-ledger-1 is down")
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            os.kill(int(chance.choice(children)), signal.SIGKILL)


def every_worker_killed(stack: Stack, _chance: random.Random) -> None:
    for kind in ("stripe", "mail", "ledger"):
        with contextlib.suppress(ProcessLookupError):
            stack.kill(f"worker-{kind}-1")


def stripe_worker_halted(stack: Stack, _chance: random.Random) -> None:
    """Stop it for some seconds, as a virtual machine that is moved."""
    stack.send("worker-stripe-1", signal.SIGSTOP)
    time.sleep(3)
    stack.send("worker-stripe-1", signal.SIGCONT)


def beat_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill("beat")


def web_killed(stack: Stack, _chance: random.Random) -> None:
    stack.kill("web")


def redis_wiped(stack: Stack, _chance: random.Random) -> None:
    stack.redis.wipe()


def redis_killed(stack: Stack, _chance: random.Random) -> None:
    stack.redis.kill()
    time.sleep(1)
    stack.redis.restart()


def postgres_killed(stack: Stack, _chance: random.Random) -> None:
    stack.postgres.kill()
    stack.postgres.restart()


Disaster = Callable[[Stack, random.Random], None]
DISASTERS: tuple[Disaster, ...] = (
    stripe_worker_killed,
    ledger_worker_killed,
    mail_worker_killed,
    child_killed,
    every_worker_killed,
    stripe_worker_halted,
    beat_killed,
    web_killed,
    redis_wiped,
    redis_killed,
    postgres_killed,
)
