"""Faults on request: what can go wrong between a client and Stripe, made to happen on purpose.

One mechanism: a fault has a kind, a match and a budget (``times``, or a probability with a seed). Where it
strikes is
a property of its kind; a new kind is one line here and one where its stage is handled.
"""

import random
import re
from dataclasses import dataclass, field
from typing import Any

from sandbox import cards
from sandbox.errors import StripeError, invalid, server_error
from sandbox.ids import token

#: Kind -> the stage at which it strikes: before the effect, while it runs, after it, or at a webhook's try.
STAGES = {
    "latency": "latency",
    "reset_before": "before",
    "timeout_before": "before",
    "error_500_before": "before",
    "rate_limit_429": "before",
    "lock_timeout_429": "before",
    "reset_after": "after",
    "timeout_after": "after",
    "error_500_after": "after",
    "truncated_body": "after",
    "garbage_200": "after",
    "webhook_before_answer": "after",
    "reader_offline": "reader",
    "reader_busy": "reader",
    "reader_timeout": "reader",
    "reader_timeout_accepted": "reader",
    "reader_stuck": "reader_action",
    "reader_customer_cancels": "reader_action",
    "reader_replaced": "reader_action",
    "reader_declines": "card",
    "reader_connection_error": "card",
    "refund_fails_later": "refund",
    "dispute_before_refund": "refund",
    "webhook_drop": "webhook",
    "webhook_delay": "webhook",
    "webhook_reorder": "webhook",
    "webhook_double": "webhook",
    "webhook_bad_signature": "webhook",
}


_MATCHES = frozenset({"method", "path", "operation", "account", "card", "type", "reader"})


@dataclass
class Fault:
    """One fault: what, to whom, and how often."""

    kind: str
    match: dict[str, str]
    times: int | None = 1
    probability: float = 1.0
    seed: int = 0
    ms: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"fault_{token(12)}")
    struck: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable on purpose, guards nothing
        self._path = re.compile(self.match["path"]) if "path" in self.match else None

    def strikes(self, facts: dict[str, str]) -> bool:
        """Return whether the fault hits this request, and count it when it does."""
        if self.times is not None and self.struck >= self.times:
            return False
        for name, wanted in self.match.items():
            if name == "path":
                if self._path is None or not self._path.search(facts.get("path", "")):
                    return False
            elif facts.get(name, "").lower() != wanted.lower():
                return False
        if self.probability < 1.0 and self._random.random() >= self.probability:
            return False
        self.struck += 1
        return True

    def shown(self) -> dict[str, Any]:
        """Return the fault as the control API shows it."""
        return {"id": self.id, "kind": self.kind, "match": self.match, "times": self.times, "seed": self.seed,
                "probability": self.probability, "ms": self.ms,
                "struck": self.struck, **self.options}  # fmt: skip


class Faults:
    """The faults in force. They are not kept across a restart: a fresh process is a healthy one."""

    def __init__(self) -> None:
        self.active: list[Fault] = []

    def add(self, wanted: dict[str, Any]) -> Fault:
        """Arm a fault from the control API's JSON; raises a 400 for what it does not know."""
        kind = wanted.get("kind")
        if kind not in STAGES:
            raise invalid(f"Unknown fault: {kind!r}. Known: {', '.join(sorted(STAGES))}", "kind")
        match = wanted.get("match") or {}
        if not isinstance(match, dict) or set(match) - _MATCHES:
            raise invalid(
                "match may have: method, path (regex), operation, account, card, reader, type (of event)",
                "match",
            )
        probability = float(wanted.get("probability", 1.0))
        if not 0.0 <= probability <= 1.0:
            raise invalid("probability must be from 0 to 1", "probability")
        times = wanted.get("times", None if "probability" in wanted else 1)
        known = {"kind", "match", "times", "probability", "seed", "ms"}
        try:
            fault = Fault(
                kind=str(kind),
                match={name: _wanted(name, str(value)) for name, value in match.items()},
                times=None if times is None else int(times),
                probability=probability,
                seed=int(wanted.get("seed", 0)),
                ms=int(wanted.get("ms", 0)),
                options={name: value for name, value in wanted.items() if name not in known},
            )
        except re.error:
            raise invalid("match.path is not a regular expression", "match") from None
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm all of them."""
        self.active.clear()

    def remove(self, fault_id: str) -> bool:
        """Disarm one; returns whether there was such a fault."""
        left = [fault for fault in self.active if fault.id != fault_id]
        found = len(left) < len(self.active)
        self.active = left
        return found

    def ask_for_card(self) -> bool:
        """Return whether a fault in force wants to know the card."""
        return any("card" in fault.match for fault in self.active)

    def strike(self, stage: str, facts: dict[str, str]) -> list[Fault]:
        """Return the faults that hit at a stage, each counted."""
        if not self.active:
            return []
        return [fault for fault in self.active if STAGES[fault.kind] == stage and fault.strikes(facts)]


def _wanted(name: str, value: str) -> str:
    """Return what a match compares with: a card's number stands for its name."""
    if name == "card" and (card := cards.by_number(value) or cards.by_test_id(value)) is not None:
        return card.name
    return value


def refusal(fault: Fault) -> StripeError | None:
    """Return the error answer of the kinds that are one, else None."""
    retry = {}
    if "should_retry" in fault.options:
        retry = {"Stripe-Should-Retry": "true" if fault.options["should_retry"] else "false"}
    if fault.kind == "error_500_before":
        error = server_error(executed=False)
    elif fault.kind == "error_500_after":
        error = server_error(executed=True)
    elif fault.kind == "rate_limit_429":
        error = StripeError(
            429,
            "Request rate limit exceeded. Learn more about rate limits here "
            "https://stripe.com/docs/rate-limits.",
            code="rate_limit",
            headers={"Stripe-Rate-Limited-Reason": str(fault.options.get("reason", "endpoint-rate"))},
        )
        if fault.options.get("reason", "") is None:
            error.headers.clear()
    elif fault.kind == "lock_timeout_429":
        error = lock_timeout()
    else:
        return None
    error.headers.update(retry)
    return error


def lock_timeout() -> StripeError:
    """Return the 429 of two writes to one object at once."""
    return StripeError(
        429,
        "This object cannot be accessed right now because another API request or Stripe process is currently "
        "accessing it. If you see this error intermittently, retry the request.",
        code="lock_timeout",
    )
