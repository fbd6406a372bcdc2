"""Waiting until nothing is under way any more, with time passing fast: what waits for another try is due now.

Only waiting is cut short, by the rows that say until when. The leases of the living are left alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg

from stack import books
from stack.books import Discrepancy

LOOK_SECONDS = 0.5
_WAITING = (
    b"UPDATE payments_job SET due_at = now() WHERE state = 'waiting' AND due_at > now()",
    b"UPDATE payments_inboxevent SET due_at = now() WHERE state = 'received' AND due_at > now()",
    (
        b"UPDATE payments_payment SET next_check_at = now() WHERE next_check_at > now()"
        b" AND (state NOT IN ('awaiting', 'declined') OR %s)"
    ),
    b"UPDATE payments_refund SET next_check_at = now() WHERE next_check_at > now()",
    b"UPDATE payments_readeraction SET next_poll_at = now() WHERE next_poll_at > now()",
)


def hurry(database_url: str, *, those_at_rest: bool = True) -> None:
    """Let time pass: what waits is due, and the leases of the dead have run out.

    Payments that wait for their customers are looked at for ever: `those_at_rest=False` leaves them alone, for
    whoever hurries again and again and would never see an end with many of them.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        for change in _WAITING:
            with contextlib.suppress(psycopg.errors.DeadlockDetected):  # workers are at it: the next look
                connection.execute(change, [those_at_rest] if b"%s" in change else None)
        held = connection.execute(
            b"SELECT DISTINCT worker FROM payments_job WHERE state = 'running'"
        ).fetchall()
        for (worker,) in held:
            if not is_alive(worker):
                connection.execute(
                    b"UPDATE payments_job SET leased_until = now() WHERE state = 'running' AND worker = %s",
                    [worker],
                )


def is_alive(worker: str) -> bool:
    """Tell whether the process that a claim names (worker@host:process:thread) still runs; elsewhere it does."""
    name, pid, _thread = worker.rsplit(":", 2)
    if name.rpartition("@")[2] != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    except (OSError, ValueError):
        return False


def until_the_books_agree(
    database_url: str,
    sandbox_url: str,
    accounts: Sequence[str],
    *,
    seconds: float,
    mail_dir: Path | None = None,
    unhurried_seconds: float = 0.0,
) -> list[Discrepancy]:
    """Wait until the books agree, and return what is still wrong after so many seconds.

    For the first `unhurried_seconds` time passes as it does for everybody.
    """
    began = time.monotonic()
    is_first = True
    while True:
        try:
            found = books.check(database_url, sandbox_url, accounts, mail_dir=mail_dir)
        except psycopg.OperationalError as error:  # a server that has only just come back
            found = [Discrepancy("the_database_is_away", type(error).__name__)]
        waited = time.monotonic() - began
        if not found or waited > seconds:
            return found
        if waited >= unhurried_seconds:
            with contextlib.suppress(psycopg.OperationalError):
                hurry(database_url, those_at_rest=is_first)
                is_first = False
        time.sleep(LOOK_SECONDS)
