"""`manage.py drill`: break a part on purpose while work is under way, and count what became of the work.

The load is steps of a drill (operations/drills.py): they touch no money. It refuses to run outside of a local
installation unless told so, since what it breaks is real: every job of the broker, every worker.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from web.payments.bell import bell
from web.payments.operations import drills
from web.payments.operations.drills import Report

PATIENCE_SECONDS = 300.0
LOOK_SECONDS = 0.2
CONFIRMATION = "break-it"


class Command(BaseCommand):
    help = "broker: lose everything that Redis holds. workers: SIGKILL every worker. Both under load."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("part", choices=("broker", "workers"))
        parser.add_argument("--jobs", type=int, default=1000, help="how much load (default 1000)")
        parser.add_argument("--confirm", default="", help=f"outside of a local installation: {CONFIRMATION}")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.PAYDESK_LOCAL and options["confirm"] != CONFIRMATION:
            raise CommandError(
                "This breaks a running part on purpose, and this is no local installation (PAYDESK_LOCAL)."
                f" Nothing was done. To do it all the same: --confirm {CONFIRMATION}"
            )
        numbers = drills.put(steps=options["jobs"], now=timezone.now())
        self.stdout.write(f"drill: {len(numbers)} jobs are due")
        bell.wait_until_rung(seconds=2)
        at_work = self._wait(numbers, lambda report: report.done > len(numbers) // 10)
        began = time.monotonic()
        if options["part"] == "broker":
            self._lose_the_broker()
        else:
            self._kill_the_workers()
        left = len(numbers) - at_work.done
        self.stdout.write(f"drill: {at_work.done} were done, {left} left to be found again")
        end = self._wait(numbers, lambda report: report.is_over)
        self.stdout.write(
            f"drill {options['part']}: {end.steps} jobs due, {left} rung again, {end.done} done,"
            f" {end.lost} lost, {end.doubled} doubled, {end.due + end.running} left,"
            f" {end.claimed_again} overtaken, after {time.monotonic() - began:.1f} s"
        )
        if end.done != end.steps or end.lost or end.doubled:
            sys.exit(1)

    def _wait(self, numbers: range, is_reached: Any) -> Report:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            report = drills.report(numbers)
            if is_reached(report) or report.is_over or time.monotonic() > deadline:
                return report
            time.sleep(LOOK_SECONDS)

    def _lose_the_broker(self) -> None:
        url = settings.CELERY_BROKER_URL
        if not url.startswith(("redis://", "rediss://")):
            raise CommandError("The broker is not Redis: delete its queues by its own tools while this runs.")
        client = redis.Redis.from_url(url)
        held = client.dbsize()
        client.flushdb()
        self.stdout.write(f"drill: the broker has lost {held} keys")

    def _kill_the_workers(self) -> None:
        here = socket.gethostname()
        killed, elsewhere = 0, []
        for name, pids in _workers().items():
            if name.partition("@")[2] != here:
                elsewhere.append(name)
                continue
            for pid in pids:
                killed += _kill(pid)
        self.stdout.write(f"drill: SIGKILL to {killed} processes of workers on {here}")
        for name in elsewhere:
            self.stdout.write(
                f"drill: {name} is on another host and lives on; with compose: docker compose kill -s KILL SERVICE"
            )
        if not killed:
            raise CommandError("No worker of this host answered: none was killed.")


def _workers() -> dict[str, list[int]]:
    """Return the processes of every worker that answers, its main process first."""
    from workers.app import app  # only here: other commands need no Celery

    stats = app.control.inspect(timeout=3).stats() or {}
    return {
        name: [said["pid"], *(pid for pid in said["pool"].get("processes") or [] if pid != said["pid"])]
        for name, said in stats.items()
    }


def _kill(pid: int) -> int:
    """Kill a process if it is a worker of Celery; return how many died."""
    try:
        if b"celery" not in Path(f"/proc/{pid}/cmdline").read_bytes():
            return 0
        os.kill(pid, signal.SIGKILL)
    except OSError:
        return 0
    return 1
