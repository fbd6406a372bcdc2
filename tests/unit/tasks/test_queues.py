"""Every queue of the catalogue is consumed by exactly one kind of worker, wherever workers are started."""

from __future__ import annotations

from pathlib import Path

import yaml

from stack.processes import QUEUES as STACK_QUEUES
from web.payments import jobs
from workers.app import app

ROOT = Path(__file__).resolve().parents[3]


def test_the_local_stack_consumes_every_queue() -> None:
    assert STACK_QUEUES == {
        "stripe": jobs.STRIPE_QUEUES,
        "mail": jobs.MAIL_QUEUES,
        "ledger": jobs.LEDGER_QUEUES,
    }


def test_compose_consumes_every_queue() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    consumed: list[str] = []
    for service in services.values():
        for word in service.get("command") or []:
            if word.startswith("--queues="):
                consumed += word.removeprefix("--queues=").split(",")
    assert sorted(consumed) == sorted(jobs.QUEUES)


def test_celery_knows_the_queues_and_makes_no_others() -> None:
    assert {queue.name for queue in app.conf.task_queues} == set(jobs.QUEUES)
    assert app.conf.task_create_missing_queues is False
    assert set(app.conf.accept_content) == {"json"}
    assert app.conf.task_acks_late is True
