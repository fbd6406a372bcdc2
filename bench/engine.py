"""P9 and P8: what our jobs cost beside Celery's own, and what is left of them when the parts below them die.

A job of ours is a row, a bell, a claim and an end, and it cannot be lost or done twice; Celery's task is a message
that Redis may lose. Both do the same work: one INSERT. Ours writes it in the transaction that ends the job.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

from bench import cpu, house, size
from bench.house import House, Late
from bench.table import Row
from stack.lifetime import StartError
from stack.processes import ROOT

RUNS = size.RUNS
JOBS = size.of(500)
DRILL_JOBS = size.of(10_000)
KILLED_JOBS = size.of(1000)
LOOK_SECONDS = 0.25  # our own looks are paid by PostgreSQL, too, and count


def cost(h: House) -> list[Row]:
    """Measure a job against a Celery task with one INSERT: processor time of everything that has a part in it."""
    row = Row(
        "P9", "processor time of a job, against Celery's task with one INSERT", "x", 2.0, is_at_least=False
    )
    told: dict[str, list[float]] = {"job_ms": [], "task_ms": []}
    business = h.shops[0]["business"]
    with house.limits_worker(h) as worker:
        _celery(h, worker, 100)
        _ours(h, business, first=0, number=100)
        for run in range(RUNS):
            house.say(f"jobs: run {run + 1} of {RUNS}")
            theirs = _celery(h, worker, JOBS)
            ours = _ours(h, business, first=(run + 1) * 10 * JOBS, number=JOBS)
            row.runs.append(ours / theirs)
            told["job_ms"].append(ours * 1000)
            told["task_ms"].append(theirs * 1000)
    row.details = {name: round(sorted(each)[len(each) // 2], 2) for name, each in told.items()}
    return [row]


def _shared(h: House) -> float:
    spent = h.spent_by()
    return spent["postgres"] + spent["redis"]


def _ours(h: House, business: int, *, first: int, number: int) -> float:
    """Return the CPU seconds of a job: asked for, rung, claimed, done."""
    before = h.spent_by()["worker-ledger-1"] + _shared(h)
    asking: float = h.inside("steps", business=business, first=first, number=number)["cpu"]
    h.wait(
        "SELECT count(*) FROM payments_job WHERE name = 'drill_step' AND state = 'done'"
        f" AND (arguments ->> 'step')::bigint BETWEEN {first} AND {first + number - 1}",
        lambda row: row[0] == number,
        every=LOOK_SECONDS,
    )
    return (h.spent_by()["worker-ledger-1"] + _shared(h) - before + asking) / number


def _celery(h: House, worker: int, number: int) -> float:
    """Return the CPU seconds of a Celery task: sent, received, done."""
    env = house.limits_env(h)
    before = cpu.of_trees([worker]) + _shared(h)
    (rows,) = _rows(env["LIMITS_DATABASE_URL"])
    done = subprocess.run(
        [sys.executable, "-m", "bench.limits.produce", str(number)],
        env=env, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    house.wait_on(
        env["LIMITS_DATABASE_URL"],
        "SELECT count(*) FROM one_row",
        lambda row: row[0] >= rows + number,
        every=LOOK_SECONDS,
    )
    sending: float = json.loads(done.stdout)["cpu"]
    return (cpu.of_trees([worker]) + _shared(h) - before + sending) / number


def _rows(database: str) -> tuple[int]:
    import psycopg

    with psycopg.connect(database, autocommit=True) as connection:
        found = connection.execute("SELECT count(*) FROM one_row").fetchone()
        assert found is not None
        return (int(found[0]),)


def recovery(h: House) -> list[Row]:
    """Wipe the broker with jobs due, kill every worker at work: the product's own drills."""
    lost = Row("P8a", f"jobs lost or doubled of {DRILL_JOBS} due when the broker is wiped", "jobs", 0,
               is_at_least=False)  # fmt: skip
    resumed = Row("P8b", f"every worker killed with {KILLED_JOBS} jobs due: until all are done", "s", 60,
                  is_at_least=False)  # fmt: skip
    house.say("recovery: the broker is wiped")
    report = _drill(h, "broker", DRILL_JOBS)
    lost.runs.append(DRILL_JOBS - report["done"] + report["lost"] + report["doubled"])
    lost.details = dict(report)
    house.say("recovery: every worker is killed")
    report = _drill(h, "workers", KILLED_JOBS)
    if report["lost"] or report["doubled"]:
        raise Late(f"a drill lost or doubled jobs: {report}")
    resumed.runs.append(report["seconds"])
    resumed.details = dict(report)
    return [lost, resumed]


def _drill(h: House, part: str, number: int) -> dict[str, float]:
    try:
        said = h.stack.manage("drill", part, "--jobs", str(number), log=f"drill-{part}.log", seconds=400)
    except StartError as error:
        raise Late(str(error)) from error
    words = re.search(
        r"(\d+) done, (\d+) lost, (\d+) doubled, \d+ left, (\d+) overtaken, after ([\d.]+) s", said
    )
    if words is None:
        raise Late(f"a drill said: {said}")
    names = ("done", "lost", "doubled", "overtaken", "seconds")
    return dict(zip(names, map(float, words.groups()), strict=True))
