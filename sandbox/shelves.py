"""Objects of one account, kind by kind: those in use in memory, the others read back from the file when asked for.

What stays in memory of an object that left is its id, its place in the order and the fields it is found by: a few
hundred bytes. An object may only leave once the file has it.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from sandbox.store import Store

Obj = dict[str, Any]

#: Fields looked up often; an index may hold too much (readers filter again), never too little.
INDEXED = {
    "charge": ("payment_intent", "payment_method", "customer"),
    "refund": ("charge", "payment_intent"),
    "balance_transaction": ("source",),
    "payment_intent": ("customer",),
    "payment_method": ("customer",),
    "dispute": ("charge", "payment_intent"),
    "setup_attempt": ("setup_intent",),
    "setup_intent": ("customer",),
}


class Shelf:
    """The objects of one kind in one account, in order of creation."""

    def __init__(self, fetch: Callable[[str], Obj | None] = lambda _: None) -> None:
        self.seqs: dict[str, int] = {}
        self._hot: dict[str, Obj] = {}
        self._fetch = fetch
        self._gone: dict[str, int] = {}
        self._order = array("q")
        self._ids: list[str] = []
        self._index: dict[str, dict[str, str | list[str]]] = {}

    def __len__(self) -> int:
        """Return how many objects there are."""
        return len(self.seqs)

    def __contains__(self, object_id: object) -> bool:
        """Return whether the object is here."""
        return object_id in self.seqs

    def get(self, object_id: str) -> Obj | None:
        """Return an object, from memory or from the file."""
        found = self._hot.get(object_id)
        if found is None and object_id in self.seqs:
            return self._fetch(object_id)
        return found

    def put(self, obj: Obj, seq: int) -> None:
        """Store or replace an object; its place in the order is that of its first storing."""
        object_id = obj["id"]
        is_new = object_id not in self.seqs
        if is_new:
            self.stand(object_id, seq)
        names = INDEXED.get(obj["object"], ())
        old = self.get(object_id) if names and not is_new else None
        self._hot[object_id] = obj
        for name in names:
            value = obj.get(name)
            if value is not None and (old is None or old.get(name) != value):
                self._note(name, value, object_id)

    def stand(self, object_id: str, seq: int) -> None:
        """Give a new object its place in the order; its body may stay in the file."""
        self.seqs[object_id] = seq
        self._order.append(seq)
        self._ids.append(object_id)

    def sort(self) -> None:
        """Bring the order right after objects were put in any order."""
        pairs = sorted(zip(self._order, self._ids, strict=True))
        self._order = array("q", [seq for seq, _ in pairs])
        self._ids = [object_id for _, object_id in pairs]

    @property
    def in_memory(self) -> int:
        """Return how many objects are in memory."""
        return len(self._hot)

    def cool(self, object_id: str, obj: Obj) -> None:
        """Let an object leave memory, unless it was replaced since."""
        if self._hot.get(object_id) is obj:
            del self._hot[object_id]

    def drop(self, object_id: str) -> None:
        """Forget an object; as a cursor it keeps its place in the order."""
        self._hot.pop(object_id, None)
        seq = self.seqs.pop(object_id, None)
        if seq is not None:
            self._gone[object_id] = seq

    def prune(self, is_old: Callable[[Obj], bool]) -> list[str]:
        """Forget the oldest objects for as long as they are old; returns their ids."""
        count = 0
        for object_id in self._ids:
            obj = self.get(object_id)
            if obj is not None and not is_old(obj):
                break
            count += 1
        ids = self._ids[:count]
        del self._ids[:count], self._order[:count]
        for object_id in ids:
            self._hot.pop(object_id, None)
            self.seqs.pop(object_id, None)
        return ids

    def place(self, object_id: str) -> int | None:
        """Return an object's number in the order, also of one that was deleted."""
        return self.seqs.get(object_id, self._gone.get(object_id))

    def find(self, name: str, value: str) -> list[Obj]:
        """Return the objects whose indexed field has that value, oldest first."""
        noted = self._index.get(name, {}).get(value, [])
        ids = dict.fromkeys([noted] if isinstance(noted, str) else noted)
        found = [
            obj for object_id in ids if (obj := self.get(object_id)) is not None and obj.get(name) == value
        ]
        return sorted(found, key=lambda obj: self.seqs[obj["id"]])

    def values(self) -> Iterator[Obj]:
        """Yield every object, oldest first."""
        return self._between(range(len(self._ids)))

    def newest_first(self, after: str | None = None) -> Iterator[Obj]:
        """Yield objects from the newest, or from the one created before ``after``."""
        place = self.place(after) if after else None
        at = len(self._ids) if place is None else bisect_left(self._order, place)
        return self._between(range(at - 1, -1, -1))

    def oldest_first(self, after: str) -> Iterator[Obj]:
        """Yield the objects created after ``after``, oldest first."""
        return self._between(range(bisect_right(self._order, self.place(after) or 0), len(self._ids)))

    def _between(self, places: range) -> Iterator[Obj]:
        for at in places:
            obj = self.get(self._ids[at])
            if obj is not None:
                yield obj

    def _note(self, name: str, value: str, object_id: str) -> None:
        values = self._index.setdefault(name, {})
        noted = values.get(value)
        if noted is None:
            values[value] = object_id
        elif isinstance(noted, str):
            values[value] = [noted, object_id]
        else:
            noted.append(object_id)


class Book:
    """Everything one Stripe account has."""

    def __init__(self, slug: str, store: Store) -> None:
        self.slug = slug
        self.shelves: dict[str, Shelf] = {}
        #: Currency -> sum of all balance transactions, net of fees.
        self.totals: dict[str, int] = {}
        self._store = store

    def shelf(self, kind: str) -> Shelf:
        """Return the shelf of a kind, empty at first."""
        found = self.shelves.get(kind)
        if found is None:
            found = self.shelves[kind] = Shelf(self._read)
        return found

    def put(self, kind: str, obj: Obj, seq: int) -> Shelf:
        """Put an object on its shelf, and count what it does to the balance when it is new."""
        shelf = self.shelf(kind)
        if kind == "balance_transaction" and obj["id"] not in shelf:
            self.totals[obj["currency"]] = self.totals.get(obj["currency"], 0) + obj["net"]
        shelf.put(obj, seq)
        return shelf

    def _read(self, object_id: str) -> Obj | None:
        body = self._store.read("object", self.slug, object_id)
        return orjson.loads(body) if body is not None else None
