"""The working set: every account's objects in memory, changed only through a transaction.

Stored objects are never mutated: a change makes a new dictionary. So an event may share its snapshot with the
book,
and a transaction that is refused leaves no trace. Operations run without awaiting, hence one at a time.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import orjson

from sandbox import API_VERSION
from sandbox.clock import Clock
from sandbox.errors import missing
from sandbox.ids import kind_of, new_id, token
from sandbox.shelves import Book, Obj, Shelf
from sandbox.store import Row, Store

__all__ = ["Book", "Obj", "Shelf", "Tx", "World", "request_id"]

#: Kinds of which there are few, and which every event looks at: they stay in memory.
_ALWAYS_HOT = frozenset({"webhook_endpoint", "payment_method_domain"})


class World:
    """All accounts, the clock and the file they are kept in."""

    def __init__(self, store: Store, clock: Clock, hot_objects: int) -> None:
        self.store = store
        store.on_settled = self._cool
        self._hot_objects = hot_objects
        self._hot: deque[tuple[int, Shelf, Obj]] = deque()
        self.clock = clock
        self.books: dict[str, Book] = {}
        self._seq = 0
        #: Called with (account, event) inside a commit; returns the rows of the deliveries it planned.
        self.on_event: Callable[[str, Obj], list[Row]] = lambda _account, _event: []
        #: Called with (due, account, job, object id) inside a commit; returns the rows of the timer.
        self.on_timer: Callable[[float, str, str, str], list[Row]] = lambda *_: []
        #: Of (account, event id): how many deliveries are pending, and whether the others all succeeded.
        self.fate: Callable[[str, str], tuple[int, bool]] = lambda _account, _event: (0, True)
        #: Of (stage, facts): the faults that strike there, each counted.
        self.strike: Callable[[str, dict[str, str]], list[Any]] = lambda _stage, _facts: []
        #: How many endpoints would hear of an event, which the event itself says.
        self.listeners: Callable[[str, str], int] = lambda _account, _kind: 0

    def load(self) -> None:
        """Read back what there is in every account; bodies stay in the file where they can."""
        for account, object_id, seq, body in self.store.scan("object"):
            self._seq = max(self._seq, seq)
            kind = kind_of(object_id)
            if kind == "event" and self.store.can_read:  # found by nothing but its id: its body can wait
                self.book(account).shelf(kind).stand(object_id, seq)
            else:
                obj = orjson.loads(body)
                self.put(self.book(account), obj["object"], obj, seq)
                self._cool(self.store.generation)
        for book in self.books.values():
            for shelf in book.shelves.values():
                shelf.sort()

    def put(self, book: Book, kind: str, obj: Obj, seq: int) -> None:
        """Put an object into a book and remember its age in memory."""
        shelf = book.put(kind, obj, seq)
        if self.store.can_read and _may_leave(kind):
            self._hot.append((self.store.generation, shelf, obj))

    def _cool(self, settled: int) -> None:
        """Let the oldest objects leave memory that the file has, when there are too many."""
        while len(self._hot) > self._hot_objects and self._hot[0][0] <= settled:
            _, shelf, obj = self._hot.popleft()
            shelf.cool(obj["id"], obj)

    @property
    def in_memory(self) -> int:
        """Return how many objects are kept in memory, besides the few that always are."""
        return sum(
            shelf.in_memory
            for book in self.books.values()
            for kind, shelf in book.shelves.items()
            if _may_leave(kind)
        )

    def clear(self) -> None:
        """Forget every account."""
        self.books.clear()
        self._hot.clear()

    def prune_events(self, oldest: float) -> list[tuple[str, str]]:
        """Forget the events created before ``oldest``; returns the account and id of each."""
        gone = [
            (slug, event_id)
            for slug, book in self.books.items()
            for event_id in book.shelf("event").prune(lambda event: event["created"] < oldest)
        ]
        self.store.write([("object", slug, event_id, 0, None) for slug, event_id in gone])
        return gone

    def book(self, slug: str) -> Book:
        """Return an account's book; the first use of a key opens it."""
        found = self.books.get(slug)
        if found is None:
            found = self.books[slug] = Book(slug, self.store)
        return found

    def next_seq(self) -> int:
        """Return the next number in the order of first writing."""
        self._seq += 1
        return self._seq

    @property
    def seq(self) -> int:
        """Return the number last given."""
        return self._seq

    def begin(self, account: str, **context: Any) -> "Tx":
        """Open a transaction on one account."""
        return Tx(self, self.book(account), **context)


