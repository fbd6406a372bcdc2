"""Idempotency keys: per account, checked once the request was understood, kept 24 hours by the clock."""

import hashlib
from collections import deque
from dataclasses import dataclass

import orjson

from sandbox.errors import StripeError
from sandbox.store import Row
from sandbox.world import Obj, World

KEPT_SECONDS = 24 * 3600  # Stripe: "at least 24 hours"
MAX_KEY = 255
IN_MEMORY = 5_000  # answers; older ones are read back from the file


@dataclass(frozen=True)
class Saved:
    """The answer first given to a key."""

    path: str
    fingerprint: str
    status: int
    body: bytes
    request_id: str
    created: float


class Keys:
    """What each key was first used for, and which are being executed now."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._saved: dict[tuple[str, str], Saved] = {}
        self._age: deque[tuple[int, tuple[str, str]]] = deque()
        self._running: set[tuple[str, str]] = set()
        self._marks: deque[tuple[float, int]] = deque()
        #: Whether the file may have what memory has not.
        self._some_on_file = world.store.can_read and world.store.has_any("key")

    def begin(self, account: str, key: str, path: str, fingerprint: str) -> Saved | None:
        """Take a key: None when it is new, the saved answer for a repeat; 409 while the first one runs."""
        if len(key) > MAX_KEY:
            raise StripeError(400, f"Idempotency keys can be at most {MAX_KEY} characters long.",
                              kind="idempotency_error")  # fmt: skip
        saved = self._saved.get((account, key)) or self._read(account, key)
        if saved is not None and self._world.clock.now() - saved.created >= KEPT_SECONDS:
            self._saved.pop((account, key), None)
            saved = None
        if saved is not None:
            if saved.path != path:
                raise StripeError(
                    400,
                    "Keys for idempotent requests can only be used for the same endpoint they were first "
                    "used for "
                    f"('{path}' vs '{saved.path}'). Try using a key other than '{key}' if you meant to "
                    f"execute a "
                    "different request.",
                    kind="idempotency_error",
                )
            if saved.fingerprint != fingerprint:
                raise StripeError(
                    400,
                    "Keys for idempotent requests can only be used with the same parameters they were first "
                    "used "
                    f"with. Try using a key other than '{key}' if you meant to execute a different request.",
                    kind="idempotency_error",
                )
            return saved
        if (account, key) in self._running:
            raise StripeError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that probably "
                "means you "
                "submitted twice, and the other request is still going through). Please try again later.",
                kind="idempotency_error",
                code="idempotency_key_in_use",
            )
        self._running.add((account, key))
        return None

    def save(self, account: str, key: str, saved: Saved) -> Row:
        """Remember an answer; returns its row for the commit that also holds the effect."""
        self._saved[account, key] = saved
        store = self._world.store
        self._age.append((store.generation, (account, key)))
        while store.can_read and len(self._age) > IN_MEMORY and self._age[0][0] < store.generation - 1:
            self._saved.pop(self._age.popleft()[1], None)
            self._some_on_file = True
        body: Obj = {**saved.__dict__, "body": saved.body.decode()}
        return ("key", account, key, self._world.next_seq(), orjson.dumps(body))

    def _read(self, account: str, key: str) -> Saved | None:
        """Return an answer that is only in the file: of an earlier process, or one of many."""
        found = self._world.store.read("key", account, key) if self._some_on_file else None
        if found is None:
            return None
        row = orjson.loads(found)
        return Saved(**{**row, "body": row["body"].encode()})

    def prune(self) -> None:
        """Forget the keys of more than a day ago."""
        now = self._world.clock.now()
        self._marks.append((now, self._world.seq))
        for key in [key for key, saved in self._saved.items() if now - saved.created >= KEPT_SECONDS]:
            del self._saved[key]
        last = 0
        while self._marks and now - self._marks[0][0] >= KEPT_SECONDS:
            last = self._marks.popleft()[1]
        if last:
            self._world.store.drop_before("key", last)

    def clear(self) -> None:
        """Forget every key."""
        self._saved.clear()
        self._age.clear()

    def end(self, account: str, key: str) -> None:
        """Give the key back: the next request with it is a replay, or executes when nothing was saved."""
        self._running.discard((account, key))


def fingerprint(params: Obj) -> str:
    """Return a digest of the parameters; their order does not matter."""
    return hashlib.sha256(orjson.dumps(params, option=orjson.OPT_SORT_KEYS)).hexdigest()
