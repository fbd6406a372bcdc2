"""A person at a simulated reader, over the sandbox's controls: looks at its screen, taps, declines, cancels, unplugs.

Like `stack.customer` it knows nothing of ours: for tests, the demo and the chaos runs. ``Reader.everyone`` finds all of
an account's; ``register`` makes one as a studio's owner would, with the studio's key.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

import requests

PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.05
How = Literal["tap", "insert", "swipe"]
Outcome = Literal["pay", "decline", "cancel", "walk_away", "unplug"]


class Unexpected(Exception):
    """The reader did not show, or do, what the person expected of it."""


@dataclass(frozen=True)
class Screen:
    """What a reader shows: ``asks`` is nothing, tip, card, authorising, input or cart."""

    asks: str
    amount: int | None
    currency: str | None
    tip: int | None
    tips: tuple[int, ...]
    can_cancel: bool
    plugged_in: bool
    status: str
    payment_intent: str | None
    setup_intent: str | None
    refund_of: str | None
    action_status: str | None
    failure_code: str | None
    run: str


class Reader:
    """One reader and the person in front of it."""

    def __init__(self, *, sandbox: str, id: str) -> None:  # noqa: A002 - Stripe's own word
        self._sandbox, self.id = sandbox.rstrip("/"), id
        self._http = requests.Session()

    @classmethod
    def register(
        cls,
        *,
        sandbox: str,
        key: str,
        label: str = "Front desk",
        location: str | None = None,
        code: str = "simulated-wpe",
    ) -> Reader:
        """Register a simulated reader with a secret key, at a location or at a new one."""
        base, head = sandbox.rstrip("/"), {"Authorization": f"Bearer {key}"}
        if location is None:
            place = {"display_name": label, "address[line1]": "1 Main Street", "address[city]": "Seattle",
                     "address[state]": "WA", "address[postal_code]": "98101", "address[country]": "US"}  # fmt: skip
            location = cls._post(f"{base}/v1/terminal/locations", head, place)["id"]
        form = {"registration_code": code, "label": label, "location": location}
        return cls(sandbox=base, id=cls._post(f"{base}/v1/terminal/readers", head, form)["id"])

    @staticmethod
    def _post(url: str, headers: dict[str, str], form: dict[str, str]) -> dict[str, Any]:
        response = requests.post(url, data=form, headers=headers, timeout=30)
        if response.status_code != 200:
            raise Unexpected(f"POST {url}: {response.status_code} {response.text[:200]}")
        answer: dict[str, Any] = response.json()
        return answer

    @classmethod
    def everyone(cls, *, sandbox: str, account: str) -> list[Reader]:
        """Return every reader of an account (the middle of its keys: ``sk_test_{account}_…``), oldest first."""
        response = requests.get(f"{sandbox.rstrip('/')}/_sandbox/readers/{account}", timeout=30)
        response.raise_for_status()
        return [cls(sandbox=sandbox, id=one["id"]) for one in response.json()["data"]]

    # -- looking ----------------------------------------------------------------------------------------------------

    def screen(self) -> Screen:
        """Look at the reader."""
        return self._shown(self._do("GET", "screen"))

    def wait_until(self, asks: str, *, of: str | None = None, seconds: float = PATIENCE_SECONDS) -> Screen:
        """Look until the reader asks for that, for the intent ``of`` when it is named; return its screen."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self.screen()
            if seen.asks == asks and of in (None, seen.payment_intent, seen.setup_intent):
                return seen
            if time.monotonic() > deadline:
                raise Unexpected(
                    f"after {seconds:.0f} s {self.id} asks for {seen.asks}, not for {asks}: {seen}"
                )
            time.sleep(LOOK_SECONDS)

    def wait_until_asked(self, *, of: str | None = None, seconds: float = PATIENCE_SECONDS) -> Screen:
        """Wait until the reader wants a card; a tip that it offers first is not given."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self.screen()
            if of in (None, seen.payment_intent, seen.setup_intent):
                if seen.asks == "card":
                    return seen
                if seen.asks == "tip":
                    self.give_tip(0)
                    continue
            if time.monotonic() > deadline:
                raise Unexpected(
                    f"after {seconds:.0f} s {self.id} asks for {seen.asks}, not for a card: {seen}"
                )
            time.sleep(LOOK_SECONDS)

    # -- touching ---------------------------------------------------------------------------------------------------

    def tap(
        self, card: str | None = "visa", *, how: How = "tap", tip: int | None = None, processing_ms: int = 0
    ) -> Screen:
        """Present a card, by the sandbox's name or its number; with None the amount's last two digits decide.

        ``processing_ms`` is how long the bank takes; meanwhile the reader is busy (see ``finish``).
        """
        given = {"card": card, "how": how, "tip": tip, "processing_ms": processing_ms}
        return self._shown(self._do("POST", "present", **given))

    def insert(self, card: str = "visa", **rest: Any) -> Screen:
        """Put a card into the reader."""
        return self.tap(card, how="insert", **rest)

    def swipe(self, card: str = "visa", **rest: Any) -> Screen:
        """Draw a card through the reader."""
        return self.tap(card, how="swipe", **rest)

    def decline(self, card: str = "chargeDeclined", **rest: Any) -> Screen:
        """Present a card that its bank refuses."""
        return self.tap(card, **rest)

    def give_tip(self, amount: int) -> Screen:
        """Choose a tip in the smallest unit, 0 for none; then the reader asks for the card."""
        return self._shown(self._do("POST", "tip", amount=amount))

    def cancel(self) -> Screen:
        """Press the cancel button; raises ``Unexpected`` where the action shows none."""
        return self._shown(self._do("POST", "cancel"))

    def finish(self) -> Screen:
        """Let the bank answer now."""
        return self._shown(self._do("POST", "finish"))

    def answer(self, *values: str | None) -> Screen:
        """Answer what the reader asks, one value for each input; None skips."""
        return self._shown(self._do("POST", "answer", values=list(values)))

    def unplug(self) -> Screen:
        """Take the reader off the net."""
        return self._shown(self._do("POST", "unplug"))

    def plug_in(self) -> Screen:
        """Bring it back."""
        return self._shown(self._do("POST", "plug_in"))

    def take_for_another_till(self) -> Screen:
        """Let other software replace what the reader waits with, as Stripe lets it."""
        return self._shown(self._do("POST", "replace"))

    def tap_by_itself(
        self,
        *,
        after_ms: int = 800,
        processing_ms: int = 0,
        outcomes: dict[Outcome, float] | None = None,
        tips: list[int] | None = None,
        seed: int = 0,
    ) -> Screen:
        """Let somebody stand at the reader all day: every action ends by itself, with outcomes by weight."""
        given = {"after_ms": after_ms, "processing_ms": processing_ms, "outcomes": outcomes or {"pay": 1},
                 "tips": tips or [0], "seed": seed}  # fmt: skip
        return self._shown(self._do("POST", "auto", **given))

    def leave_alone(self) -> Screen:
        """Send that somebody away."""
        return self._shown(self._do("POST", "auto", off=True))

    # -- plumbing ---------------------------------------------------------------------------------------------------

    def _do(self, method: str, what: str, **given: Any) -> dict[str, Any]:
        response = self._http.request(
            method, f"{self._sandbox}/_sandbox/readers/{self.id}/{what}", json=given or None, timeout=30
        )
        if response.status_code != 200:
            raise Unexpected(f"{what}: {response.status_code} {response.text[:300]}")
        answer: dict[str, Any] = response.json()
        return answer

    @staticmethod
    def _shown(told: dict[str, Any]) -> Screen:
        names = [name for name in Screen.__dataclass_fields__ if name != "tips"]
        return Screen(
            **{name: told[name] for name in names}, tips=tuple(one["amount"] for one in told["tips"])
        )


def tap_all_by_themselves(*, sandbox: str, account: str, **person: Any) -> int:
    """Let somebody stand at every reader of an account (see ``Reader.tap_by_itself``); return how many there are."""
    url = f"{sandbox.rstrip('/')}/_sandbox/accounts/{account}/auto_readers"
    response = requests.post(url, json=person or {"after_ms": 800}, timeout=60)
    if response.status_code != 200:
        raise Unexpected(f"auto_readers: {response.status_code} {response.text[:300]}")
    return int(response.json()["readers"])
