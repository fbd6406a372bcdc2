"""Webhooks: every event to every endpoint that wants it, signed anew each attempt, retried until accepted.

A delivery is stored in the same commit as its event, so a killed process continues where it stood. Each
endpoint has
its own queue and a bounded number of senders: one that hangs delays nobody else.
"""

import asyncio
import hashlib
import hmac
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

import aiohttp
import orjson

from sandbox.api.events import KEPT_SECONDS, matches
from sandbox.api.webhook_endpoints import secrets
from sandbox.faults import Fault, Faults
from sandbox.ids import token
from sandbox.operations import JOBS
from sandbox.store import Row
from sandbox.world import Obj, World

GIVE_UP_SECONDS = 3 * 24 * 3600  # Stripe: live retries for up to three days
LONGEST_PAUSE_SECONDS = 3600.0
ATTEMPT_SECONDS = 10.0  # Stripe's patience with an endpoint
SENDERS = 16  # at once per endpoint
KEPT_ATTEMPTS = 20
KEPT_DELIVERED = 5_000  # in memory; older ones are only in the file
CHORES_SECONDS = 3600.0
REORDER_MS = 2000  # the longest wait for a later event to overtake


@dataclass
class Delivery:
    """One event on its way to one endpoint."""

    id: str
    account: str
    event: str
    endpoint: str
    created: float
    due: float
    status: str = "pending"  # delivered | failed | dropped
    attempts: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def sign(body: bytes, keys: list[str], moment: int) -> str:
    """Return the ``Stripe-Signature`` header: one v1 per valid secret."""
    payload = str(moment).encode() + b"." + body
    marks = [hmac.new(key.encode(), payload, hashlib.sha256).hexdigest() for key in keys]
    return ",".join([f"t={moment}", *[f"v1={mark}" for mark in marks]])


