"""What we refuse, said so that a person can act on it: what happened, whether money moved, what to do next.

Each operation defines its own refusals beside itself, on this base.
"""

from __future__ import annotations

import enum
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Kind(enum.Enum):
    """What sort of refusal it is; a room that speaks HTTP turns it into a status."""

    INVALID = "invalid"  # the request itself makes no sense
    MISSING = "missing"  # there is no such thing, or not in this business
    CONFLICT = "conflict"  # it makes sense, but not now
    UNAVAILABLE = "unavailable"  # it will work once something of ours is set up or back


class Refusal(Exception):
    """An operation was refused and changed nothing, unless `money_moved` says otherwise."""

    code: ClassVar[str] = "refused"
    kind: ClassVar[Kind] = Kind.INVALID
    message: str | Promise = _("This cannot be done.")
    next_step: str | Promise = ""
    money_moved: bool | None = False  # None: this request cannot know

    def __init__(self, message: str | Promise | None = None, **details: object) -> None:
        if message is not None:
            self.message = message
        self.details = details  # extra facts for a program, such as the new total
        super().__init__(str(self.message))
