"""The arithmetic of buckets and breakers, on plain values: what is decided, with the time as a parameter.

`shared.py` has the same in Lua, for all workers together; a test holds the two against each other.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

BURST_SHARE = 0.2  # of a second's budget; with the refill below no second ever sees more than the budget
SWEEPS_LEAVE = 0.4  # of the burst: what sweeps never take, so that a person's call finds some
LONGEST_SLOT_SECONDS = 300.0

FIRST_DRAIN_SECONDS = 0.5
LONGEST_DRAIN_SECONDS = 30.0
DRAINS_FORGOTTEN_AFTER_SECONDS = 60.0

FAILURES_TO_OPEN = 4  # in a row: with calls that time out after 20 s, one job's own tries are enough
FAILURES_WITHIN_SECONDS = 120.0
FIRST_OPEN_SECONDS = 5.0
LONGEST_OPEN_SECONDS = 120.0
PROBE_SECONDS = 30.0  # longer than a call can take (settings); then another may try
RECHECK_SECONDS = 1.0  # while somebody else's probe is under way


class Verdict(enum.Enum):
    """What a caller is told."""

    GO = "go"
    PROBE = "probe"  # go, and what comes of it decides whether the breaker closes
    WAIT = "wait"  # the budget is used up
    OPEN = "open"  # Stripe does not answer for this account


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that somebody wants to make."""

    key: str
    endpoint: str
    per_second: float
    per_second_and_endpoint: float
    is_sweep: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer. `seconds`: until it is worth asking again. `failures`: how many there were in a row."""

    verdict: Verdict
    seconds: float = 0.0
    failures: int = 0
    is_local: bool = False  # this process decided alone: Redis was away


@dataclass(frozen=True, slots=True)
class Opened:
    """The breaker is open, for how long, and whether it opened just now."""

    seconds: float
    is_new: bool


def burst(per_second: float) -> float:
    """Return how many calls may be made at once."""
    return max(1.0, per_second * BURST_SHARE)


def refill(per_second: float) -> float:
    """Return how many calls a second come back."""
    return per_second * (1 - BURST_SHARE)


def needed(per_second: float, *, is_sweep: bool) -> float:
    """Return how many tokens must be there for one to be taken."""
    return 1.0 + (int(burst(per_second) * SWEEPS_LEAVE) if is_sweep else 0)


@dataclass(slots=True)
class Bucket:
    """Tokens as they were at a time; a time in the future means: drained until then."""

    tokens: float
    at: float
    level: int = 0  # how often it was drained of late
    drained_at: float = 0.0

    def count(self, per_second: float, now: float) -> tuple[float, float]:
        """Return the tokens and the time that they are of, as of now."""
        if now <= self.at:
            return self.tokens, self.at
        return min(burst(per_second), self.tokens + (now - self.at) * refill(per_second)), now

    def wait(self, per_second: float, now: float, *, is_sweep: bool) -> float:
        """Return in how many seconds a call may be made."""
        tokens, at = self.count(per_second, now)
        return max(0.0, at - now) + max(0.0, needed(per_second, is_sweep=is_sweep) - tokens) / refill(
            per_second
        )

    def take(self, per_second: float, now: float) -> None:
        """Take one token."""
        tokens, at = self.count(per_second, now)
        self.tokens, self.at = tokens - 1, at

    def drain(self, now: float) -> float:
        """Empty it for a moment that grows; calls in flight that all hear 429 count once. Return the moment."""
        if self.at > now:
            return self.at - now
        if now - self.drained_at > DRAINS_FORGOTTEN_AFTER_SECONDS:
            self.level = 0
        self.level += 1
        seconds = min(FIRST_DRAIN_SECONDS * 2.0 ** (self.level - 1), LONGEST_DRAIN_SECONDS)
        self.tokens, self.at, self.drained_at = 0.0, now + seconds, now
        return seconds


@dataclass(slots=True)
class Breaker:
    """An account's health: failures in a row, and until when no call is made."""

    failures: int = 0
    since: float = 0.0
    open_until: float | None = None
    probe_until: float = 0.0
    probes: int = 0

    def look(self, now: float) -> tuple[Verdict, float]:
        """Say whether a call may be made."""
        if self.open_until is None:
            return Verdict.GO, 0.0
        if now < self.open_until:
            return Verdict.OPEN, self.open_until - now
        if now < self.probe_until:
            return Verdict.OPEN, RECHECK_SECONDS
        return Verdict.PROBE, 0.0

    def fail(self, now: float, *, is_probe: bool) -> Opened | None:
        """Count a failure; return that it is open, if it is."""
        if self.open_until is not None:
            if is_probe:
                self.probes += 1
                seconds = min(FIRST_OPEN_SECONDS * 2.0**self.probes, LONGEST_OPEN_SECONDS)
                self.open_until, self.probe_until = now + seconds, 0.0
            return Opened(max(self.open_until - now, RECHECK_SECONDS), is_new=False)
        if self.failures == 0 or now - self.since > FAILURES_WITHIN_SECONDS:
            self.failures, self.since = 0, now
        self.failures += 1
        if self.failures < FAILURES_TO_OPEN:
            return None
        self.open_until, self.probe_until, self.probes = now + FIRST_OPEN_SECONDS, 0.0, 0
        return Opened(FIRST_OPEN_SECONDS, is_new=True)


