"""Stripe's budget and Stripe's health, shared by every worker: may this call be made now, by this job?

Every call passes here (tasks/gateway/stripe_api.py). A job that is turned away is put off without using up a
try: it did nothing wrong. Who asks is known from the job that runs: people may take the last of the budget,
sweeps leave a reserve for them.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.utils import timezone

from tasks.limits.rules import Admission, Ask, Opened, Verdict
from tasks.limits.shared import Limits
from tasks.tally import tally
from web.core import metrics
from web.payments.jobs import PERSON_WAITS, TryAgain
from web.payments.models import StripeAccount
from web.payments.operations import accounts

PATIENCE_SECONDS = (
    0.8  # a person's call waits this long for its turn; then its thread is worth more to others
)
SWEEP_PATIENCE_SECONDS = 3.0  # and one of a sweep that has begun: put off, it would begin anew each time
LOCK_SECONDS = 1.0  # another request holds the object at Stripe: it is over soon

log = structlog.get_logger(__name__)


class TurnedAway(TryAgain):
    """The call was not made: the budget is used up, or Stripe is known not to answer. Nothing happened."""


@dataclass(slots=True)
class Excuse:
    """Why a job could not do its work, and when it may: no fault of the job's."""

    reason: str
    seconds: float


@dataclass(slots=True)
class Caller:
    """The job at hand: who waits for it, how many of its calls were let through, and what the last one met."""

    priority: int = PERSON_WAITS
    calls: int = 0
    excuse: Excuse | None = None

    @property
    def is_sweep(self) -> bool:
        return self.priority > PERSON_WAITS

    def patience(self) -> float:
        """Return for how many seconds its next call may wait for its turn."""
        if not self.is_sweep:
            return PATIENCE_SECONDS
        return SWEEP_PATIENCE_SECONDS if self.calls else 0.0


_caller: contextvars.ContextVar[Caller | None] = contextvars.ContextVar("paydesk_caller", default=None)


@contextlib.contextmanager
def job(*, priority: int) -> Iterator[Caller]:
    """Let the calls within be this job's."""
    caller = Caller(priority)
    token = _caller.set(caller)
    try:
        yield caller
    finally:
        _caller.reset(token)


@dataclass(frozen=True, slots=True)
class Budget:
    """What one account may ask of Stripe. `key` is the same for all rows of one account at Stripe."""

    row_id: int
    key: str
    per_second: int
    per_second_and_endpoint: int


def budget_of(account: StripeAccount) -> Budget:
    """Return the account's budget: its own figures where it has some, else the defaults."""
    default = settings.STRIPE_CALLS_PER_SECOND if account.is_live else settings.STRIPE_TEST_CALLS_PER_SECOND
    mode = "live" if account.is_live else "test"
    return Budget(
        row_id=account.id,
        key=f"{account.account_id}:{mode}" if account.account_id else f"row:{account.id}",
        per_second=account.calls_per_second or default,
        per_second_and_endpoint=account.calls_per_second_and_endpoint
        or settings.STRIPE_CALLS_PER_SECOND_AND_ENDPOINT,
    )


_limits = Limits()


@dataclass(slots=True)
class Call:
    """One call that was let through; whoever made it says how it ended."""

    budget: Budget
    endpoint: str
    caller: Caller
    admission: Admission
    _began: float = field(default_factory=time.monotonic)

    def answered(
        self, *, status: int, limited_by: str = "", is_lock: bool = False, is_replay: bool = False
    ) -> None:
        """Note an answer. 429 drains the budget for a moment; 5xx counts against Stripe's health."""
        if status >= 500 and not is_replay:  # a replayed 500 is what a key keeps, no news of today
            self.failed()
            return
        self._count(limited=int(status == 429 and not is_lock))
        if status == 429 and is_lock:
            self.caller.excuse = Excuse("object_in_use", LOCK_SECONDS)
        elif status == 429:
            # "global-rate", "global-concurrency" are the account's; all else, and silence, the endpoint's.
            endpoint = "" if limited_by.startswith("global") else self.endpoint
            seconds = _limits.drain(self.budget.key, endpoint)
            self.caller.excuse = Excuse("stripe_busy", seconds)
            log.warning("stripe.limited", account=self.budget.key, by=limited_by, endpoint=self.endpoint)
        if _limits.answered(self.budget.key, self.admission):
            log.info("breaker.closed", account=self.budget.key)
            accounts.note_silence(stripe_account_id=self.budget.row_id, since=None)

    def failed(self) -> None:
        """Note that no answer came, or that Stripe said that it is not well."""
        self._count(errors=1)
        opened = _limits.failed(self.budget.key, self.admission)
        if opened is not None:
            self.caller.excuse = Excuse("stripe_unavailable", opened.seconds)
            _tell(self.budget, opened)

    def _count(self, **counts: int) -> None:
        took = round((time.monotonic() - self._began) * 1000)
        tally.call(self.budget.row_id, calls=1, milliseconds=took, **counts)


