"""Who works: somebody on every queue, beat, and what has been left lying."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone

from web.payments.jobs import LEDGER_QUEUES, MAIL_QUEUES, QUEUES, STRIPE_QUEUES
from web.payments.models import Job, QueuePause
from web.payments.queries import pulses
from workers.doctor.findings import Finding, broken, warning, well

SERVICES = (("worker-stripe", STRIPE_QUEUES), ("worker-mail", MAIL_QUEUES), ("worker-ledger", LEDGER_QUEUES))


def workers() -> Iterator[Finding]:
    """See that every queue has a worker that lives and hears its bells."""
    now = timezone.now()
    deserted = [one.queue for one in pulses.hearing(now=now) if not one.consumers]
    silent = [one.queue for one in pulses.silent_queues(now=now)]
    if deserted:
        services = [name for name, queues in SERVICES if set(queues) & set(deserted)]
        yield broken(
            "workers.queues", f"nobody works on {', '.join(deserted)}",
            means="What is asked for there waits: payments, refunds, events of Stripe, receipts.",
            mend=f"docker compose up --wait {' '.join(services)}",
        )  # fmt: skip
    elif silent:
        yield broken(
            "workers.queues", f"workers live, and nobody takes work from {', '.join(silent)}",
            means="Their bells do not reach them.", mend="docs/runbooks/queue-grows.md",
        )  # fmt: skip
    else:
        yield well("workers.queues", f"all {len(QUEUES)} queues have workers")
    paused = sorted(QueuePause.objects.values_list("queue", flat=True))
    if paused:
        yield warning(
            "workers.paused", f"{', '.join(paused)} was paused by somebody", means="Nothing is done there until then.",
            mend="Resume it at /ops/.",
        )  # fmt: skip
    dead = Job.objects.filter(state=Job.State.DEAD).count()
    if dead:
        yield warning(
            "workers.dead", f"{dead} jobs were given up", means="What they were to do has not happened.",
            mend="Look at them at /ops/jobs/ (docs/runbooks/dead-jobs.md).",
        )  # fmt: skip


def beat() -> Iterator[Finding]:
    """See that beat lives, once."""
    found = pulses.beat(now=timezone.now())
    if not found.is_alive:
        yield broken(
            "beat", "beat does not live", means="Nothing is swept, retried or rung again.",
            mend="docker compose up --wait beat (docs/runbooks/beat-silent.md)",
        )  # fmt: skip
    elif len(found.hosts) > 1:
        yield warning(
            "beat", f"beat runs {len(found.hosts)} times: {', '.join(found.hosts)}", means="Every tick is sent twice.",
            mend="Stop all but one.",
        )  # fmt: skip
    elif found.ticked_seconds is None or found.ticked_seconds > pulses.SILENT_AFTER.total_seconds():
        yield broken(
            "beat", "beat lives, and no worker carries out what it asks for",
            means="Nothing is swept, retried or rung again.", mend="docs/runbooks/beat-silent.md",
        )  # fmt: skip
    else:
        yield well("beat", "beat lives, and its ticks are carried out")
