"""`make pooled-check`: PgBouncer between Paydesk and its database, and a live copy of that for reports.

Sells through a PgBouncer in transaction mode (Debian: apt-get install pgbouncer) and compares the books; sees that
reports are read from a streaming replica by what one that stands still does not show yet; kills the replica and sees
that their pages answer all the same. Ends with 1 where something is not so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg

from stack import demo, quiet
from stack.clerk import Clerk
from stack.customer import Customer
from stack.lifetime import Leashed, StartError
from stack.processes import ROOT, Stack, environment
from stack.servers import (
    DATABASE,
    SUPERUSER,
    PostgresServer,
    RedisServer,
    free_port,
    postgres_installation,
    reachable_binaries,
    unprivileged_user,
)

CUSTOMERS, SALES_EACH = 6, 5
SERVER_CONNECTIONS = 12  # of PostgreSQL, for all of Paydesk; without PgBouncer it opens more than thirty
BOOKS_SECONDS = 120.0
READY_SECONDS = 60.0
RULES = {"lock_timeout": "5s", "idle_in_transaction_session_timeout": "30s", "statement_timeout": "60s"}


def _wait(is_there: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> float:
    began = time.monotonic()
    while not is_there():
        if time.monotonic() - began > seconds:
            raise StartError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)
    return time.monotonic() - began


def _answers(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=3).close()
        return True
    return False


@contextlib.contextmanager
def pgbouncer(folder: Path, sockets: Path, user: tuple[int, int] | None) -> Iterator[str]:
    """Run a PgBouncer in transaction mode in front of the server whose sockets lie there; yield the address."""
    binary = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if binary is None:
        raise StartError("no pgbouncer: apt-get install pgbouncer")
    port = free_port()
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{DATABASE} = host={sockets} dbname={DATABASE} user={SUPERUSER}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 300\n"
    )
    process = Leashed.start([binary, configuration], log=folder / "pgbouncer.log", cwd=folder, user=user)
    try:
        url = f"postgres://{SUPERUSER}@127.0.0.1:{port}/{DATABASE}"
        _wait(lambda: _answers(url), f"PgBouncer (log: {folder / 'pgbouncer.log'})")
        yield url
    finally:
        process.stop()


class Replica:
    """A copy that follows a server by its log, on a socket of its own."""

    def __init__(self, folder: Path, primary: PostgresServer, user: tuple[int, int] | None) -> None:
        self._folder, self._user = folder, user
        self._binaries = reachable_binaries(postgres_installation(), folder, user)
        self._data, self._sockets = folder / "data", folder / "s"
        self._sockets.mkdir(mode=0o700)
        if user is not None:
            os.chown(self._sockets, *user)
        options = ("-D", self._data, "-d", primary.url_of("postgres"), "-R", "-X", "stream", "-c", "fast")
        copied = Leashed.start(
            [self._binaries / "pg_basebackup", *options], log=folder / "replica.log", cwd=folder, user=user
        )
        if (code := copied.wait(READY_SECONDS)) != 0:
            raise StartError(f"pg_basebackup ended with {code} (log: {folder / 'replica.log'})")
        self.url = f"postgres://{SUPERUSER}@/{DATABASE}?host={quote(str(self._sockets), safe='/')}"
        self._process: Leashed | None = None

    def start(self) -> None:
        """Have it follow."""
        self._process = Leashed.start(
            [
                self._binaries / "postgres",
                *("-D", self._data, "-c", f"unix_socket_directories={self._sockets}"),
            ],
            log=self._folder / "replica.log",
            cwd=self._folder,
            user=self._user,
        )
        _wait(lambda: _answers(self.url), f"the replica (log: {self._folder / 'replica.log'})")

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def halts(self, is_halted: bool) -> None:
        """Let it stand still, or follow again."""
        with psycopg.connect(self.url, autocommit=True) as own:
            own.execute(b"SELECT pg_wal_replay_pause()" if is_halted else b"SELECT pg_wal_replay_resume()")

    def lag_bytes(self, primary_url: str) -> int:
        """Return how much of the server's log it has not played yet."""
        with psycopg.connect(primary_url) as theirs, psycopg.connect(self.url) as own:
            ((now,),) = theirs.execute(b"SELECT pg_current_wal_lsn()").fetchall()
            ((lag,),) = own.execute(
                b"SELECT pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn())::bigint", [now]
            ).fetchall()
        return int(lag)


