"""`manage.py workers`: who serves which queue, and when a bell last reached them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from web.payments.queries import pulses


class Command(BaseCommand):
    help = "List the workers of the last day, and the queues whose work nobody takes."

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        for worker in pulses.workers(now=now):
            since = "it ended" if worker.seen_at is None else f"{worker.seen_at:%F %T}"
            alive = "alive" if worker.is_alive else f"silent since {since}"
            if worker.drain is not None:
                alive += ", takes no more"
            heard = "never" if worker.drained_at is None else f"{worker.drained_at:%F %T}"
            queues = ", ".join(worker.queues)
            self.stdout.write(
                f"{worker.name}  {queues}  {worker.threads} threads  {alive}  last bell {heard}"
            )
        for queue in pulses.silent_queues(now=now):
            self.stdout.write(
                f"{queue.queue}: {queue.due} due, the oldest for {queue.oldest_seconds:.0f} s, and nobody takes them "
                f"({queue.consumers} workers say that they would)"
            )