def _tell(budget: Budget, opened: Opened) -> None:
    if opened.is_new:
        metrics.BREAKERS_OPENED.inc()
        log.error("breaker.opened", account=budget.key, seconds=round(opened.seconds, 1))
        accounts.note_silence(stripe_account_id=budget.row_id, since=timezone.now())


def begin(budget: Budget, endpoint: str) -> Call:
    """Take a call's share of the budget, or raise TurnedAway.

    A person's call waits a moment for its turn. A sweep's first call does not, since its job may as well come back;
    its later ones do: a job that needs more calls than are there at once would never end.
    """
    caller = _caller.get() or Caller()
    caller.excuse = None  # what an earlier call of the job met was got over
    ask = Ask(
        budget.key, endpoint, budget.per_second, budget.per_second_and_endpoint, is_sweep=caller.is_sweep
    )
    deadline = time.monotonic() + caller.patience()
    while True:
        left = deadline - time.monotonic()
        admission = _limits.admit(ask, patience=max(left, 0.0))
        if admission.verdict in (Verdict.GO, Verdict.PROBE):
            caller.calls += 1
            return Call(budget, endpoint, caller, admission)
        if admission.verdict is Verdict.OPEN:
            caller.excuse = Excuse("stripe_unavailable", admission.seconds)
            tally.call(budget.row_id, turned_away=1)
            metrics.STRIPE_TURNED_AWAY.labels("stripe_unavailable").inc()
            raise TurnedAway("stripe_unavailable")
        if admission.seconds > left:
            caller.excuse = Excuse("over_budget", admission.seconds)
            tally.call(budget.row_id, turned_away=1)
            metrics.STRIPE_TURNED_AWAY.labels("over_budget").inc()
            raise TurnedAway("over_budget")
        time.sleep(admission.seconds)


def seconds_shut(account_id: int | None) -> float:
    """Return for how long no call of this account (our row's id) is let through; 0 where one may be tried.

    Asked before a job begins, so that it does not write down that it asks for what cannot be asked.
    """
    if account_id is None:
        return 0.0
    return _limits.seconds_shut(_key_of(account_id, int(time.monotonic() // 60)))


@functools.lru_cache(maxsize=4096)
def _key_of(account_id: int, _minute: int) -> str:
    account = StripeAccount.objects.only("account_id", "is_live").get(id=account_id)
    return budget_of(account).key


def is_shut(account: StripeAccount) -> bool:
    """Return whether the account's breaker is open, or half open: no call has gone well since it opened."""
    return _limits.is_open(budget_of(account).key)


def delay(excuse: Excuse, *, put_offs: int) -> float:
    """Return in how many seconds an excused job runs again: its turn, and a little jitter.

    Where its turn is only guessed, the guess grows with each time that it was wrong.
    """
    seconds = excuse.seconds
    if excuse.reason == "object_in_use":
        seconds *= 2 ** min(put_offs, 5)
    return max(seconds, 0.1) + random.uniform(0, 0.2 + seconds / 10)  # noqa: S311 - spreads load


_VERSION = re.compile(r"^https?://[^/]+/v\d+/")
_ID = re.compile(r"[A-Z0-9]|^(?:acct|tmr|tml)_")  # names of resources have lower-case letters and "_" alone


def endpoint_of(method: str, url: str) -> str:
    """Return what Stripe counts as one endpoint: method and path, with every id left out."""
    path = _VERSION.sub("", url).split("?", 1)[0]
    return f"{method.upper()} " + "/".join("-" if _ID.search(part) else part for part in path.split("/"))
