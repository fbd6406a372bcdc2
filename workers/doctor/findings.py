"""What a check found, in words that a person can act on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, and should not stay so
    BROKEN = "broken"  # sales, refunds or their safety suffer
    UNKNOWN = "unknown"  # it could not be looked at; another finding may say why


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `means` and `mend` are empty where all is well."""

    check: str  # servers.redis, stripe.webhook
    state: State
    found: str
    means: str = ""
    mend: str = ""


def well(check: str, found: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(check, State.OK, found)


def warning(check: str, found: str, *, means: str, mend: str) -> Finding:
    """Return that something works and should not stay so."""
    return Finding(check, State.WARNING, found, means, mend)


def broken(check: str, found: str, *, means: str, mend: str) -> Finding:
    """Return that something has to be mended."""
    return Finding(check, State.BROKEN, found, means, mend)


def unknown(check: str, found: str, *, mend: str = "") -> Finding:
    """Return that something could not be looked at."""
    return Finding(check, State.UNKNOWN, found, "It could not be looked at.", mend)
