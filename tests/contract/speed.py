"""How fast the sandbox is and what it costs: ``python -m tests.contract.speed [--objects N]`` prints measured numbers.

Not a test: a number depends on the machine. The sandbox is pinned to one core, what drives it to another.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import requests
from aiohttp import web

ROOT = Path(__file__).resolve().parents[2]
AUTH = {"Authorization": "Bearer sk_test_speed_one"}
NEW = {"amount": "1500", "currency": "usd", "metadata[order]": "1"}
PAY = {**NEW, "confirm": "true", "payment_method": "pm_card_visa", "return_url": "https://shop.example/"}


@contextlib.contextmanager
def sandbox(*options: str) -> Iterator[tuple[str, int]]:
    """Run a sandbox with a file of its own on the first core; yields its address and process id."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "sandbox",
            "--port",
            "0",
            "--data",
            f"{folder}/state.sqlite3",
            *options,
        ]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process.pid, {cores[0]})
        os.sched_setaffinity(0, set(cores[1:] or cores))
        try:
            yield process.stdout.readline().split()[-1], process.pid
        finally:
            process.terminate()
            process.wait(timeout=30)
            os.sched_setaffinity(0, set(cores))


def memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def core_seconds(pid: int) -> float:
    """Return the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def post_many(base: str, path: str, data: dict[str, str], count: int, at_once: int) -> float:
    """Send that many POSTs with keys of their own; returns how long they took together."""
    numbers, keys = iter(range(count)), secrets.token_hex(8)

    async def worker(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            headers = {**AUTH, "Idempotency-Key": f"{keys}-{number}"}
            async with session.post(f"{base}{path}", data=data, headers=headers) as answer:
                await answer.read()
                assert answer.status == 200, await answer.text()

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        started = time.perf_counter()
        await asyncio.gather(*(worker(session) for _ in range(at_once)))
        return time.perf_counter() - started


async def create_and_deliver(base: str, pid: int, count: int) -> str:
    """Create intents while an endpoint hears of each; the time ends with the last signed webhook."""
    heard = 0
    done = asyncio.Event()

    async def listen(request: web.BaseRequest) -> web.Response:
        nonlocal heard
        await request.read()
        assert "v1=" in request.headers["Stripe-Signature"]
        heard += 1
        if heard == count:
            done.set()
        return web.Response()

    runner = web.ServerRunner(web.Server(listen, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    wanted = {"url": url, "enabled_events[]": "payment_intent.created"}
    await post_many(base, "/v1/webhook_endpoints", wanted, 1, 1)
    used, started = core_seconds(pid), time.perf_counter()
    await post_many(base, "/v1/payment_intents", NEW, count, 16)
    await asyncio.wait_for(done.wait(), 600)
    took, used = time.perf_counter() - started, core_seconds(pid) - used
    await runner.cleanup()
    return f"{count / took:.0f} created and delivered a second ({count / used:.0f} for each second of its own core)"


async def readers_at_work(base: str, pid: int, readers: int, rounds: int) -> str:
    """Let so many readers, with a person at each who pays at once, take one payment after the other."""
    heard: dict[str, asyncio.Event] = {}
    waits: list[float] = []

    async def listen(request: web.BaseRequest) -> web.Response:
        event = json.loads(await request.read())
        heard[event["data"]["object"]["id"]].set()
        return web.Response()

    runner = web.ServerRunner(web.Server(listen, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    wanted = {"url": url, "enabled_events[]": "terminal.reader.action_succeeded"}
    await post_many(base, "/v1/webhook_endpoints", wanted, 1, 1)
    await post_many(base, "/v1/terminal/readers", {"registration_code": "simulated-wpe"}, readers, 16)
    ids = [one["id"] for one in requests.get(f"{base}/_sandbox/readers/speed", timeout=60).json()["data"]]
    person = {"after_ms": 0, "processing_ms": 0}
    requests.post(f"{base}/_sandbox/accounts/speed/auto_readers", json=person, timeout=60).raise_for_status()

    async def sell(session: aiohttp.ClientSession, reader: str) -> None:
        for _ in range(rounds):
            heard[reader] = asyncio.Event()
            asked = {**NEW, "allowed_payment_method_types[]": "card_present"}
            async with session.post(f"{base}/v1/payment_intents", data=asked, headers=AUTH) as answer:
                intent = (await answer.json())["id"]
            path, started = f"{base}/v1/terminal/readers/{reader}/process_payment_intent", time.perf_counter()
            async with session.post(path, data={"payment_intent": intent}, headers=AUTH) as answer:
                assert answer.status == 200, await answer.text()
            await asyncio.wait_for(heard[reader].wait(), 120)
            waits.append(time.perf_counter() - started)

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        used, started = core_seconds(pid), time.perf_counter()
        await asyncio.gather(*(sell(session, reader) for reader in ids))
        took, used = time.perf_counter() - started, core_seconds(pid) - used
    await runner.cleanup()
    median = sorted(waits)[len(waits) // 2]
    speed = (
        f"{len(waits) / took:.0f} payments a second ({len(waits) / used:.0f} for each second of its own core)"
    )
    return f"{speed}, heard of {median:.1f} s after the reader was asked (median)"


def fill(base: str, pid: int, objects: int) -> Iterator[str]:
    """Pay until there are that many objects, and say what memory it takes on the way."""
    made, paid = 0, 0
    while made < objects:
        asyncio.run(post_many(base, "/v1/payment_intents", {**PAY, "metadata[lot]": str(paid)}, 2000, 16))
        paid += 2000
        time.sleep(1)
        made = int(requests.get(f"{base}/_sandbox/health", timeout=60).json()["objects"])
        if paid % 20_000 == 0 or made >= objects:
            yield f"{made} objects: {memory(pid):.0f} MB"


def main() -> None:
    """Print every measurement."""
    parser = argparse.ArgumentParser(prog="speed", description=__doc__)
    parser.add_argument("--objects", type=int, default=0, help="also measure memory with that many objects")
    parser.add_argument("--readers", type=int, default=500, help="that take payments at once")
    parser.add_argument("--count", type=int, default=5000, help="of intents created")
    given: Any = parser.parse_args()
    with sandbox() as (base, pid):
        asyncio.run(post_many(base, "/v1/payment_intents", NEW, 200, 8))
        took = asyncio.run(post_many(base, "/v1/payment_intents", NEW, given.count, 16))
        print(f"create alone: {given.count / took:.0f} a second", flush=True)
        took = asyncio.run(post_many(base, "/v1/payment_intents", PAY, given.count // 2, 16))
        print(f"create and confirm: {given.count / 2 / took:.0f} a second", flush=True)
    with sandbox() as (base, pid):
        print("create, webhook:", asyncio.run(create_and_deliver(base, pid, given.count)), flush=True)
    with sandbox() as (base, pid):
        print(
            f"{given.readers} readers at once:",
            asyncio.run(readers_at_work(base, pid, given.readers, 5)),
            flush=True,
        )
    with sandbox("--latency-ms", "2000") as (base, pid):
        before = memory(pid)
        took = asyncio.run(post_many(base, "/v1/payment_intents", NEW, 5000, 5000))
        print(
            f"5000 held open at 2 s: all answered after {took:.1f} s, {memory(pid) - before:.0f} MB more",
            flush=True,
        )
    if given.objects:
        with sandbox() as (base, pid):
            for line in fill(base, pid, given.objects):
                print(line, flush=True)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    main()
