"""`make ops-speed`: how the pages of operations, and `/metrics`, answer with a million jobs and a million events.

Each is asked for with an almost empty database first, and again when it is full; what is printed is how much longer it
takes, which says more than a time of one machine. `--explain` prints the plans of the queries that took long then.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import psycopg
import requests

from stack.clerk import Clerk
from stack.demo import PASSWORD, PUBLISHABLE_KEY, SECRET_KEY
from stack.processes import Stack

TIMES = 5
TOKEN = "of-this-run"  # noqa: S105
SLOW_MS = 200
# Most are done; fifty thousand are due and as many later, ten thousand were given up, of seven queues.
JOBS = """
INSERT INTO payments_job (public_id, name, queue, business_id, arguments, priority, state, attempts, put_offs, due_at,
                          leased_until, fence, worker, last_error, created_at, started_at, finished_at)
SELECT gen_random_uuid(), (ARRAY['create_intent', 'send_receipt', 'read_intent', 'submit_refund'])[1 + n %% 4],
       (ARRAY['intents', 'receipts', 'intents', 'refunds'])[1 + n %% 4], business.id,
       jsonb_build_object('payment_id', n), 5 * (n %% 2), kind.state,
       CASE WHEN kind.state = 'dead' THEN 12 ELSE n %% 3 END,
       0, now() - make_interval(secs => kind.secs), CASE WHEN kind.state = 'running' THEN now() END, 1, 'w:1:1',
       CASE WHEN kind.state = 'dead' THEN 'Error' || n %% 7 ELSE '' END, now() - interval '7 days',
       now() - make_interval(secs => kind.secs),
       CASE WHEN kind.state IN ('done', 'dead') THEN now() - make_interval(secs => kind.secs) END
FROM generate_series(1, %(number)s) AS n
CROSS JOIN LATERAL (SELECT CASE WHEN n %% 100 < 10 THEN 'waiting'
                                WHEN n %% 100 = 10 THEN 'dead' WHEN n %% 5000 = 11 THEN 'running'
                                ELSE 'done' END AS state,
                           CASE WHEN n %% 100 BETWEEN 5 AND 9 THEN -1.0 ELSE 1.0 END * (n %% 604800) AS secs) AS kind
JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place, count(*) OVER () AS number FROM core_business) AS business
     ON business.place = 1 + n %% business.number
"""
EVENTS = """
INSERT INTO payments_inboxevent (account_id, event_id, event_type, object_id, occurred_at, received_at, payload, state,
                                 tries, due_at, error, settled_at)
SELECT (SELECT min(id) FROM payments_stripeaccount), 'evt_' || md5(n::text), 'payment_intent.succeeded', 'pi_' || n,
       at.at, at.at, jsonb_build_object('id', n),
       CASE WHEN n %% 100 = 1 THEN 'received' WHEN n %% 200 = 2 THEN 'dead' ELSE 'applied' END, 1, at.at, '', at.at
FROM generate_series(1, %(number)s) AS n
CROSS JOIN LATERAL (SELECT now() - make_interval(secs => n * 3) AS at) AS at
"""
PAGES = (
    "/ops/",
    "/ops/live/",
    "/ops/charts/?hours=24",
    "/ops/jobs/?state=dead",
    "/ops/jobs/?state=dead&queue=refunds&error=Error3",
    "/ops/jobs/?state=waiting&queue=receipts",
    "/ops/jobs/?state=done",
    "/ops/jobs/?state=done&name=create_intent&queue=intents",
    "/ops/jobs/?state=done&name=submit_refund&error=Nothing",
    "/ops/jobs/?state=running",
    "/ops/jobs/retry/",
    "/ops/events/?state=received",
    "/ops/events/?state=dead",
    "/ops/money/",
    "/ops/find/?q=req_unknown",
    "/ops/find/?q=evt_unknown",
)


def took(ask: Callable[[], object]) -> float:
    """Return how many milliseconds it takes, the middle of some."""
    times = []
    for _ in range(TIMES):
        began = time.monotonic()
        ask()
        times.append(1000 * (time.monotonic() - began))
    return statistics.median(times)


def measured(stack: Stack, clerk: Clerk) -> dict[str, float]:
    """Return how long each page takes, and `/metrics` when its figures are read anew."""

    def metrics() -> None:
        time.sleep(5.1)  # figures are kept for five seconds
        answer = requests.get(
            f"{stack.urls.web}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        )
        assert "paydesk_database_up 1.0" in answer.text

    times = {page: took(lambda page=page: clerk.page(page)) for page in PAGES}  # type: ignore[misc]
    return {**times, "/metrics": took(metrics) - 5100}


def main() -> int:
    """Measure, fill, measure again; return 1 where a page does not answer within a second."""
    parser = argparse.ArgumentParser(description="Measure /ops/ on an empty and on a full database")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--explain", action="store_true", help="print the plans of slow queries")
    options = parser.parse_args()
    with Stack(workers={}, beat=False, env={"METRICS_TOKEN": TOKEN}, say=lambda _line: None) as stack:
        keys = ("--publishable-key", PUBLISHABLE_KEY, "--secret-key", SECRET_KEY)
        stack.manage("seed_studio", "--password", PASSWORD, *keys)
        stack.manage("operators", "grant", "owner@hanriver.example", "--business", "1001")
        clerk = Clerk(
            site=stack.urls.web.replace("127.0.0.1", "localhost"),
            email="owner@hanriver.example",
            password=PASSWORD,
        )
        empty = measured(stack, clerk)
        with psycopg.connect(stack.urls.database, autocommit=True) as own:
            for statement in (JOBS, EVENTS):
                own.execute(statement.encode(), {"number": options.rows})
            own.execute(b"VACUUM ANALYZE payments_job, payments_inboxevent")
            if options.explain:
                own.execute(b"ALTER DATABASE paydesk SET session_preload_libraries = 'auto_explain'")
                own.execute(f"ALTER DATABASE paydesk SET auto_explain.log_min_duration = {SLOW_MS}".encode())
                own.execute(b"ALTER DATABASE paydesk SET auto_explain.log_analyze = on")
                stack.replace("web", seconds=30)
        full = measured(stack, clerk)
        for page, time_full in sorted(full.items(), key=lambda one: -one[1]):
            print(
                f"{time_full / max(empty[page], 1):6.1f} x  {empty[page]:6.0f} ms  {time_full:6.0f} ms  {page}"
            )
        if options.explain:
            print(f"plans: {stack.run_dir / 'postgres.log'}")
    return int(any(one > 1000 for one in full.values()))


if __name__ == "__main__":
    sys.exit(main())
