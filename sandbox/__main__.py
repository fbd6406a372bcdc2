"""Run the sandbox: ``python -m sandbox --port 8420 --data sandbox.sqlite3``."""

import argparse
import asyncio
import contextlib
import gc
import resource
import signal

from aiohttp import web

from sandbox import api, control, pages, persons, playing
from sandbox.server import HOT_OBJECTS, Sandbox
from sandbox.store import Store

assert api.__all__  # importing the package is what registers the operations
assert playing.__doc__  # and these two the controls that play somebody
assert persons.__doc__


def arguments() -> argparse.Namespace:
    """Return the command line's settings."""
    parser = argparse.ArgumentParser(prog="sandbox", description="A local Stripe for development and tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8420, help="0 picks a free one")
    parser.add_argument("--data", default=":memory:", help="SQLite file that keeps the state")
    parser.add_argument("--latency-ms", type=int, default=0, help="added to every API call")
    parser.add_argument(
        "--webhook-retry-base-ms", type=int, default=500, help="first pause, doubled each time"
    )
    parser.add_argument(
        "--hot-objects", type=int, default=HOT_OBJECTS, help="kept in memory; the others stay in the file"
    )
    parser.add_argument(
        "--lock-conflicts",
        action="store_true",
        help="answer concurrent writes to one object with 429 lock_timeout",
    )
    return parser.parse_args()


async def serve(settings: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, then stop within two seconds."""
    sandbox = Sandbox(
        Store(settings.data),
        latency_ms=settings.latency_ms,
        retry_base_ms=settings.webhook_retry_base_ms,
        lock_conflicts=settings.lock_conflicts,
        hot_objects=settings.hot_objects,
    )

    async def dispatch(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/v1/"):
            return await sandbox.api(request)
        if request.path.startswith("/_sandbox/"):
            answer = await control.handle(sandbox, request)
            if answer is not None:
                return answer
        return await pages.handle(sandbox, request)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sandbox.stopping.set)
    runner = web.ServerRunner(web.Server(dispatch, access_log=None), shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, settings.host, settings.port, backlog=8192).start()
    await sandbox.sender.start()
    host, port = runner.addresses[0][:2]
    print(f"sandbox listening on http://{host}:{port}", flush=True)
    await sandbox.stopping.wait()
    await sandbox.sender.stop()
    await runner.cleanup()
    await sandbox.store.close()


def main() -> None:
    """Start the sandbox, with as many connections as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    gc.set_threshold(50_000, 20, 100)  # objects live long: looking at all of them often finds nothing
    asyncio.run(serve(arguments()))


if __name__ == "__main__":
    main()