class Connections(threading.Thread):
    """Counts PostgreSQL's sessions while people buy, and keeps the most."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url, self.most, self.ended = url, 0, threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as own:
            while not self.ended.wait(0.2):
                ((number,),) = own.execute(
                    b"SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
                    b" AND backend_type = 'client backend'",
                    [DATABASE],
                ).fetchall()
                self.most = max(self.most, int(number))


def sell(stack: Stack, studio: demo.Studio) -> int:
    """Let several people buy at once; return how many orders there are then."""
    numbers: list[str] = []

    def buy(who: int) -> None:
        for _ in range(SALES_EACH):
            customer = Customer(site=studio.site, stripe=stack.urls.sandbox)
            cart = customer.fill_cart(
                {studio.item("VIDEO"): 1}, name=f"Guest {who}", email=f"guest{who}@guest.example"
            )
            payment = customer.ask_to_pay(cart)
            customer.pay(payment, demo.GOOD_CARD)
            numbers.append(str(customer.wait_for_the_end(payment)["order"]["number"]))

    buyers = [threading.Thread(target=buy, args=(who,)) for who in range(CUSTOMERS)]
    for buyer in buyers:
        buyer.start()
    for buyer in buyers:
        buyer.join()
    return len(set(numbers))


def check_reports(stack: Stack, studio: demo.Studio, replica: Replica, primary: str) -> list[str]:
    """See where reports are read, and what their pages do without the copy; return what was wrong."""
    ask = (
        "from django.db import transaction; from django.utils import timezone; "
        "from web.payments.jobs import IMPORT_BALANCE, enqueue_for_account as ask; "
        "from web.payments.models import StripeAccount; "
        "[transaction.atomic(ask)(IMPORT_BALANCE, one, now=timezone.now()) for one in StripeAccount.objects.all()]"
    )
    stack.manage("shell", "-v", "0", "-c", ask)
    with psycopg.connect(primary, autocommit=True) as own:

        def booked() -> int:
            ((number,),) = own.execute(b"SELECT count(*) FROM payments_balanceentry").fetchall()
            return int(number)

        _wait(lambda: booked() > 0, "Stripe's balance is read", BOOKS_SECONDS)
        caught_up = _wait(lambda: replica.lag_bytes(primary) == 0, "the replica follows")
        clerk = Clerk(site=studio.site, email=studio.person("owner")["email"], password=demo.PASSWORD)
        wrong = []

        def lines() -> int:
            return clerk.page("/reconciliation/export/").count("txn_")

        before = lines()
        replica.halts(True)
        own.execute(
            b"UPDATE payments_balanceentry SET entry_id = replace(entry_id, 'txn_', 'hidden_')"
            b" WHERE id = (SELECT max(id) FROM payments_balanceentry)"
        )
        behind = lines()
        lag = replica.lag_bytes(primary)
        replica.halts(False)
        _wait(lambda: replica.lag_bytes(primary) == 0, "the replica follows again")
        after = lines()
        print(f"replica: {before} lines; {behind} while it stands still, {lag} bytes behind; then {after}; "
              f"had caught up after {caught_up:.1f} s")  # fmt: skip
        if (behind, after) != (before, before - 1):
            wrong.append("reports are not read from the replica")
        replica.kill()
        took = []
        for _ in range(2):
            began = time.monotonic()
            if lines() != after or "Payouts" not in clerk.page("/reconciliation/"):
                wrong.append("a report is not whole without the replica")
            took.append(time.monotonic() - began)
        print(f"replica dead: two pages after {took[0]:.1f} s, again after {took[1]:.1f} s")
        own.execute(b"UPDATE payments_balanceentry SET entry_id = replace(entry_id, 'hidden_', 'txn_')")
        replica.start()
    return wrong


def main() -> int:
    """Run it all; return 1 where something was not so."""
    wrong: list[str] = []
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="paydesk-pooled-")))
        user = unprivileged_user(folder)
        folder.chmod(0o755)
        for name in ("pgbouncer", "replica"):
            (folder / name).mkdir()
            if user is not None:
                os.chown(folder / name, *user)
        primary = held.enter_context(PostgresServer.start(folder))
        redis = held.enter_context(RedisServer.start(folder))
        direct = primary.url
        keys = environment(
            database_url=direct, redis_url=redis.url, sandbox_url="http://127.0.0.1:1", web_port=1,
            mail_dir=folder / "mail",
        )  # fmt: skip
        # Migrations go to PostgreSQL itself, and what a session's rules were stands on the role.
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--noinput", "-v", "0"], env=keys, cwd=ROOT, check=True
        )
        with psycopg.connect(direct, autocommit=True) as own:
            for name, value in RULES.items():
                own.execute(f"ALTER ROLE {SUPERUSER} SET {name} = '{value}'".encode())
        sockets = Path(direct.partition("host=")[2])
        pooled = held.enter_context(pgbouncer(folder / "pgbouncer", sockets, user))
        replica = Replica(folder / "replica", primary, user)
        held.callback(replica.kill)
        replica.start()
        os.environ["DATABASE_URL"] = pooled
        env = {"DATABASE_SESSION": "", "DATABASE_REPLICA_URL": replica.url}
        stack = held.enter_context(Stack(env=env, say=lambda _line: None))
        studio = demo.open_studio(stack)
        count = Connections(direct)
        count.start()
        orders = sell(stack, studio)
        found = quiet.until_the_books_agree(
            direct, stack.urls.sandbox, [demo.ACCOUNT], seconds=BOOKS_SECONDS, mail_dir=stack.mail_dir
        )
        count.ended.set()
        wrong += [str(one) for one in found]
        print(f"PgBouncer: {orders} orders of {CUSTOMERS * SALES_EACH}, {len(found)} differences in the books, "
              f"at most {count.most} sessions of PostgreSQL")  # fmt: skip
        if orders != CUSTOMERS * SALES_EACH:
            wrong.append("not everybody was sold to")
        if count.most > SERVER_CONNECTIONS + 4:  # ours, and the replica's
            wrong.append("somebody goes round PgBouncer")
        wrong += check_reports(stack, studio, replica, direct)
    for line in wrong:
        print(f"WRONG {line}")
    print("pooled: " + ("all as it should be" if not wrong else f"{len(wrong)} wrong"))
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StartError as reason:
        sys.exit(str(reason))
