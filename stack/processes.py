"""Runs all of Paydesk on one machine and keeps it running: servers, sandbox, web, workers, beat.

Three users: the demo shows it, the fault tests kill parts of it, the benchmarks drive it. A part that ends
unasked is started again: that is what a deployment does, and what "nothing is lost" is measured against.
"""

import base64
import contextlib
import dataclasses
import fcntl
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

from stack import lifetime, servers
from stack.lifetime import Leashed, PrivateFolder, StartError

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".paydesk"
KEPT_RUNS = 5  # folders of logs
READY_SECONDS = 90.0  # an import of everything on two busy cores takes some
MIGRATE_SECONDS = 180.0
WORKER_STOP_SECONDS = 15.0  # then SIGKILL: what it held is claimed again, here as in production
STOP_SECONDS = 10.0
WATCH_SECONDS = 0.1
BACK_OFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)  # before the n-th start in a row; the last one repeats
STEADY_SECONDS = 30.0  # a part that ran this long starts its back-off anew
TAIL_LINES = 20
WEB_THREADS = 4
STRIPE_CONCURRENCY = 16
MAIL_CONCURRENCY = 4
LEDGER_CONCURRENCY = 2

WorkerKind = Literal["stripe", "mail", "ledger"]
# What a kind of worker serves, and how: threads wait for Stripe cheaply, processes use both cores.
QUEUES: dict[WorkerKind, tuple[str, ...]] = {
    "stripe": ("intents", "terminal", "refunds", "reconcile"),
    "mail": ("receipts", "outgoing"),
    "ledger": ("webhooks", "orders", "maintenance"),
}
POOLS: dict[WorkerKind, tuple[str, ...]] = {
    "stripe": ("-P", "threads", "-c", str(STRIPE_CONCURRENCY)),
    "mail": ("-P", "threads", "-c", str(MAIL_CONCURRENCY)),
    "ledger": ("-P", "prefork", "-c", str(LEDGER_CONCURRENCY)),
}
# Connections a worker may open: threads share a pool, prefork's children keep one each (0: no pool).
POOL_SIZES: dict[WorkerKind, int] = {
    "stripe": STRIPE_CONCURRENCY + 2,
    "mail": MAIL_CONCURRENCY + 2,
    "ledger": 0,
}


@dataclasses.dataclass(frozen=True)
class Urls:
    """Where the running stack answers; `sandbox` is Stripe's API, `stripe_js` its script for the browser."""

    web: str
    sandbox: str
    stripe_js: str
    database: str
    redis: str
    broker: str


@dataclasses.dataclass(frozen=True)
class ProcessInfo:
    """One part as it is now. `pid` is None while it is down; `starts` counts how often it was started."""

    name: str
    pid: int | None
    starts: int
    log: Path


@dataclasses.dataclass
class _Part:
    """One supervised command."""

    name: str
    command: list[str]
    env: dict[str, str]
    log: Path
    is_ready: Callable[["_Part"], bool]
    stop_seconds: float = STOP_SECONDS
    process: Leashed | None = None
    wanted: bool = False
    starts: int = 0
    failures: int = 0  # ends in a row without a steady time between
    started_at: float = 0.0
    start_again_at: float | None = None
    log_offset: int = 0  # bytes: where the log of the present start begins
    life_sign: Path | None = None  # the file that a worker or beat touches while it works

    def start(self) -> None:
        """Start it once more. Raises StartError when it cannot be executed."""
        self.log_offset = self.log.stat().st_size if self.log.exists() else 0
        if self.life_sign is not None:
            self.life_sign.unlink(missing_ok=True)
        if folder := self.env.get("METRICS_DIR"):  # as a container's own /tmp: counted anew
            shutil.rmtree(folder, ignore_errors=True)
        self.starts += 1
        self.started_at = time.monotonic()
        self.start_again_at = None
        self.process = Leashed.start(self.command, log=self.log, env=self.env, cwd=ROOT)

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def shows_life(self) -> bool:
        """Tell whether the present start has got as far as touching its file."""
        return self.life_sign is not None and self.life_sign.exists()

    def said(self) -> str:
        """Return what it has logged since it was last started."""
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as log:
            log.seek(self.log_offset)
            return log.read().decode(errors="replace")
        return ""

    def tail(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.said().splitlines()[-TAIL_LINES:])


