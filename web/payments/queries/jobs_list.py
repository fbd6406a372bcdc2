"""Jobs as whoever is on call looks for them: filters, pages by key, and what a job is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from web.payments.models import Job

PAGE = 50
MOST_AT_ONCE = 1000  # jobs that one action changes: a transaction of a few seconds


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs; every field that is set narrows them."""

    state: str = Job.State.DEAD
    queue: str = ""
    name: str = ""
    business_id: int | None = None  # Ruoom's number of it
    error: str = ""
    job_id: int | None = None

    def rows(self) -> QuerySet[Job]:
        """Return the jobs that fit, along an index of their state."""
        rows = Job.objects.filter(state=self.state)
        for name, value in (
            ("queue", self.queue),
            ("name", self.name),
            ("business__business_id", self.business_id),
            ("last_error", self.error),
            ("id", self.job_id),
        ):
            if value:
                rows = rows.filter(**{name: value})
        return rows

    def in_words(self) -> str:
        """Say what is asked for, for the record of an action."""
        if self.job_id:
            return f"job {self.job_id}"
        parts = [f"{self.state} jobs"]
        parts += [f"of {self.queue}"] if self.queue else []
        parts += [f"named {self.name}"] if self.name else []
        parts += [f"of business {self.business_id}"] if self.business_id else []
        parts += [f"that ended with {self.error}"] if self.error else []
        return " ".join(parts)[:100]


def page(wanted: JobFilter, *, before: int | None = None) -> tuple[list[Job], int | None]:
    """Return the newest jobs that fit, and the id before which the next page begins (None: no more)."""
    rows = wanted.rows().select_related("business")
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: PAGE + 1])
    return found[:PAGE], found[PAGE - 1].id if len(found) > PAGE else None


def count(wanted: JobFilter) -> int:
    """Count the jobs that fit, as far as one action reaches."""
    return wanted.rows()[: MOST_AT_ONCE + 1].count()


def first(wanted: JobFilter) -> list[Job]:
    """Return the oldest jobs that fit, as many as one action changes."""
    return list(wanted.rows().select_related("business").order_by("id")[:MOST_AT_ONCE])


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead jobs that ended alike: usually one cause."""

    queue: str
    name: str
    error: str
    number: int


def dead_groups(jobs: Sequence[Job]) -> list[DeadGroup]:
    """Group jobs by what they were and how they ended, the largest group first."""
    counts: dict[tuple[str, str, str], int] = {}
    for job in jobs:
        key = (job.queue, job.name, job.last_error)
        counts[key] = counts.get(key, 0) + 1
    groups = [DeadGroup(*key, number) for key, number in counts.items()]
    return sorted(groups, key=lambda group: (-group.number, group.queue, group.name, group.error))