class Tx:
    """One operation's changes: staged, then applied and queued for the file in one step, or dropped."""

    def __init__(
        self,
        world: World,
        book: Book,
        *,
        request_id: str | None = None,
        idempotency_key: str | None = None,
        base_url: str = "",
        publishable: bool = False,
        struck: frozenset[str] = frozenset(),
    ) -> None:
        self.world = world
        self.book = book
        self.request_id = request_id
        self.idempotency_key = idempotency_key
        self.base_url = base_url
        self.publishable = publishable
        #: Where a card is being presented: ``reader``, ``location`` and the ``generated_card`` that is saved of it.
        self.presence: Obj = {}
        #: Faults that change what the operation itself does.
        self.struck = struck
        self.time = world.clock.now()
        self.now = int(self.time)
        self._staged: dict[str, tuple[str, Obj | None]] = {}
        self._events: list[Obj] = []
        self._timers: list[tuple[float, str, str]] = []
        #: The ids of the events that a commit told the world of.
        self.told: list[str] = []

    def get(self, kind: str, object_id: str) -> Obj | None:
        """Return an object as this transaction sees it."""
        staged = self._staged.get(object_id)
        if staged is not None and staged[0] == kind:
            return staged[1]
        return self.book.shelf(kind).get(object_id)

    def need(self, kind: str, object_id: str, param: str | None = None) -> Obj:
        """Return an object or raise ``resource_missing``: 404, or 400 for one named in ``param``."""
        found = self.get(kind, object_id)
        if found is None or (found.get("deleted") and kind == "customer" and param):
            raise missing(kind, object_id, param or "id", 400 if param else 404)
        return found

    def find(self, kind: str, name: str, value: str) -> list[Obj]:
        """Return stored objects by an indexed field, as this transaction sees them."""
        found = [self.get(kind, obj["id"]) for obj in self.book.shelf(kind).find(name, value)]
        return [obj for obj in found if obj is not None and obj.get(name) == value]

    def put(self, obj: Obj) -> Obj:
        """Stage an object."""
        self._staged[obj["id"]] = (obj["object"], obj)
        return obj

    def change(self, obj: Obj, **fields: Any) -> Obj:
        """Stage a copy of an object with some fields replaced."""
        return self.put({**obj, **fields})

    def drop(self, obj: Obj) -> None:
        """Stage the removal of an object."""
        self._staged[obj["id"]] = (obj["object"], None)

    def emit(self, kind: str, obj: Obj, before: Obj | None = None) -> None:
        """Stage an event with a snapshot; ``before`` gives an update its ``previous_attributes``."""
        data: Obj = {"object": obj}
        if before is not None:
            data["previous_attributes"] = {
                name: before.get(name) for name in obj if before.get(name) != obj[name]
            }
        self._events.append(
            {
                "id": new_id("event"),
                "object": "event",
                "api_version": API_VERSION,
                "created": self.now,
                "data": data,
                "livemode": False,
                "pending_webhooks": self.world.listeners(self.book.slug, kind),
                "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
                "type": kind,
            }
        )

    def after(self, seconds: float, job: str, object_id: str) -> None:
        """Stage work for later by the sandbox's clock: a balance transaction, a refund that fails."""
        self._timers.append((self.time + seconds, job, object_id))

    def commit(self, extra: list[Row] | None = None) -> None:
        """Apply everything and queue it, with ``extra`` rows, as one unit for the file."""
        rows: list[Row] = list(extra or ())
        for object_id, (kind, obj) in self._staged.items():
            rows.append(self._apply(kind, object_id, obj))
        for event in self._events:
            rows.append(self._apply("event", event["id"], event))
            rows.extend(self.world.on_event(self.book.slug, event))
        for due, job, object_id in self._timers:
            rows.extend(self.world.on_timer(due, self.book.slug, job, object_id))
        self.told += [event["id"] for event in self._events]
        self._staged, self._events, self._timers = {}, [], []
        self.world.store.write(rows)

    def _apply(self, kind: str, object_id: str, obj: Obj | None) -> Row:
        shelf = self.book.shelf(kind)
        if obj is None:
            shelf.drop(object_id)
            return ("object", self.book.slug, object_id, 0, None)
        seq = shelf.seqs.get(object_id) or self.world.next_seq()
        self.world.put(self.book, kind, obj, seq)
        return ("object", self.book.slug, object_id, seq, orjson.dumps(obj))


def _may_leave(kind: str) -> bool:
    return kind not in _ALWAYS_HOT and not kind.startswith("sandbox.")


def request_id() -> str:
    """Return a new ``req_…``, which every answer carries."""
    return f"req_{token(14)}"