class Stack:
    """The whole system on this machine, as a context manager.

    `workers` tells how many of each kind; `env` adds to or overrides the variables of every part; `say` takes
    lines of progress (default: print them). `DATABASE_URL`, `REDIS_URL` and `CELERY_BROKER_URL` are used when
    the environment has them, otherwise servers are started. With `restarts=False` what ends stays down. With
    `shows_metrics=True` each worker, and beat, shows its metrics at the port that `metrics_ports` names.
    """

    def __init__(
        self,
        *,
        workers: Mapping[WorkerKind, int] | None = None,
        web: bool = True,
        beat: bool = True,
        env: Mapping[str, str] | None = None,
        restarts: bool = True,
        shows_metrics: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._worker_counts: dict[WorkerKind, int] = (
            dict(workers) if workers is not None else {"stripe": 1, "mail": 1, "ledger": 1}
        )
        self._with_web = web
        self._with_beat = beat
        self._extra_env = dict(env or {})
        self._restarts = restarts
        self._shows_metrics = shows_metrics
        self.metrics_ports: dict[str, int] = {}
        self._say = say or (lambda line: print(line, flush=True))
        self._guard = threading.RLock()  # parts and servers change under it
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None
        self._parts: dict[str, _Part] = {}
        self._open = contextlib.ExitStack()
        self._postgres: servers.PostgresServer | servers.GivenServer | None = None
        self._redis: servers.RedisServer | servers.GivenServer | None = None
        self._urls: Urls | None = None
        self._run_dir: Path | None = None
        self.env: dict[str, str] = {}

    # --- what others read ---

    @property
    def urls(self) -> Urls:
        """The addresses of the running stack."""
        assert self._urls is not None, "the stack is not started"
        return self._urls

    @property
    def postgres(self) -> servers.PostgresServer | servers.GivenServer:
        """The database server: kill and restart it at will."""
        assert self._postgres is not None, "the stack is not started"
        return self._postgres

    @property
    def redis(self) -> servers.RedisServer | servers.GivenServer:
        """The Redis server: kill, wipe and restart it at will."""
        assert self._redis is not None, "the stack is not started"
        return self._redis

    @property
    def run_dir(self) -> Path:
        """The folder of this run's logs, kept after the end."""
        assert self._run_dir is not None, "the stack is not started"
        return self._run_dir

    @property
    def mail_dir(self) -> Path:
        """The folder that mail is written to."""
        return self.run_dir / "mail"

    def processes(self) -> list[ProcessInfo]:
        """Return the supervised parts, in the order of their start."""
        with self._guard:
            return [
                ProcessInfo(
                    part.name,
                    part.process.pid if part.process and part.running else None,
                    part.starts,
                    part.log,
                )
                for part in self._parts.values()
            ]

    def pid(self, name: str) -> int | None:
        """Return the process id of a part, or None while it is down. Raises KeyError for an unknown name."""
        part = self._parts[name]
        return part.process.pid if part.process and part.running else None

    # --- start and end ---

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything; return when every part is healthy. Raises StartError with the end of a log."""
        lifetime.stop_at_exit(self)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        began = time.monotonic()
        self._run_dir = self._open.enter_context(run_folder())
        self._say(f"logs: {self._run_dir}")
        data = PrivateFolder()
        self._open.callback(data.remove)
        self._postgres = servers.postgres_from_environment_or_start(self.run_dir)
        self._open.callback(self._postgres.stop)
        self._redis = servers.redis_from_environment_or_start(self.run_dir)
        self._open.callback(self._redis.stop)
        web_port, sandbox_port = (self._open.enter_context(reserved_port()) for _ in range(2))
        sandbox_url = f"http://127.0.0.1:{sandbox_port}"
        self.env = environment(
            database_url=self._postgres.url,
            redis_url=self._redis.url,
            sandbox_url=sandbox_url,
            web_port=web_port,
            mail_dir=self.mail_dir,
            extra=self._extra_env,
        )
        self._urls = Urls(
            web=f"http://127.0.0.1:{web_port}",
            sandbox=sandbox_url,
            stripe_js=self.env["STRIPE_JS_URL"],
            database=self._postgres.url,
            redis=self._redis.url,
            broker=self.env["CELERY_BROKER_URL"],
        )
        self._define(web_port=web_port, sandbox_port=sandbox_port, data=data.path)
        self._parts["sandbox"].wanted = True
        self._parts["sandbox"].start()
        self._say("database: migrating")
        self.manage("migrate", "--noinput", log="migrate.log")
        for part in self._parts.values():
            if not part.wanted:
                part.wanted = True
                part.start()
        for name in self._parts:
            self.wait_ready(name)
        self._watcher = threading.Thread(target=self._watch, name="stack-watcher", daemon=True)
        self._watcher.start()
        self._say(f"running after {time.monotonic() - began:.1f} s")

    def stop(self) -> None:
        """Stop everything in order and remove its data; logs stay. Repeating is harmless."""
        self._ending.set()
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join()
        with self._guard:
            first = [part for part in self._parts.values() if part.name != "sandbox"]
            self._end(first)  # nobody asks for Stripe any more when the sandbox ends
            self._end([part for part in self._parts.values() if part.name == "sandbox"])
            self._open.close()  # in reverse: ports, Redis, PostgreSQL, data, the run's lock
        lifetime.stopped(self)

    @staticmethod
    def _end(parts: list[_Part]) -> None:
        for part in parts:  # all asked at once, then each waited for
            part.wanted = False
            if part.process is not None:
                part.process.send(signal.SIGTERM)
                part.process.send(signal.SIGCONT)  # one that a test has halted must hear it
        deadline = time.monotonic()
        for part in parts:
            if part.process is not None and (
                part.process.wait(max(0.0, deadline + part.stop_seconds - time.monotonic())) is None
            ):
                part.process.kill()
            part.process = None

    # --- commands and faults ---

    def manage(self, *arguments: str, log: str = "manage.log", seconds: float = MIGRATE_SECONDS) -> str:
        """Run `manage.py` with the stack's environment and return its output.

        Raises StartError when it fails or takes longer than `seconds`.
        """
        path = self.run_dir / log
        part = _Part("manage", [sys.executable, "manage.py", *arguments], self.env, path, lambda _part: True)
        part.start()
        assert part.process is not None
        code = part.process.wait(seconds)
        if code != 0:
            part.process.kill()
            what = f"took longer than {seconds:.0f} s" if code is None else f"ended with {code}"
            raise StartError(f"manage.py {' '.join(arguments)} {what} (log: {path})\n{part.tail()}")
        return part.said()

    def wait_ready(self, name: str, seconds: float = READY_SECONDS) -> None:
        """Wait until a part is healthy.

        Raises StartError with the end of its log when it is not within `seconds`, or ended at once.
        """
        part = self._parts[name]
        deadline = time.monotonic() + seconds
        while not (part.running and part.is_ready(part)):
            if self._watcher is None and not part.running:
                raise StartError(f"{name} ended at its start (log: {part.log})\n{part.tail()}")
            if time.monotonic() > deadline:
                raise StartError(
                    f"{name} is not healthy after {seconds:.0f} s (log: {part.log})\n{part.tail()}"
                )
            time.sleep(WATCH_SECONDS)

    def kill(self, name: str) -> int:
        """Kill a part and its children (SIGKILL) and return the id it had; the stack starts it again.

        Raises KeyError for an unknown name, ProcessLookupError when it is down.
        """
        process = self._parts[name].process
        if process is None or not process.running:
            raise ProcessLookupError(f"{name} is down")
        process.kill()
        return process.pid

    def kill_worker(self, kind: WorkerKind, number: int = 1) -> int:
        """Kill the n-th worker of a kind; see `kill`."""
        return self.kill(f"worker-{kind}-{number}")

    def send(self, name: str, number: int) -> None:
        """Send a signal to a part's main process: SIGSTOP makes it hang. KeyError for an unknown name."""
        process = self._parts[name].process
        if process is not None:
            process.send(number)

    def take_down(self, name: str) -> None:
        """Stop a part politely and leave it down until `bring_up`. Raises KeyError for an unknown name."""
        with self._guard:
            self._end([self._parts[name]])

    def replace(self, name: str, *, seconds: float) -> float:
        """Ask a part to end, as a deployment does, and start it again; return how long its end took.

        Raises StartError when it has not ended after `seconds`: a deployment would have killed it then.
        """
        with self._guard:
            part = self._parts[name]
            part.wanted = False
            assert part.process is not None
            asked = time.monotonic()
            part.process.send(signal.SIGTERM)
            ended = part.process.wait(seconds) is not None
            took = time.monotonic() - asked
            if not ended:
                part.process.kill()
        self.bring_up(name)
        if not ended:
            raise StartError(f"{name} did not end within {seconds:.0f} s (log: {part.log})")
        return took

    def bring_up(self, name: str) -> None:
        """Start a part that was taken down and wait until it is healthy. Raises KeyError, StartError."""
        with self._guard:
            part = self._parts[name]
            part.wanted, part.failures = True, 0
            if not part.running:
                part.start()
        self.wait_ready(name)

    # --- inside ---

    def _define(self, *, web_port: int, sandbox_port: int, data: Path) -> None:
        python = sys.executable
        run_id = secrets.token_hex(3)

        def add(
            name: str,
            *command: str,
            is_ready: Callable[[_Part], bool],
            stop_seconds: float = STOP_SECONDS,
            pool: int = 0,
            life_sign: str | None = None,
        ) -> None:
            own = data / name  # probes leave their files there: shared, one worker would vouch for another
            own.mkdir()
            env = self.env | {"PROCESS_NAME": name, "PROBE_DIR": str(own)}
            if pool:
                env["DATABASE_POOL_SIZE"] = str(pool)
            if self._shows_metrics and name != "sandbox":
                env["METRICS_DIR"] = str(own / "metrics")
            if self._shows_metrics and life_sign:
                self.metrics_ports[name] = self._open.enter_context(reserved_port())
                env["METRICS_PORT"] = str(self.metrics_ports[name])
            self._parts[name] = _Part(
                name,
                [python, "-m", *command],
                env,
                self.run_dir / f"{name}.log",
                is_ready,
                stop_seconds,
                life_sign=own / f"paydesk-{life_sign}.alive" if life_sign else None,
            )

        add(
            "sandbox",
            *(
                "sandbox",
                "--host",
                "127.0.0.1",
                "--port",
                str(sandbox_port),
                "--data",
                str(data / "sandbox.db"),
            ),
            is_ready=lambda _part: answers(f"http://127.0.0.1:{sandbox_port}/_sandbox/health"),
        )
        if self._with_web:
            add(
                "web",
                *("granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(web_port)),
                *("--workers", "2", "--blocking-threads", str(WEB_THREADS), "--respawn-failed-workers"),
                "web.wsgi:application",
                is_ready=lambda _part: answers(f"http://127.0.0.1:{web_port}/healthz"),
                pool=WEB_THREADS,
            )
        for kind, count in self._worker_counts.items():
            for number in range(1, count + 1):
                add(
                    f"worker-{kind}-{number}",
                    *("celery", "-A", "workers.app", "worker", "-Q", ",".join(QUEUES[kind]), *POOLS[kind]),
                    *(
                        "-n",
                        f"{kind}-{run_id}-{number}@%h",
                        "-l",
                        "INFO",
                        "--without-gossip",
                        "--without-mingle",
                    ),
                    is_ready=_Part.shows_life,
                    life_sign="worker",
                    stop_seconds=WORKER_STOP_SECONDS,
                    pool=POOL_SIZES[kind],
                )
        if self._with_beat:
            add(
                "beat",
                *("celery", "-A", "workers.app", "beat", "-l", "INFO"),
                is_ready=_Part.shows_life,
                life_sign="beat",
            )

    def _watch(self) -> None:
        """Start again what ended unasked, until the stack ends."""
        while not self._ending.wait(WATCH_SECONDS):
            if not self._restarts:
                continue
            with self._guard:
                for server in (self._postgres, self._redis):
                    if server is not None and server.crashed:
                        self._say(f"{type(server).__name__} ended unasked: starting it again")
                        with contextlib.suppress(
                            StartError
                        ):  # the log has the reason, the next look tries again
                            server.restart()
                for part in self._parts.values():
                    if part.wanted and not part.running:
                        self._start_again(part)

    def _start_again(self, part: _Part) -> None:
        now = time.monotonic()
        if part.start_again_at is None:
            if now - part.started_at > STEADY_SECONDS:
                part.failures = 0
            delay = BACK_OFF_SECONDS[min(part.failures, len(BACK_OFF_SECONDS) - 1)]
            part.failures += 1
            part.start_again_at = now + delay
            code = part.process.returncode if part.process is not None else None
            self._say(
                f"{part.name} ended ({outcome(code)}): starting it again"
                + (f" in {delay} s" if delay else "")
            )
        if now >= part.start_again_at:
            with contextlib.suppress(StartError):  # tried again at the next look
                part.start()


def environment(
    *,
    database_url: str,
    redis_url: str,
    sandbox_url: str,
    web_port: int,
    mail_dir: Path,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the variables that every part runs with: the caller's and all that Paydesk's settings read.

    Keys are made anew unless given, so that a database that outlives the run can be read again with its own.
    """
    mail_dir.mkdir(parents=True, exist_ok=True)
    given = os.environ
    return {
        **given,
        "DJANGO_SETTINGS_MODULE": "web.settings",
        "DEBUG": "false",
        "PAYDESK_LOCAL": "true",  # cookies over http, static files without collecting them
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "CELERY_BROKER_URL": given.get("CELERY_BROKER_URL") or redis_url,
        "SECRET_KEY": given.get("SECRET_KEY") or secrets.token_urlsafe(48),
        "FIELD_ENCRYPTION_KEYS": given.get("FIELD_ENCRYPTION_KEYS") or fernet_key(),
        "STRIPE_API_BASE": sandbox_url,
        "STRIPE_JS_URL": f"{sandbox_url}/stripe.js",
        "EMAIL_URL": f"filemail:///{mail_dir}",  # three slashes, then the path: with two it would be relative
        "PUBLIC_ORIGIN": f"http://{{host}}:{web_port}",
        "ALLOWED_HOSTS": "localhost,.localhost,127.0.0.1,[::1]",
        "PYTHONUNBUFFERED": "1",
        **(extra or {}),
    }


def fernet_key() -> str:
    """Return a new key for the encrypted fields."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def outcome(code: int | None) -> str:
    """Return an exit code in words."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"code {code}"


def answers(url: str) -> bool:
    """Tell whether a GET of the address is answered with 200 within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  (our own http address)
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """Hold a free TCP port of 127.0.0.1: nobody is handed it, and the part that is told to can listen on it.

    A bound socket that does not listen gets no connection, yet the system counts its port as taken. So a part
    that is started again finds its port free, and two stacks side by side never meet.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        port: int = holder.getsockname()[1]
        yield port


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Make the folder of this run's logs, locked while it runs; of all of them the newest five stay."""
    STATE.mkdir(exist_ok=True)
    runs = sorted(STATE.glob("run-*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for old in runs[KEPT_RUNS - 1 :]:
        with contextlib.suppress(OSError), held(old / "run.lock"):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"run-{time.strftime('%m%d-%H%M%S')}-", dir=STATE))
    with held(folder / "run.lock"):
        yield folder


@contextlib.contextmanager
def held(path: Path) -> Iterator[TextIO]:
    """Hold a lock file. Raises OSError when another process holds it."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
