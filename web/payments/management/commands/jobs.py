"""`manage.py jobs`: how deep the queues are, what is dead, and how to let it run again."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from web.payments.bell import bell
from web.payments.jobs import CATALOGUE, Queue
from web.payments.operations import backlog as operations
from web.payments.operations import inbox, operators
from web.payments.queries import backlog


class Command(BaseCommand):
    help = "Show the queues (default), list dead jobs, or replay them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action")
        actions.add_parser(
            "depth", help="per queue: due, later, running, dead, age of the oldest that is due"
        )
        dead = actions.add_parser("dead", help="list the jobs that were given up")
        dead.add_argument("--limit", type=int, default=50)
        replay = actions.add_parser("replay", help="let dead jobs run again")
        replay.add_argument("job_ids", nargs="*", type=int, help="ids as `jobs dead` lists them")
        replay.add_argument("--name", choices=sorted(CATALOGUE), help="all dead jobs of this name")
        replay.add_argument("--all", action="store_true", help="all dead jobs")
        replay.add_argument("--inbox", action="store_true", help="Stripe's events that were given up")
        replay.add_argument("--reason", default="from the command line", help="kept with what was done")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["action"]:
            case "dead":
                self._dead(options["limit"])
            case "replay":
                if options["inbox"]:
                    self._replay_inbox(options["reason"])
                else:
                    self._replay(
                        options["job_ids"],
                        options["name"],
                        everything=options["all"],
                        reason=options["reason"],
                    )
            case _:
                self._depth()

    def _depth(self) -> None:
        self.stdout.write(f"{'queue':<14}{'due':>8}{'later':>8}{'running':>9}{'dead':>7}  oldest")
        for row in backlog.depths(now=timezone.now()):
            oldest = "-" if row.oldest_seconds is None else f"{row.oldest_seconds:.1f} s"
            self.stdout.write(
                f"{row.queue:<14}{row.due:>8}{row.later:>8}{row.running:>9}{row.dead:>7}  {oldest}"
            )
        waiting, dead = backlog.inbox_depth()
        self.stdout.write(f"inbox: {waiting} events wait, {dead} were given up")

    def _dead(self, limit: int) -> None:
        jobs = backlog.dead_jobs(limit=limit)
        for job in jobs:
            self.stdout.write(
                f"{job.id:>10}  {job.name:<16} {job.arguments}  {job.attempts} tries  {job.finished_at:%F %T}  "
                f"{job.last_error}"
            )
        if not jobs:
            self.stdout.write("No job is dead.")

    def _replay_inbox(self, reason: str) -> None:
        with transaction.atomic():
            count = inbox.replay(now=timezone.now())
            self._note("every event that was given up", count, is_inbox=True, reason=reason)
        bell.ring(Queue.WEBHOOKS)
        bell.wait_until_rung(seconds=2)
        self.stdout.write(f"{count} events wait again.")

    def _note(self, what: str, count: int, *, is_inbox: bool, reason: str) -> None:
        if count:
            operators.note_replayed(
                what=what, number=count, is_inbox=is_inbox, reason=reason, now=timezone.now()
            )

    def _replay(self, job_ids: list[int], name: str | None, *, everything: bool, reason: str) -> None:
        if not (job_ids or name or everything):
            raise CommandError("Say which: job ids, --name, --all, or --inbox.")
        with transaction.atomic():
            count = operations.replay(now=timezone.now(), name=name, job_ids=job_ids or None)
            what = f"dead jobs {job_ids or ''} {name or ''}".strip()
            self._note(what, count, is_inbox=False, reason=reason)
        for queue in operations.due_queues(now=timezone.now()):
            bell.ring(queue)
        bell.wait_until_rung(seconds=2)
        self.stdout.write(f"{count} jobs wait again.")
