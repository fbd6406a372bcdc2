"""Who did something: the actors of histories and of the audit, with the names that people have now."""

from __future__ import annotations

from collections.abc import Iterable

from web.core.models import Business, Profile

_STAFF = "staff "


def names_of(business: Business, actors: Iterable[str]) -> dict[str, str]:
    """Return the name of every actor that is one of the business's people; the others are not persons."""
    ids = {actor: int(number) for actor in actors if (number := actor.removeprefix(_STAFF)) != actor}
    names = dict(Profile.objects.filter(business=business, id__in=ids.values()).values_list("id", "name"))
    return {actor: names[number] for actor, number in ids.items() if number in names}
