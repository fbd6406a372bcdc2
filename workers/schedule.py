"""What beat sends, and how often. Each message expires before the next one: none pile up while nobody listens."""

from __future__ import annotations

from typing import Any

from web.payments.bell import DRAIN_TASK
from web.payments.jobs import QUEUES

TICK_SECONDS = 1.0  # a lost bell costs at most this much
SILENCE_SECONDS = (
    5.0  # how often silent payments are looked for; each has its own times (operations/payments.py)
)
READERS_SECONDS = 10.0  # queues at readers that nothing else would move on
REVIEW_SECONDS = 30.0  # whose events and books are due; each account has its own times
INBOX_SECONDS = 300.0
BALANCE_SECONDS = 60.0  # each account has its own times (operations/balance.py)
CLEAN_UP_SECONDS = 3600.0
FIGURES_SECONDS = 15.0  # a minute's figures are as good as the last look into it
# A canary to each queue, work or none: a worker that hears it notes so (tasks/relay.py), and a queue whose workers
# live and hear nothing is seen before a customer waits in it.
CANARY_SECONDS = 20.0
LEDGERS_SECONDS = 300.0  # what has ended is not spent in between either: this only writes it down

SCHEDULE: dict[str, dict[str, Any]] = {
    "tick": {"task": "paydesk.tick", "schedule": TICK_SECONDS, "options": {"expires": TICK_SECONDS * 5}},
    "check-silent-payments": {
        "task": "paydesk.check_silent_payments",
        "schedule": SILENCE_SECONDS,
        "options": {"expires": SILENCE_SECONDS * 2},
    },
    "check-silent-refunds": {
        "task": "paydesk.check_silent_refunds",
        "schedule": SILENCE_SECONDS,
        "options": {"expires": SILENCE_SECONDS * 2},
    },
    "watch-readers": {
        "task": "paydesk.watch_readers",
        "schedule": READERS_SECONDS,
        "options": {"expires": READERS_SECONDS * 2},
    },
    "review-silence": {
        "task": "paydesk.review_silence",
        "schedule": REVIEW_SECONDS,
        "options": {"expires": REVIEW_SECONDS},
    },
    "tidy-ledgers": {
        "task": "paydesk.tidy_ledgers",
        "schedule": LEDGERS_SECONDS,
        "options": {"expires": LEDGERS_SECONDS},
    },
    "watch-accounts": {
        "task": "paydesk.watch_accounts",
        "schedule": REVIEW_SECONDS,
        "options": {"expires": REVIEW_SECONDS},
    },
    "review-inbox": {
        "task": "paydesk.review_inbox",
        "schedule": INBOX_SECONDS,
        "options": {"expires": INBOX_SECONDS},
    },
    "review-attempts": {
        "task": "paydesk.review_attempts",
        "schedule": INBOX_SECONDS,
        "options": {"expires": INBOX_SECONDS},
    },
    "bring-in-balances": {
        "task": "paydesk.bring_in_balances",
        "schedule": BALANCE_SECONDS,
        "options": {"expires": BALANCE_SECONDS},
    },
    "note-figures": {
        "task": "paydesk.note_figures",
        "schedule": FIGURES_SECONDS,
        "options": {"expires": FIGURES_SECONDS},
    },
    "forget-figures": {
        "task": "paydesk.forget_figures",
        "schedule": CLEAN_UP_SECONDS,
        "options": {"expires": CLEAN_UP_SECONDS},
    },
    **{
        f"canary-{queue}": {
            "task": DRAIN_TASK,
            "kwargs": {"queue": queue},
            "schedule": CANARY_SECONDS,
            "options": {"expires": CANARY_SECONDS, "queue": queue},
        }
        for queue in QUEUES
    },
    "forget-old": {
        "task": "paydesk.forget_old",
        "schedule": CLEAN_UP_SECONDS,
        "options": {"expires": CLEAN_UP_SECONDS},
    },
    "forget-results": {
        "task": "celery.backend_cleanup",
        "schedule": CLEAN_UP_SECONDS,
        "options": {"expires": CLEAN_UP_SECONDS, "queue": "maintenance"},
    },
}
