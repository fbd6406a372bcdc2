"""The API over HTTP: who calls, which operation, is it understood, was it asked before, run it, answer.

The order is Stripe's and is the contract: authentication, validation, idempotency, execution. Faults strike
between
these steps. An answer leaves only after its effect is committed.
"""

import asyncio
import socket
import struct
import sys
import traceback
from dataclasses import dataclass, field
from time import perf_counter

import orjson
from aiohttp import web

from sandbox import API_VERSION, forms, keys, mischief, operations, params
from sandbox.clock import Clock
from sandbox.errors import StripeError, invalid, server_error
from sandbox.faults import Fault, Faults, lock_timeout, refusal
from sandbox.idempotency import Keys, Saved, fingerprint
from sandbox.shapes import expand
from sandbox.store import Store
from sandbox.webhooks import Sender
from sandbox.world import Obj, World, request_id

HOT_OBJECTS = 20_000  # kept in memory, about 5 kB each; the others are read back from the file
HANG_SECONDS = 120.0  # longer than any client's patience (the SDK's own is 80 s)
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, content-type, idempotency-key, stripe-version",
    "Access-Control-Expose-Headers": "Request-Id",
    "Access-Control-Max-Age": "600",
}


@dataclass
class Call:
    """One request on its way through, for the answer's headers and the log line."""

    method: str
    path: str
    id: str = field(default_factory=request_id)
    account: str = "-"
    key: str | None = None
    original: str | None = None
    replayed: bool = False
    extra: dict[str, str] = field(default_factory=dict)
    after: list[Fault] = field(default_factory=list)
    struck: frozenset[str] = frozenset()


