"""Load over plain HTTP, as cheap for the machine as it can be: prepared bytes on kept connections.

A closed loop tells how much a server does when it is never left alone; an open one how long people wait when
they come at their own pace. There a request's time counts from the moment it was due: a server that stalls
answers for those who queued behind the stall, too.
"""

from __future__ import annotations

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit


class BadAnswer(Exception):
    """A server answered what no request here may get: the figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: its status, its header lines (lower case), its body."""

    status: int
    head: str
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        """Return the first header of that name, "" where there is none."""
        for line in self.head.split("\r\n"):
            if line.lower().startswith(name + ":"):
                return line.partition(":")[2].strip()
        return ""

    def cookies(self) -> dict[str, str]:
        lines = [line for line in self.head.split("\r\n") if line.lower().startswith("set-cookie:")]
        pairs = (line.partition(":")[2].strip().partition(";")[0] for line in lines)
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


class Connection:
    """One kept connection to a server."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._socket: socket.socket | None = None
        self._rest = b""

    def ask(self, request: bytes) -> Answer:
        """Send the bytes of a request and return the answer; a connection that was closed is opened again."""
        for is_last in (False, True):
            try:
                if self._socket is None:
                    self._socket = socket.create_connection(self._address, timeout=60)
                    self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._rest = b""
                self._socket.sendall(request)
                return self._read()
            except (BrokenPipeError, ConnectionResetError, EOFError):
                self.close()
                if is_last:
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _read(self) -> Answer:
        assert self._socket is not None
        data = self._rest
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end].decode("latin-1")
        status = int(head[9:12])
        body, lowered = data[end + 4 :], head.lower()
        length = 0
        if status not in (204, 304):
            at = lowered.find("content-length:")
            if at < 0:
                raise BadAnswer(f"an answer without a length:\n{head}")
            length = int(lowered[at + 15 :].split("\r\n", 1)[0])
        while len(body) < length:
            body += self._more()
        self._rest = body[length:]
        return Answer(status, head, body[:length])

    def _more(self) -> bytes:
        assert self._socket is not None
        got = self._socket.recv(65536)
        if not got:
            raise EOFError
        return got


def request(method: str, base: str, path: str, *, body: bytes = b"", **headers: str) -> bytes:
    """Return the bytes of a request; headers are given as `Content_Type="…"`."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {headers.pop('Host', urlsplit(base).netloc)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


@dataclass
class Load:
    """What a load took: seconds in all, and of each request."""

    seconds: float = 0.0
    each: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.each) / self.seconds

    def percentile(self, share: float) -> float:
        """Return the seconds within which this share of the requests was answered."""
        ordered = sorted(self.each)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def median(self) -> float:
        return statistics.median(self.each)


def closed(base: str, requests: Sequence[bytes], *, connections: int, status: int = 200) -> Load:
    """Send every request once, each connection its next one as soon as it has its answer."""
    load, numbers, lock = Load(), iter(range(len(requests))), threading.Lock()
    problems: list[str] = []

    def work() -> None:
        connection, mine = Connection(base), []
        while not problems:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            began = time.perf_counter()
            try:
                answer = connection.ask(requests[number])
            except (OSError, BadAnswer) as error:
                problems.append(str(error))
                break
            mine.append(time.perf_counter() - began)
            if answer.status != status:
                problems.append(f"{answer.status}: {answer.body[:300]!r}")
        connection.close()
        with lock:
            load.each.extend(mine)

    began = time.perf_counter()
    _run_threads(work, connections)
    load.seconds = time.perf_counter() - began
    if problems:
        raise BadAnswer(problems[0])
    return load


def opened(
    work: Callable[[Connection, int], None], base: str, *, number: int, per_second: float, people: int
) -> Load:
    """Let a new piece of `work` be due at a steady pace, done by as many threads as there may be at once.

    The time of each counts from when it was due.
    """
    load, numbers, lock = Load(), iter(range(number)), threading.Lock()
    problems: list[BaseException] = []
    began = time.perf_counter() + 0.05

    def person() -> None:
        connection, mine = Connection(base), []
        while not problems:
            with lock:
                mine_now = next(numbers, None)
            if mine_now is None:
                break
            due = began + mine_now / per_second
            if (pause := due - time.perf_counter()) > 0:
                time.sleep(pause)
            try:
                work(connection, mine_now)
            except BaseException as error:  # noqa: BLE001 - told below, by whoever started the threads
                problems.append(error)
            mine.append(time.perf_counter() - due)
        connection.close()
        with lock:
            load.each.extend(mine)

    _run_threads(person, people)
    load.seconds = time.perf_counter() - began
    if problems:
        raise BadAnswer(str(problems[0])) from problems[0]
    return load


def _run_threads(work: Callable[[], None], number: int) -> None:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