class Ledger:
    """All buckets and breakers of one process. `share` of every budget is its own."""

    def __init__(self, share: float = 1.0) -> None:
        self.share = share
        self.buckets: dict[str, Bucket] = {}
        self.breakers: dict[str, Breaker] = {}
        self.slots: dict[tuple[str, bool], float] = {}

    def admit(self, ask: Ask, *, patience: float, now: float) -> Admission:
        """Decide; a caller that will not wait so long is told when its turn comes."""
        breaker = self.breakers.setdefault(ask.key, Breaker())
        verdict, seconds = breaker.look(now)
        if verdict is Verdict.OPEN:
            return Admission(verdict, seconds, breaker.failures)
        wanted = (
            (ask.key, max(1.0, ask.per_second * self.share)),
            (f"{ask.key} {ask.endpoint}", max(1.0, ask.per_second_and_endpoint * self.share)),
        )
        wait = 0.0
        for name, per_second in wanted:
            bucket = self.buckets.setdefault(name, Bucket(burst(per_second), now))
            wait = max(wait, bucket.wait(per_second, now, is_sweep=ask.is_sweep))
        if wait > 0:
            if wait > patience:
                wait = self._slot(ask, min(rate for _name, rate in wanted), wait, now)
            return Admission(Verdict.WAIT, wait, breaker.failures)
        for name, per_second in wanted:
            self.buckets[name].take(per_second, now)
        if verdict is Verdict.PROBE:
            breaker.probe_until = now + PROBE_SECONDS
        return Admission(verdict, 0.0, breaker.failures)

    def _slot(self, ask: Ask, per_second: float, wait: float, now: float) -> float:
        """Give each that is turned away its own time: a crowd that came back at once would be turned away again."""
        slot = max(self.slots.get((ask.key, ask.is_sweep), 0.0), now + wait)
        if slot - now > LONGEST_SLOT_SECONDS:
            slot = now + wait
        self.slots[ask.key, ask.is_sweep] = slot + 1 / refill(per_second)
        return slot - now

    def drain(self, key: str, endpoint: str, *, now: float) -> float:
        """Empty the account's bucket, or an endpoint's."""
        name = f"{key} {endpoint}" if endpoint else key
        return self.buckets.setdefault(name, Bucket(0.0, now)).drain(now)

    def failed(self, key: str, *, is_probe: bool, now: float) -> Opened | None:
        """Count a failure of the account."""
        return self.breakers.setdefault(key, Breaker()).fail(now, is_probe=is_probe)

    def answered(self, key: str) -> bool:
        """Forget the account's failures; return whether its breaker was open."""
        breaker = self.breakers.pop(key, None)
        return breaker is not None and breaker.open_until is not None
