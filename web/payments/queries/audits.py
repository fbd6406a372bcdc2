"""Who changed what and when, told with the names that people have now."""

from __future__ import annotations

from dataclasses import dataclass

from web.core.models import Business
from web.payments.models import AuditEntry
from web.payments.queries import people

MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the audit and who it was."""

    entry: AuditEntry
    who: str

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """Return (field, before, after); a fact without a before has an empty one."""
        rows = []
        for name, value in self.entry.changes.items():
            is_pair = isinstance(value, list) and len(value) == 2
            before, after = value if is_pair else ("", value)
            rows.append((name, _short(before), _short(after)))
        return rows


def newest(business: Business) -> list[Told]:
    """Return the newest lines of a business."""
    entries = list(AuditEntry.objects.filter(business=business)[:MOST_SHOWN])
    names = people.names_of(business, {entry.actor for entry in entries})
    return [Told(entry, names.get(entry.actor, entry.actor)) for entry in entries]


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
