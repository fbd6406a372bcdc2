"""What operators did, the newest first, with the names that they have now."""

from __future__ import annotations

from dataclasses import dataclass

from web.core.models import Profile
from web.payments.models import OperatorAction

PAGE = 50


@dataclass(frozen=True, slots=True)
class Told:
    """An action and who it was."""

    action: OperatorAction
    who: str


def newest(*, limit: int = PAGE, before: int | None = None) -> list[Told]:
    """Return the newest actions, or those older than one of them (its id)."""
    rows = OperatorAction.objects.select_related("business", "payment").order_by("-id")
    if before is not None:
        rows = rows.filter(id__lt=before)
    entries = list(rows[:limit])
    ids = {number for entry in entries if (number := _profile_id(entry.actor)) is not None}
    names = dict(Profile.objects.filter(id__in=ids).values_list("id", "name"))
    return [Told(entry, names.get(_profile_id(entry.actor) or 0, entry.actor)) for entry in entries]


def _profile_id(actor: str) -> int | None:
    kind, _space, number = actor.partition(" ")
    return int(number) if kind == "operator" and number.isdecimal() else None