class Sender:
    """Plans deliveries inside commits, sends and retries them; runs timers, which wait on the same clock."""

    def __init__(self, world: World, faults: Faults, retry_base_seconds: float) -> None:
        self._world = world
        self._faults = faults
        self._base = retry_base_seconds
        self.deliveries: dict[str, Delivery] = {}
        self.by_event: dict[tuple[str, str], list[Delivery]] = {}
        self._queues: dict[str, deque[str]] = {}
        self._busy: dict[str, int] = {}
        self._agenda: list[tuple[float, int, str, tuple[str, ...]]] = []
        self._counter = itertools.count()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._held: dict[str, list[str]] = {}
        self._delivered: deque[str] = deque()
        self._marks: deque[tuple[float, int]] = deque()
        #: What is to be done every hour of the clock.
        self.chores: list[Callable[[], None]] = [self._prune]
        world.on_event = self.plan
        world.on_timer = self.plan_timer
        world.fate = self.fate
        world.listeners = lambda account, kind: len(self._endpoints(account, kind))

    async def start(self) -> None:
        """Take up what an earlier process left, and begin to send."""
        timeout = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS)
        self._session = aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
        )
        for _, _, _, body in self._world.store.load("delivery"):
            self._register(Delivery(**orjson.loads(body)))
        for account, timer_id, _, body in self._world.store.load("timer"):
            timer = orjson.loads(body)
            self._at(timer["due"], "timer", (account, timer_id, timer["job"], timer["object"]))
        self._at(self._world.clock.now() + CHORES_SECONDS, "chores", ())
        self._spawn(self._run_agenda())

    async def stop(self) -> None:
        """Stop at once; pending deliveries continue in the next process."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def wake(self) -> None:
        """Look at the clock again, after it was moved."""
        self._wake.set()

    def clear(self) -> None:
        """Forget all deliveries and timers."""
        self.deliveries.clear()
        self.by_event.clear()
        self._queues.clear()
        self._held.clear()
        self._delivered.clear()
        self._agenda.clear()
        self._at(self._world.clock.now() + CHORES_SECONDS, "chores", ())

    def fate(self, account: str, event_id: str) -> tuple[int, bool]:
        """Return how many deliveries of an event are pending, and whether the others all succeeded."""
        known = self.by_event.get((account, event_id), [])
        pending = sum(delivery.status == "pending" for delivery in known)
        return pending, all(delivery.status in ("pending", "delivered") for delivery in known)

    def plan(self, account: str, event: Obj) -> list[Row]:
        """Plan the deliveries of a new event; returns their rows."""
        return [
            self._plan_one(account, event["id"], endpoint["id"])
            for endpoint in self._endpoints(account, event["type"])
        ]

    def resend(self, account: str, event_id: str, endpoint_id: str | None = None) -> int:
        """Send an event again, to one endpoint or to all that are enabled; returns to how many."""
        event = self._world.begin(account).need("event", event_id)
        wanted = [
            endpoint
            for endpoint in self._endpoints(account, event["type"])
            if endpoint_id in (None, endpoint["id"])
        ]
        self._world.store.write([self._plan_one(account, event_id, endpoint["id"]) for endpoint in wanted])
        return len(wanted)

    def plan_timer(self, due: float, account: str, job: str, object_id: str) -> list[Row]:
        """Plan work for later; returns its row."""
        timer_id = token(16)
        self._at(due, "timer", (account, timer_id, job, object_id))
        body = orjson.dumps({"due": due, "job": job, "object": object_id})
        return [("timer", account, timer_id, self._world.next_seq(), body)]

    def _endpoints(self, account: str, kind: str) -> list[Obj]:
        return [
            endpoint
            for endpoint in self._world.book(account).shelf("webhook_endpoint").values()
            if endpoint["status"] == "enabled" and matches(kind, endpoint["enabled_events"])
        ]

    def _plan_one(self, account: str, event_id: str, endpoint_id: str) -> Row:
        now = self._world.clock.now()
        delivery = Delivery(f"dl_{token(16)}", account, event_id, endpoint_id, now, now)
        self._register(delivery)
        return self._row(delivery)

    def _register(self, delivery: Delivery) -> None:
        self.deliveries[delivery.id] = delivery
        self.by_event.setdefault((delivery.account, delivery.event), []).append(delivery)
        if delivery.status == "delivered":
            self._cool(delivery)
        if delivery.status == "pending":
            if delivery.due <= self._world.clock.now():
                self._queue(delivery)
            else:
                self._at(delivery.due, "delivery", (delivery.id,))

    def _row(self, delivery: Delivery) -> Row:
        return (
            "delivery",
            delivery.account,
            delivery.id,
            self._world.next_seq(),
            orjson.dumps(delivery),
        )

    def _queue(self, delivery: Delivery) -> None:
        self._queues.setdefault(delivery.endpoint, deque()).append(delivery.id)
        if self._busy.get(delivery.endpoint, 0) < SENDERS:
            self._busy[delivery.endpoint] = self._busy.get(delivery.endpoint, 0) + 1
            self._spawn(self._send_all(delivery.endpoint))

    def _at(self, due: float, what: str, args: tuple[str, ...]) -> None:
        heappush(self._agenda, (due, next(self._counter), what, args))
        if self._agenda[0][0] == due:
            self._wake.set()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_agenda(self) -> None:
        """Do what falls due by the sandbox's clock, which may jump."""
        while True:
            self._wake.clear()
            while self._agenda and self._agenda[0][0] <= self._world.clock.now():
                _, _, what, args = heappop(self._agenda)
                if what == "timer":
                    self._run_timer(*args)
                elif what == "chores":
                    for chore in self.chores:
                        chore()
                    self._at(self._world.clock.now() + CHORES_SECONDS, "chores", ())
                elif what == "held":
                    self._release(args[0], args[1])
                elif (delivery := self.deliveries.get(args[0])) is not None and self._is_due(delivery):
                    self._queue(delivery)
            pause = self._agenda[0][0] - self._world.clock.now() if self._agenda else None
            try:
                await asyncio.wait_for(self._wake.wait(), None if pause is None else max(pause, 0.0))
            except TimeoutError:
                continue

    def _is_due(self, delivery: Delivery) -> bool:
        return delivery.status == "pending" and delivery.due <= self._world.clock.now()

    def _run_timer(self, account: str, timer_id: str, job: str, object_id: str) -> None:
        tx = self._world.begin(account)
        JOBS[job](tx, object_id)
        tx.commit([("timer", account, timer_id, 0, None)])

    async def _send_all(self, endpoint_id: str) -> None:
        queue = self._queues.setdefault(endpoint_id, deque())
        try:
            while queue:
                delivery = self.deliveries.get(queue.popleft())
                if delivery is not None and self._is_due(delivery):
                    await self._world.store.settled()  # never tell of what a crash could take back
                    await self._attempt(delivery)
                    for held in list(self._held.get(endpoint_id, ())):
                        if held != delivery.id:
                            self._release(endpoint_id, held)
        finally:
            self._busy[endpoint_id] -= 1

    async def _attempt(self, delivery: Delivery) -> None:
        """Send once and write down how it went."""
        book = self._world.book(delivery.account)
        endpoint = book.shelf("webhook_endpoint").get(delivery.endpoint)
        event = book.shelf("event").get(delivery.event)
        if endpoint is None or event is None:
            self._end(delivery, "failed", {"error": "the endpoint was deleted"})
            return
        facts = {
            "account": delivery.account,
            "type": event["type"],
            "path": endpoint["url"],
            "method": "POST",
        }
        struck = {fault.kind: fault for fault in self._faults.strike("webhook", facts)}
        if (late := struck.pop("webhook_delay", None)) is not None:
            delivery.due = self._world.clock.now() + late.ms / 1000
            self._world.store.write([self._row(delivery)])
            self._at(delivery.due, "delivery", (delivery.id,))
            return
        if (turned := struck.pop("webhook_reorder", None)) is not None:
            self._held.setdefault(delivery.endpoint, []).append(delivery.id)
            until = self._world.clock.now() + (turned.ms or REORDER_MS) / 1000
            self._at(until, "held", (delivery.endpoint, delivery.id))
            return
        if "webhook_drop" in struck:
            self._end(delivery, "dropped", {"error": "dropped by a fault"})
            return
        delivery.attempts += 1
        for _ in range(2 if "webhook_double" in struck else 1):
            noted = await self._post(delivery, endpoint["url"], orjson.dumps(event), struck)
        if 200 <= noted.get("status", 0) < 300:
            self._end(delivery, "delivered", noted)
            return
        pause = min(self._base * 2 ** min(delivery.attempts - 1, 30), LONGEST_PAUSE_SECONDS)
        due = self._world.clock.now() + pause
        if due > delivery.created + GIVE_UP_SECONDS:
            self._end(delivery, "failed", noted)
            return
        delivery.due = due
        self._note(delivery, noted)
        self._at(due, "delivery", (delivery.id,))

    async def _post(
        self, delivery: Delivery, url: str, body: bytes, struck: dict[str, Fault]
    ) -> dict[str, Any]:
        if self._session is None:
            raise RuntimeError("the sender was not started")
        keys = secrets(self._world.begin(delivery.account), delivery.endpoint)
        if "webhook_bad_signature" in struck:
            keys = ["whsec_wrong"]
        moment = int(self._world.clock.wall())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(body, keys, moment),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Accept": "*/*; q=0.5, application/xml",
        }
        noted: dict[str, Any] = {"at": self._world.clock.now()}
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                await answer.content.read(1024)
                noted["status"] = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            noted["error"] = type(error).__name__
        return noted

    def _release(self, endpoint_id: str, delivery_id: str) -> None:
        """Send what was held back so that a later event overtakes it."""
        held = self._held.get(endpoint_id, [])
        delivery = self.deliveries.get(delivery_id)
        if delivery_id in held and delivery is not None:
            held.remove(delivery_id)
            self._queue(delivery)

    async def told(self, account: str, event_ids: list[str]) -> None:
        """Return once every endpoint has heard of these events, or was given the time to."""
        deadline = asyncio.get_running_loop().time() + ATTEMPT_SECONDS
        for event_id in event_ids:
            for delivery in self.by_event.get((account, event_id), []):
                while delivery.attempts == 0 and delivery.status == "pending":
                    if asyncio.get_running_loop().time() > deadline:
                        return
                    await asyncio.sleep(0.005)
                while not delivery.history and asyncio.get_running_loop().time() < deadline:
                    await asyncio.sleep(0.005)

    def postpone(self, account: str, event_id: str, seconds: float) -> int:
        """Let the pending deliveries of an event wait; returns how many there were."""
        waiting = [d for d in self.by_event.get((account, event_id), []) if d.status == "pending"]
        for delivery in waiting:
            delivery.due = self._world.clock.now() + seconds
            self._at(delivery.due, "delivery", (delivery.id,))
        self._world.store.write([self._row(delivery) for delivery in waiting])
        return len(waiting)

    def drop(self, account: str, event_id: str) -> int:
        """Give the pending deliveries of an event up; returns how many there were."""
        waiting = [d for d in self.by_event.get((account, event_id), []) if d.status == "pending"]
        for delivery in waiting:
            self._end(delivery, "dropped", {"at": self._world.clock.now(), "error": "dropped by hand"})
        return len(waiting)

    def _prune(self) -> None:
        """Forget events of more than 30 days ago, and how they were delivered."""
        now = self._world.clock.now()
        for key in self._world.prune_events(now - KEPT_SECONDS):
            for delivery in self.by_event.pop(key, []):
                self.deliveries.pop(delivery.id, None)
        self._marks.append((now, self._world.seq))
        last = 0
        while self._marks and now - self._marks[0][0] >= KEPT_SECONDS:
            last = self._marks.popleft()[1]
        if last:
            self._world.store.drop_before("delivery", last)

    def _end(self, delivery: Delivery, status: str, noted: dict[str, Any]) -> None:
        delivery.status = status
        self._note(delivery, noted)
        if status == "delivered":
            self._cool(delivery)

    def _cool(self, delivery: Delivery) -> None:
        """Let the oldest delivered ones leave memory; the file keeps them until their events go."""
        self._delivered.append(delivery.id)
        while self._world.store.can_read and len(self._delivered) > KEPT_DELIVERED:
            old = self.deliveries.pop(self._delivered.popleft(), None)
            siblings = self.by_event.get((old.account, old.event), []) if old else []
            if old in siblings:
                siblings.remove(old)
            if old and not siblings:
                self.by_event.pop((old.account, old.event), None)

    def _note(self, delivery: Delivery, noted: dict[str, Any]) -> None:
        delivery.history = [*delivery.history, noted][-KEPT_ATTEMPTS:]
        self._world.store.write([self._row(delivery)])
