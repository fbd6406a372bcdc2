"""Durability: every change is committed to SQLite before the caller hears of it.

The working set lives in memory; this file only appends what changed. Writes of all requests that arrive
during one
commit share the next one (group commit on a single thread), which is what keeps hundreds of creates a second
cheap.
``synchronous=OFF`` suffices: the promise is against the death of this process, not of the machine.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (
    space TEXT NOT NULL,      -- 'object', 'delivery', 'timer', 'key' (idempotency) or 'meta'
    account TEXT NOT NULL,
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,     -- order of first writing, which lists follow
    body BLOB NOT NULL,
    PRIMARY KEY (space, account, id)
) WITHOUT ROWID;
"""
_PUT = "INSERT OR REPLACE INTO rows (space, account, id, seq, body) VALUES (?, ?, ?, ?, ?)"
_GET = "SELECT body FROM rows WHERE space = ? AND account = ? AND id = ?"
_SEARCH = (
    "SELECT body FROM rows WHERE space = 'object' AND account = ? AND id >= ? AND id < ? AND instr(body, ?) "
    "ORDER BY seq DESC LIMIT ?"
)
_DROP = "DELETE FROM rows WHERE space = ? AND account = ? AND id = ?"

Row = tuple[str, str, str, int, bytes | None]
"""``(space, account, id, seq, body)``; a body of None deletes the row."""


class Store:
    """One SQLite file and the thread that writes it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_SCHEMA)
        #: Only a file can be read while it is written; memory alone keeps everything in memory.
        self.can_read = path != ":memory:"
        self._reader = sqlite3.connect(path, isolation_level=None) if self.can_read else self._db
        #: The number of the commit that takes what is written now.
        self.generation = 1
        #: Called with the number of a commit once the file has it.
        self.on_settled: Callable[[int], None] = lambda _: None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._waiting: list[Row] = []
        self._next: asyncio.Future[None] | None = None
        self._current: asyncio.Future[None] | None = None

    def load(self, space: str) -> Iterator[tuple[str, str, int, bytes]]:
        """Yield ``(account, id, seq, body)`` of a space in the order of first writing."""
        rows = self._reader.execute(
            "SELECT account, id, seq, body FROM rows WHERE space = ? ORDER BY seq", (space,)
        )
        yield from rows.fetchall()

    def scan(self, space: str) -> Iterator[tuple[str, str, int, bytes]]:
        """Yield ``(account, id, seq, body)`` of a space as it lies in the file: the fastest way through all of it."""
        yield from self._reader.execute("SELECT account, id, seq, body FROM rows WHERE space = ?", (space,))

    def has_any(self, space: str) -> bool:
        """Return whether a space holds anything."""
        return (
            self._reader.execute("SELECT 1 FROM rows WHERE space = ? LIMIT 1", (space,)).fetchone()
            is not None
        )

    def read(self, space: str, account: str, row_id: str) -> bytes | None:
        """Return the body of one row that was committed."""
        row = self._reader.execute(_GET, (space, account, row_id)).fetchone()
        return None if row is None else row[0]

    async def search(
        self, account: str, prefix: str, text: bytes, limit: int, seconds: float
    ) -> list[bytes] | None:
        """Return the newest bodies that hold a text, of an account's objects whose ids begin so.

        Looks through everything, beside what else happens; None without a file, or when it would take too long.
        """
        return (
            await asyncio.to_thread(self._search, account, prefix, text, limit, seconds)
            if self.can_read
            else None
        )

    def _search(
        self, account: str, prefix: str, text: bytes, limit: int, seconds: float
    ) -> list[bytes] | None:
        deadline = time.monotonic() + seconds
        with contextlib.closing(sqlite3.connect(self._path, isolation_level=None)) as own:
            own.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
            try:
                rows = own.execute(_SEARCH, (account, prefix, prefix + "\uffff", text, limit)).fetchall()
            except sqlite3.OperationalError:
                return None
        return [body for (body,) in rows]

    def write(self, rows: list[Row]) -> None:
        """Queue rows for the next commit; ``await settled()`` to know that they are safe."""
        if not rows:
            return
        self._waiting.extend(rows)
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._current is None:
                self._start()

    async def settled(self) -> None:
        """Return once everything written so far is committed; at once when nothing is outstanding."""
        outstanding = self._next or self._current
        if outstanding is not None:
            await asyncio.shield(outstanding)

    def drop_before(self, space: str, seq: int) -> None:
        """Queue the deletion of everything in a space that was written before a number."""
        self.write([(f"<{space}", "", "", seq, None)])

    def clear(self) -> None:
        """Queue the deletion of everything."""
        self.write([("*", "", "", 0, None)])

    async def close(self) -> None:
        """Commit what is left and close the file."""
        await self.settled()
        self._thread.shutdown(wait=True)
        self._db.close()
        if self.can_read:
            self._reader.close()

    def _start(self) -> None:
        batch, self._waiting = self._waiting, []
        self.generation += 1
        self._current, self._next = self._next, None
        job = asyncio.get_running_loop().run_in_executor(self._thread, self._commit, batch)
        job.add_done_callback(self._done)

    def _done(self, job: asyncio.Future[None]) -> None:
        finished, self._current = self._current, None
        if job.exception() is None:
            self.on_settled(self.generation - 1)
        if self._next is not None:
            self._start()
        if finished is None or finished.done():
            return
        error = job.exception()
        if error is None:
            finished.set_result(None)
        else:
            finished.set_exception(error)

    def _commit(self, batch: list[Row]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for space, account, row_id, seq, body in batch:
                if body is not None:
                    self._db.execute(_PUT, (space, account, row_id, seq, body))
                elif space == "*":
                    self._db.execute("DELETE FROM rows")
                elif space.startswith("<"):
                    self._db.execute("DELETE FROM rows WHERE space = ? AND seq < ?", (space[1:], seq))
                else:
                    self._db.execute(_DROP, (space, account, row_id))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
