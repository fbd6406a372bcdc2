"""The servers of a benchmark: the whole stack of its own, the limits beside it on the same PostgreSQL and Redis.

All that runs has the same budget: two granian processes with four threads each, two prefork children.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import requests

from bench import cpu
from stack.lifetime import Leashed
from stack.processes import ROOT, WEB_THREADS, Stack, WorkerKind, answers, reserved_port
from web.payments.followed_events import FOLLOWED

PATIENCE_SECONDS = 180.0
GIVEN = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE")
# What runs in production runs here: JSON logs, and metrics shared by the processes of a server.
ENV = {"LOG_JSON": "true", "PUBLIC_ORIGIN": "http://{host}"}


class Late(Exception):
    """What was waited for did not come: the measurement would mean nothing."""


def say(line: str) -> None:
    """Tell how far a measurement is, beside its table."""
    print(f"# {time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


@dataclass
class House:
    """A running stack with shops in it."""

    stack: Stack
    shops: list[dict[str, Any]] = field(default_factory=list)

    @property
    def web(self) -> str:
        return self.stack.urls.web

    @property
    def sandbox(self) -> str:
        return self.stack.urls.sandbox

    @property
    def database(self) -> str:
        return self.stack.urls.database

    def inside(self, command: str, **arguments: Any) -> Any:
        """Run a command of bench/inside.py in the stack's environment; return what it returned."""
        return self.inside_all(command, [arguments])[0]

    def inside_all(self, command: str, calls: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Run a command several times, in one process; return what each returned."""
        done = subprocess.run(
            [sys.executable, "-m", "bench.inside", json.dumps([[command, call] for call in calls])],
            cwd=ROOT,
            env=self.stack.env | {"PROCESS_NAME": "bench"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Late(f"bench.inside {command} failed:\n{done.stderr[-3000:]}")
        told: list[Any] = json.loads(done.stdout.splitlines()[-1])
        return told

    def spent(self, *, without: Sequence[str] = ("sandbox",)) -> float:
        """Return the processor seconds that the product and its servers have used so far."""
        return sum(self.spent_by(without=without).values())

    def spent_by(self, *, without: Sequence[str] = ("sandbox",)) -> dict[str, float]:
        """Return the processor seconds of each part, PostgreSQL and Redis among them."""
        return {name: cpu.of_trees([pid]) for name, pid in self.pids().items() if name not in without}

    def pids(self) -> dict[str, int]:
        """Return the main process of each part that runs, PostgreSQL and Redis among them."""
        parts = {part.name: part.pid for part in self.stack.processes() if part.pid is not None}
        servers = {"postgres": self.stack.postgres, "redis": self.stack.redis}
        return parts | {
            name: pid for name, server in servers.items() if (pid := getattr(server, "pid", None))
        }

    def query(self, statement: str) -> Any:
        """Return the first row of a statement."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(statement).fetchone()

    def wait(
        self,
        statement: str,
        reached: Callable[[Any], bool],
        *,
        seconds: float = PATIENCE_SECONDS,
        every: float = 0.01,
    ) -> float:
        """Look every 10 ms until the first row of a statement is as wanted; return the moment."""
        return wait_on(self.database, statement, reached, seconds=seconds, every=every)

    def settle_down(self) -> None:
        """Wait until nothing is due and the database has written what it must: no row starts with another's rest."""
        self.wait(
            "SELECT (SELECT count(*) FROM payments_job WHERE state IN ('waiting', 'running') AND due_at <= now()"
            " AND queue <> 'receipts') + (SELECT count(*) FROM payments_inboxevent WHERE state = 'received')",
            lambda row: row[0] == 0,
        )
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def latency(self, ms: int) -> None:
        """Let Stripe take so long for every answer."""
        requests.post(
            f"{self.sandbox}/_sandbox/config", json={"latency_ms": ms}, timeout=20
        ).raise_for_status()


def wait_on(
    database: str,
    statement: str,
    reached: Callable[[Any], bool],
    *,
    seconds: float = PATIENCE_SECONDS,
    every: float = 0.01,
) -> float:
    """Look every `every` seconds until the first row of a statement is as wanted; return the moment."""
    deadline = time.perf_counter() + seconds
    with psycopg.connect(database, autocommit=True) as connection:
        while not reached(row := connection.execute(statement).fetchone()):
            if time.perf_counter() > deadline:
                raise Late(f"after {seconds:.0f} s still {row}: {statement}")
            time.sleep(every)
    return time.perf_counter()


@contextlib.contextmanager
def opened(
    *,
    shops: int = 4,
    workers: Mapping[WorkerKind, int] | None = None,
    webhooks: bool = False,
    env: Mapping[str, str] | None = None,
) -> Iterator[House]:
    """Start a stack with shops. With `webhooks` the sandbox tells each of them of its events."""
    for name in GIVEN:
        os.environ.pop(name, None)
    with Stack(workers=workers, env={**ENV, **(env or {})}, say=lambda line: None) as stack:
        house = House(stack)
        signing = [f"whsec_{secrets.token_hex(16)}" for _ in range(shops)]
        house.shops = house.inside("shops", number=shops, webhook_secrets=signing)
        if webhooks:
            secrets_of = [
                {"business": shop["business"], "secret": _listen(house, shop)} for shop in house.shops
            ]
            house.inside_all("webhook_secret", secrets_of)
        yield house


def _listen(house: House, shop: dict[str, Any]) -> str:
    """Let the sandbox tell a shop of what Settings asks for; return the secret that it signs with."""
    answer = requests.post(
        f"{house.sandbox}/v1/webhook_endpoints",
        data={"url": house.web + shop["webhook"], "enabled_events[]": FOLLOWED},
        headers={"Authorization": f"Bearer sk_test_{shop['stripe']}_k"},
        timeout=20,
    )
    answer.raise_for_status()
    return str(answer.json()["secret"])


@contextlib.contextmanager
def receipts_wait(house: House) -> Iterator[None]:
    """Leave receipts in their queue, and forget them at the end: rendering and mailing them is no part of any row."""
    house.stack.take_down("worker-mail-1")
    try:
        yield
    finally:
        with psycopg.connect(house.database, autocommit=True) as connection:
            connection.execute(
                "UPDATE payments_job SET state = 'done', finished_at = now()"
                " WHERE queue = 'receipts' AND state = 'waiting'"
            )
        house.stack.bring_up("worker-mail-1")


@contextlib.contextmanager
def limits_web(house: House) -> Iterator[tuple[str, int]]:
    """Run the one-INSERT view on the stack's PostgreSQL, as many processes and threads as the product's web.

    Yields its address and its process's id.
    """
    with reserved_port() as port:
        process = _start_limit(
            house,
            *("granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
            *(
                "--workers",
                "2",
                "--blocking-threads",
                str(WEB_THREADS),
                "--no-ws",
                "bench.limits.wsgi:application",
            ),
            log="limits-web.log",
            env={"DATABASE_POOL_SIZE": str(WEB_THREADS)},
        )
        try:
            _wait_for(lambda: answers(f"http://127.0.0.1:{port}/"))
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            process.stop()


@contextlib.contextmanager
def limits_worker(house: House) -> Iterator[int]:
    """Run a Celery worker of two prefork children for the one-INSERT task; yields its process's id."""
    ready = house.stack.run_dir / "limits-worker.log"
    process = _start_limit(
        house,
        *("celery", "-A", "bench.limits.app", "worker", "-Q", "limits", "-P", "prefork", "-c", "2"),
        *("-l", "INFO", "--without-gossip", "--without-mingle", "-n", "limits@%h"),
        log=ready.name,
        env={},
    )
    try:
        _wait_for(lambda: " ready." in ready.read_text())
        yield process.pid
    finally:
        process.stop()


def limits_env(house: House) -> dict[str, str]:
    """Return the environment of the limits: the same servers, a database of their own."""
    return house.stack.env | {
        "LIMITS_DATABASE_URL": house.database.replace("/paydesk?", "/limits?"),
        "DJANGO_SETTINGS_MODULE": "bench.limits.settings",
    }


def _start_limit(house: House, *command: str, log: str, env: Mapping[str, str]) -> Leashed:
    with psycopg.connect(house.database, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'limits'").fetchone():
            connection.execute("CREATE DATABASE limits")
    with psycopg.connect(limits_env(house)["LIMITS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS one_row (id bigserial PRIMARY KEY, text text NOT NULL,"
            " at timestamptz NOT NULL DEFAULT now())"
        )
    return Leashed.start(
        [sys.executable, "-m", *command],
        log=house.stack.run_dir / log,
        env=limits_env(house) | dict(env),
        cwd=Path(ROOT),
    )


def _wait_for(is_reached: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_reached():
        if time.monotonic() > deadline:
            raise Late(f"a server was not ready after {seconds:.0f} s")
        time.sleep(0.1)