class Sandbox:
    """Everything of one running sandbox."""

    def __init__(
        self,
        store: Store,
        *,
        latency_ms: int = 0,
        retry_base_ms: int = 500,
        lock_conflicts: bool = False,
        hot_objects: int = HOT_OBJECTS,
    ) -> None:
        meta = {row_id: orjson.loads(body) for _, row_id, _, body in store.load("meta")}
        self.store = store
        self.clock = Clock(meta.get("clock", 0.0))
        self.revoked: set[str] = set(meta.get("revoked", []))
        #: Digest of a key -> the moment of the clock when it ends.
        self.expiring: dict[str, float] = dict(meta.get("expiring", {}))
        self.world = World(store, self.clock, hot_objects)
        self.world.load()
        self.keys = Keys(self.world)
        self.faults = Faults()
        self.world.strike = self.faults.strike
        self.sender = Sender(self.world, self.faults, retry_base_ms / 1000)
        self.latency = latency_ms / 1000
        self.lock_conflicts = lock_conflicts
        self.stopping = asyncio.Event()
        self._locked: set[tuple[str, str]] = set()
        self.sender.chores.append(self.keys.prune)

    def remember(self, name: str, value: object) -> None:
        """Keep a fact that belongs to no account: the clock's offset, what is revoked."""
        self.store.write([("meta", "", name, 0, orjson.dumps(value))])

    async def api(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one ``/v1/`` request."""
        started = perf_counter()
        call = Call(request.method, request.path)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=CORS)
        try:
            status, body = await self._handle(request, call)
        except StripeError as error:
            status, body = self._failed(error, call)
        except _Cut:
            log(call, 0, started)
            return _cut(request)
        except ConnectionError:
            log(call, 0, started)  # the caller went away while sending
            return _cut(request)
        headers = {**CORS, "Request-Id": call.id, "Stripe-Version": _version(request), **call.extra}
        if call.key:
            headers["Idempotency-Key"] = call.key
            headers["Original-Request"] = call.original or call.id
            if call.replayed:
                headers["Idempotent-Replayed"] = "true"
        log(call, status, started)
        return await self._answer(request, call, status, body, headers)

    async def _handle(self, request: web.BaseRequest, call: Call) -> tuple[int, bytes]:
        form = await self._form(request)
        given_key = form.pop("key", None)
        caller = keys.caller(
            request.headers, given_key if isinstance(given_key, str) else None, self._is_over
        )
        call.account = caller.account
        found = operations.resolve(request.method, request.path)
        if found is None:
            raise StripeError(
                404,
                f"Unrecognized request URL ({request.method}: {request.path}). Please see "
                f"https://stripe.com/docs or "
                "we can help at https://support.stripe.com/.",
            )
        entry, ids = found
        facts = {
            "method": request.method, "path": request.path, "operation": entry.name,
            "account": caller.account,
        }  # fmt: skip
        if self.faults.ask_for_card():
            facts["card"] = mischief.card_behind(self.world, caller.account, ids, form) or ""
        await self._before(request, facts, call)
        if caller.publishable and not entry.publishable:
            raise StripeError(
                401,
                "This API call cannot be made with a publishable API key. Please use a secret API key. You "
                "can find a "
                "list of your API keys at https://dashboard.stripe.com/account/apikeys.",
                code="secret_key_required",
            )
        given = params.check(entry.name, form)
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        mark = fingerprint(form) if key else ""
        call.key = key
        lock = (caller.account, ids[0]) if ids and request.method != "GET" else None
        if key:
            try:
                saved = self.keys.begin(caller.account, key, request.path, mark)
            except StripeError:
                call.key = None
                raise
            if saved is not None:
                call.replayed, call.original = True, saved.request_id
                await self.store.settled()
                return saved.status, saved.body
        held: tuple[str, str] | None = None
        try:
            if lock and self.lock_conflicts:
                if lock in self._locked:
                    call.key = None
                    raise lock_timeout()
                self._locked.add(lock)
                held = lock
            await self._latency(facts)
            call.after = self.faults.strike("after", facts)
            if entry.name == "refunds.create":
                call.struck = frozenset(fault.kind for fault in self.faults.strike("refund", facts))
            return await self._execute(request, call, entry, given, ids, caller, mark)
        finally:
            if held:
                self._locked.discard(held)
            if key:
                self.keys.end(caller.account, key)

    def _is_over(self, account: str, mark: str) -> bool:
        """Return whether a key was revoked, with all of its account or alone, or has come to its end."""
        if account in self.revoked or mark in self.revoked:
            return True
        return bool(self.expiring) and self.clock.now() >= self.expiring.get(mark, float("inf"))

    async def _execute(
        self,
        request: web.BaseRequest,
        call: Call,
        entry: operations.Operation,
        given: Obj,
        ids: tuple[str, ...],
        caller: keys.Caller,
        mark: str,
    ) -> tuple[int, bytes]:
        """Run the operation and commit its effect together with the answer saved under its key."""
        tx = self.world.begin(
            caller.account,
            request_id=call.id,
            idempotency_key=call.key,
            base_url=f"http://{request.host}",
            publishable=caller.publishable,
            struck=call.struck,
        )
        if "dispute_before_refund" in call.struck:
            mischief.dispute_first(self.world.begin(caller.account), given)
        paths = given.pop("expand", [])
        status, keep = 200, True
        try:
            answer = entry.handler(tx, given, *ids)
            answer = expand(tx, answer, paths)  # a wrong path is refused before anything is kept
        except StripeError as error:
            if not error.executed:
                raise
            status, answer, keep = error.status, error.body(call.id, tx.time), error.keeps
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]  # where, not what: values may be secret
            sys.stderr.write(
                f"sandbox: {entry.name} failed: {type(error).__name__} in {at.name}:{at.lineno}\n"
            )
            raise server_error(executed=False) from error
        staged = tx if keep and request.method != "GET" else self.world.begin(caller.account)
        body = orjson.dumps(answer)
        broken = next((found for fault in call.after if (found := refusal(fault))), None)
        if broken is not None:
            status, body = broken.status, orjson.dumps(broken.body(call.id, tx.time))
            call.extra.update(broken.headers)
        rows = []
        if call.key:
            saved = Saved(request.path, mark, status, body, call.id, tx.time)
            rows.append(self.keys.save(caller.account, call.key, saved))
        staged.commit(rows)
        await self.store.settled()
        if any(fault.kind == "webhook_before_answer" for fault in call.after):
            await self.sender.told(caller.account, staged.told)
        return status, body

    def _failed(self, error: StripeError, call: Call) -> tuple[int, bytes]:
        call.extra.update(error.headers)
        if error.status in (401, 409, 429):
            call.key = None
        return error.status, orjson.dumps(error.body(call.id, self.clock.now()))

    async def _form(self, request: web.BaseRequest) -> Obj:
        if request.method == "GET":
            return forms.decode(request.query_string)
        if request.method not in ("POST", "DELETE"):
            return {}
        raw = await request.read()
        if raw and "json" in request.headers.get("Content-Type", ""):
            raise invalid("Invalid request: v1 takes application/x-www-form-urlencoded.")
        try:
            form = forms.decode(raw.decode())
        except UnicodeDecodeError:
            raise invalid("Invalid request: the body is not UTF-8.") from None
        return {**forms.decode(request.query_string), **form} if request.query_string else form

    async def _latency(self, facts: dict[str, str]) -> None:
        pause = self.latency
        for fault in self.faults.strike("latency", facts):
            pause += fault.ms / 1000
        if pause:
            await asyncio.sleep(pause)

    async def _before(self, request: web.BaseRequest, facts: dict[str, str], call: Call) -> None:
        for fault in self.faults.strike("before", facts):
            if fault.kind == "reset_before":
                raise _Cut
            if fault.kind == "timeout_before":
                await self._hang(request)
                raise _Cut
            if (error := refusal(fault)) is not None:
                raise error

    async def _hang(self, request: web.BaseRequest) -> None:
        """Keep the connection open until the caller gives up, the sandbox stops, or two minutes pass."""
        deadline = perf_counter() + HANG_SECONDS
        while perf_counter() < deadline and not self.stopping.is_set():
            if request.transport is None or request.transport.is_closing():
                return
            try:
                await asyncio.wait_for(self.stopping.wait(), 0.2)
            except TimeoutError:
                continue

    async def _answer(
        self, request: web.BaseRequest, call: Call, status: int, body: bytes, headers: dict[str, str]
    ) -> web.StreamResponse:
        struck = {fault.kind for fault in call.after}
        if "timeout_after" in struck:
            await self._hang(request)
        if struck & {"timeout_after", "reset_after"}:
            return _cut(request)
        if "truncated_body" in struck:
            partial = web.StreamResponse(
                status=status, headers={**headers, "Content-Type": "application/json"}
            )
            partial.content_length = len(body)
            await partial.prepare(request)
            await partial.write(body[: len(body) // 2])
            return _cut(request, partial)
        if "garbage_200" in struck:
            return web.Response(
                body=b"<html><body>It works!</body></html>", headers=headers, content_type="text/html"
            )
        return web.Response(status=status, body=body, headers=headers, content_type="application/json")


class _Cut(Exception):
    """Cut the connection without an answer."""


def _cut(request: web.BaseRequest, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Reset the connection (RST, not FIN), as a dying proxy does."""
    transport = request.transport
    if transport is not None:
        plain = transport.get_extra_info("socket")
        if plain is not None and response is None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if response is None:
            transport.abort()
        else:
            transport.close()
    return response or web.Response()


def _version(request: web.BaseRequest) -> str:
    return request.headers.get("Stripe-Version", API_VERSION)


def log(call: Call, status: int, started: float) -> None:
    """Write the request's one line: nothing in it is secret (no query, no body, no key)."""
    took = (perf_counter() - started) * 1000
    sys.stderr.write(f"{call.method} {call.path} {status} {took:.1f}ms {call.id} {call.account}\n")
