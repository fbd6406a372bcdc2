"""Who did something: the actors of histories and of the audit, people and programs, with the names they have now."""

from __future__ import annotations

from collections.abc import Iterable

from web.core.models import Business, Profile
from web.payments.models import ApiToken

_STAFF = "staff "
_PROGRAM = "token "


def names_of(business: Business, actors: Iterable[str]) -> dict[str, str]:
    """Return the name of every actor that is one of the business's people or programs; the others are neither."""
    actors = list(actors)
    ids = _ids(actors, _STAFF)
    names = dict(Profile.objects.filter(business=business, id__in=ids.values()).values_list("id", "name"))
    named = {actor: names[number] for actor, number in ids.items() if number in names}
    if programs := _ids(actors, _PROGRAM):
        tokens = ApiToken.objects.filter(business=business, id__in=programs.values())
        called = {token.id: f"{token.name} ({token})" for token in tokens}
        named |= {actor: called[number] for actor, number in programs.items() if number in called}
    return named


def _ids(actors: Iterable[str], kind: str) -> dict[str, int]:
    return {actor: int(number) for actor in actors if (number := actor.removeprefix(kind)) != actor}
