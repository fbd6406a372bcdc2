"""`make guards`: does each guard have a test that fails without it? Break one, run its test, see it fail; next.

Works in a copy of the sources, never in the checkout. A guard in the code is broken by replacing a text; one in
the database by statements that run when the test's database has been made. A test that still passes is a guard
that nothing holds: exit code 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg

from stack.servers import PostgresServer, RedisServer

ROOT = Path(__file__).resolve().parents[2]
SALE = "tests/integration/tasks/test_sale.py"
SCENARIOS = "tests/faults/test_scenarios.py"
JOBS = "tests/integration/payments/test_jobs.py"
GUARDS = "tests/integration/payments/test_guards.py"


@dataclass(frozen=True)
class Guard:
    """A guard, how it is broken, and the test that must fail then."""

    name: str
    test: str
    sql: str = ""
    file: str = ""
    old: str = ""
    new: str = ""


def constraint(table: str, name: str, test: str) -> Guard:
    """Return a guard that is a constraint or a unique index."""
    sql = f"ALTER TABLE payments_{table} DROP CONSTRAINT IF EXISTS {name}; DROP INDEX IF EXISTS {name};"
    return Guard(name, test, sql=sql)


TABLE: tuple[Guard, ...] = (
    constraint("payment", "a_form_makes_one_payment", f"{GUARDS}::test_one_form_one_payment_one_intent"),
    constraint("payment", "an_intent_belongs_to_one_payment", f"{GUARDS}::test_one_form_one_payment_one_intent"),
    constraint("payment", "a_payment_succeeds_with_exactly_its_amount", f"{GUARDS}::test_amounts"),
    constraint("payment", "refunds_never_exceed_the_payment", f"{GUARDS}::test_amounts"),
    constraint("cart", "payments_never_exceed_the_frozen_total", f"{GUARDS}::test_one_total"),
    constraint("order", "a_cart_becomes_one_order", f"{GUARDS}::test_a_cart_becomes_one_order_that_adds_up"),
    constraint("order", "an_order_adds_up", f"{GUARDS}::test_a_cart_becomes_one_order_that_adds_up"),
    constraint(
        "attempt", "a_payment_has_one_open_attempt_per_operation", f"{GUARDS}::test_one_open_attempt_per_operation"
    ),
    constraint("refund", "a_payment_has_one_refund_under_way", f"{GUARDS}::test_one_refund_under_way"),
    Guard(
        "state machines (triggers)",
        f"{GUARDS}::test_a_state_machine_is_not_left_by_sql",
        sql="DROP TRIGGER payment_moves_along_its_edges ON payments_payment;",
    ),
    Guard(
        "history is append-only (trigger)",
        f"{GUARDS}::test_history_and_money_are_never_deleted_or_rewritten",
        sql="DROP TRIGGER paymentevent_is_never_changed ON payments_paymentevent;",
    ),
    Guard(
        "the cart's row lock",
        f"{SCENARIOS}::test_two_tabs_ask_at_the_same_moment",
        file="web/payments/locks.py",
        old='Cart.objects.select_for_update(no_key=True, of=("self",)).select_related',
        new="Cart.objects.select_related",
    ),
    Guard(
        "rows are locked in one order",
        f"{SALE}::test_cancelling_is_certain_only_when_stripe_says_so",
        file="web/payments/locks.py",
        old="    locked_cart = _cart_of",
        new="    list(Payment.objects.select_for_update(no_key=True).filter(cart_reference=reference))\n"
        "    locked_cart = _cart_of",
    ),
    Guard(
        "a live payment is given back to every form",
        f"{SCENARIOS}::test_two_tabs_ask_at_the_same_moment",
        file="web/payments/operations/intents.py",
        old="    if live is not None:",
        new="    if False and live is not None:",
    ),
    Guard(
        "the key of an open attempt is used again",
        f"{SALE}::test_an_unknown_answer_is_asked_again_with_the_same_key",
        file="web/payments/operations/attempts.py",
        old="            attempt.sends += 1\n",
        new="            attempt.sends += 1\n            attempt.key += f'-{attempt.sends}'\n",
    ),
    Guard(
        "a lease's fence before an attempt",
        f"{SCENARIOS}::test_an_old_fence_opens_no_attempt",
        file="web/payments/operations/attempts.py",
        old="    jobs.hold(lease)\n",
        new="",
    ),
    Guard(
        "a lease's fence at the end of a job",
        f"{SCENARIOS}::test_an_old_fence_opens_no_attempt",
        file="web/payments/locks.py",
        old="AND fence = %s AND state = %s FOR NO KEY UPDATE",
        new="AND %s > 0 AND state = %s FOR NO KEY UPDATE",
    ),
    Guard(
        "the inbox stores an event once",
        f"{SALE}::test_24_copies_of_one_event_at_once_are_one_effect",
        file="web/payments/operations/arrivals.py",
        old="ON CONFLICT (account_id, event_id) DO NOTHING",
        new="ON CONFLICT (account_id, event_id) DO UPDATE SET state = 'received'",
    ),
    Guard(
        "an event is acknowledged with its effect only",
        f"{SCENARIOS}::test_scenario_8_a_handler_raises_once",
        file="web/payments/operations/inbox.py",
        old="            _put_off(group[0].event, error, now=now)\n",
        new="            group[0].event.state = InboxEvent.State.APPLIED\n",
    ),
    Guard(
        "another amount is held",
        f"{SALE}::test_another_amount_is_held_and_never_fulfilled",
        file="web/payments/operations/settling.py",
        old="    elif received != asked:\n        payment.held_reason = HeldReason.AMOUNT\n",
        new="",
    ),
    Guard(
        "cancelling is a request",
        f"{SALE}::test_cancelling_is_certain_only_when_stripe_says_so",
        file="web/payments/operations/intents.py",
        old="move(sale, payment, PaymentState.CANCELLING, now=now, actor=actor)",
        new="move(sale, payment, PaymentState.CANCELLING, now=now, actor=actor)\n"
        "    move(sale, payment, PaymentState.CANCELLED, now=now, actor=actor)",
    ),
    Guard(
        "nobody waits for a webhook for ever",
        f"{SALE}::test_silence_is_broken_by_a_look",
        file="web/payments/operations/intents.py",
        old=".filter(next_check_at__lte=now)",
        new=".filter(next_check_at__lte=now - datetime.timedelta(days=3650))",
    ),
    Guard(
        "an expired lease is claimed again",
        f"{JOBS}::test_a_job_is_claimed_once_and_again_only_after_its_lease",
        sql="DO $do$ BEGIN EXECUTE replace(pg_get_functiondef('payments_claim_1'::regproc),"
        " 'AS due_at FROM expired', 'AS due_at FROM expired WHERE false'); END $do$;",
    ),
    Guard(
        "a running job does not swallow a wake-up",
        f"{JOBS}::test_a_running_job_does_not_swallow_a_new_wake_up",
        sql="CREATE UNIQUE INDEX swallows ON payments_job (name, dedup_key)"
        " WHERE state IN ('waiting', 'running');",
    ),
    Guard(
        "the receipt is noted as sent",
        f"{SCENARIOS}::test_scenario_3_the_order_is_made_and_its_mail_fails",
        file="web/payments/operations/receipts.py",
        old="Receipt.objects.filter(id=receipt.id, sent_at=None).update(sent_at=now)",
        new="Receipt.objects.filter(id=receipt.id).update(sent_at=None)",
    ),
)  # fmt: skip

CLEAN = "clean"


class Workshop:
    """A PostgreSQL with one migrated test database, copied for each guard, and a copy of the sources for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres, self.redis = PostgresServer.start(folder), RedisServer.start(folder)

    def open(self) -> None:
        """Migrate once; keep the result as the template."""
        if self._pytest(ROOT, f"{GUARDS}::test_triggers_hold_exactly_the_edges_of_the_code").returncode:
            sys.exit("the tests do not run at all")
        self._sql("postgres", f"ALTER DATABASE test_paydesk RENAME TO {CLEAN}")

    def is_held(self, guard: Guard) -> bool:
        """Break the guard, run its test, and tell whether the test failed."""
        self._sql("postgres", f"CREATE DATABASE test_paydesk TEMPLATE {CLEAN}")
        try:
            if guard.sql:
                self._sql("test_paydesk", guard.sql)
            with tempfile.TemporaryDirectory(dir=self.folder) as place:
                return self._fails(guard, Path(place) / "copy")
        finally:
            self._sql("postgres", "DROP DATABASE test_paydesk WITH (FORCE)")

    def _fails(self, guard: Guard, copy: Path) -> bool:
        ignored = shutil.ignore_patterns(".git", ".venv", ".paydesk", "*_cache", "tmp")
        shutil.copytree(ROOT, copy, symlinks=True, ignore=ignored)
        if guard.file:
            path = copy / guard.file
            text = path.read_text()
            if guard.old not in text:
                print(f"the text that breaks {guard.name} is no longer in {guard.file}")
                return False
            path.write_text(text.replace(guard.old, guard.new))
        ended = self._pytest(copy, guard.test)
        last = ended.stdout.splitlines()[-1:] or [""]
        has_failed = " failed" in last[0]  # besides, what is deferred to the end of its transaction may raise
        if ended.returncode not in (0, 1) or ("error" in last[0] and not has_failed):  # it proves nothing
            print(ended.stdout[-2000:], ended.stderr[-2000:])
        return ended.returncode == 1 and has_failed

    def _pytest(self, where: Path, test: str) -> subprocess.CompletedProcess[str]:
        options = ("-x", "-q", "--reuse-db", "-p", "no:cacheprovider", "-o", "timeout=600")
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options, test],
            cwd=where,
            env={**os.environ, "DATABASE_URL": self.postgres.url, "REDIS_URL": self.redis.url},
            capture_output=True,
            text=True,
            check=False,
        )

    def _sql(self, database: str, statements: str) -> None:
        with psycopg.connect(self.postgres.url_of(database), autocommit=True) as connection:
            connection.execute(statements.encode())

    def close(self) -> None:
        self.redis.stop()
        self.postgres.stop()


def main() -> int:
    """Break each guard and print the table; return 1 where a test did not notice."""
    parser = argparse.ArgumentParser(description="Break each guard and see its test fail")
    parser.add_argument("-k", default="", help="only guards whose name contains this")
    options = parser.parse_args()
    unheld = 0
    with tempfile.TemporaryDirectory(prefix="paydesk-guards-") as folder:
        workshop = Workshop(Path(folder))
        try:
            workshop.open()
            for guard in TABLE:
                if options.k in guard.name:
                    is_held = workshop.is_held(guard)
                    unheld += not is_held
                    verdict = "held" if is_held else "NOT HELD"
                    print(f"| {guard.name} | `{guard.test}` | {verdict} |", flush=True)
        finally:
            workshop.close()
    print(f"guards: {unheld} that no test holds")
    return 1 if unheld else 0


if __name__ == "__main__":
    sys.exit(main())
