"""What makes each alert fire, and how its runbook ends it. Together these are every alert: a test compares."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import requests
from celery import Celery

from stack import quiet
from stack.alerts.house import House
from stack.demo import GOOD_CARD
from stack.lifetime import Leashed
from stack.processes import ROOT
from stack.reader import Reader

CALLS = r"^/v1/(payment_intents|refunds|charges|terminal/readers)"
SELLING_SECONDS = 60.0  # a rate's window as it is here: 30 minutes, thirty times shorter
WORKERS = ("worker-stripe", "worker-mail", "worker-ledger")


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happens, what must fire then, and what the runbooks say to do."""

    what: str
    alerts: tuple[str, ...]
    happen: Callable[[House], None]
    mend: Callable[[House], None]


# --- nobody works --------------------------------------------------------------------------------------


def every_worker_ends(house: House) -> None:
    """With a card just given, somebody who presses Pay, and a sale waiting at a reader."""
    clerk = house.clerk()
    (reader,) = clerk.wait_for_readers()
    sale = clerk.put_on_reader(
        clerk.fill_cart(house.studio.item("PASS1")), reader=reader["reader"], total=2200
    )
    clerk.wait_until(sale, "waiting")
    (known,) = (one for one in house.studio.seeded["readers"] if one["label"] == reader["label"])
    paying = house.at_the_form()
    for worker in WORKERS:
        house.stack.take_down(f"{worker}-1")
    paying[0].confirm(paying[1], GOOD_CARD)
    waiting = house.presses_pay()
    house.until(
        lambda: house.rows("SELECT 1 FROM payments_inboxevent WHERE state = 'received'"), "an event arrives"
    )
    house.minutes_pass(15)
    house.kept.update(
        clerk=clerk, sale=sale, reader=Reader(sandbox=house.stack.urls.sandbox, id=known["id"]),
        paying=paying, waiting=waiting,
    )  # fmt: skip


def workers_are_started(house: House) -> None:
    kept = house.kept
    queue, stuck, reader = (
        house.book(name) for name in ("queue-grows.md", "stuck-payments.md", "reader-stuck.md")
    )
    metrics = house.book("metrics-vanished.md")
    queue.follow("manage.py workers")
    metrics.follow("docker compose ps")
    for worker in WORKERS:
        queue.follow("docker compose up --wait worker-stripe", {"worker-stripe": worker})
    metrics.follow(
        'docker compose exec worker-stripe python -c "import urllib.request as r; '
        "print(r.urlopen('http://127.0.0.1:9100/metrics').status)\""
    )
    waiting, paying = kept["waiting"], kept["paying"]
    stuck.follow("manage.py timeline PAYMENT-ID", {"PAYMENT-ID": waiting[1].id_in_url})
    stuck.follow("manage.py jobs dead")
    waiting[0].wait_for_the_form(waiting[1])
    waiting[0].pay(waiting[1], GOOD_CARD)
    for customer, payment in (waiting, paying):
        customer.wait_for_the_end(payment)
    reader.read("switch it off and on")
    kept["reader"].unplug()
    kept["reader"].plug_in()
    reader.read("At the till: *Cancel*, wait for *Cancelled*")
    kept["clerk"].cancel(kept["sale"])
    kept["clerk"].wait_until(kept["sale"])
    reader.follow("manage.py timeline pi_…", {"pi_…": kept["sale"].payment})
    queue.follow("manage.py jobs")


def a_worker_goes_deaf(house: House) -> None:
    """It lives, and no bell of its queues reaches it any more."""
    broker = Celery(broker=house.stack.urls.broker)

    def hears(queue: str) -> bool:
        answers = broker.control.cancel_consumer(queue, reply=True, timeout=1)
        return not any(name.startswith("stripe-") for answer in answers or [] for name in answer)

    for queue in ("intents", "terminal", "refunds", "reconcile"):
        house.until(lambda queue=queue: not hears(queue), "deaf")  # type: ignore[misc]
    house.kept["unheard"] = house.presses_pay()
    house.minutes_pass(5)


def the_deaf_worker_is_restarted(house: House) -> None:
    queue = house.book("queue-grows.md")
    said = queue.follow("manage.py workers")
    assert "stripe" in said, said
    queue.follow("docker compose restart worker-stripe")
    customer, payment = house.kept["unheard"]
    customer.wait_for_the_form(payment)


# --- beat, Redis, the database, web ---------------------------------------------------------------------


def beat_ends(house: House) -> None:
    house.stack.take_down("beat")


def beat_is_started(house: House) -> None:
    book = house.book("beat-silent.md")
    book.follow("docker compose ps beat")
    book.follow("docker compose up --wait beat")


def a_second_beat_runs(house: House) -> None:
    """On another host, as far as it knows."""
    program = (
        "import socket, sys; socket.gethostname = lambda: 'another-host'; "
        "sys.argv = ['celery', '-A', 'workers.app', 'beat', '-l', 'INFO']; from celery.__main__ import main; main()"
    )
    env = {**house.stack.env, "PROCESS_NAME": "beat-2", "PROBE_DIR": str(house.stack.run_dir)}
    house.kept["second"] = Leashed.start(
        [sys.executable, "-c", program], log=house.stack.run_dir / "beat-2.log", env=env, cwd=ROOT
    )


def one_beat_is_stopped(house: House) -> None:
    house.book("beat-silent.md").read("Stop one: exactly one machine runs")
    house.kept["second"].stop()


def redis_is_lost(house: House) -> None:
    house.stack.redis.kill()
    house.kept["in the dark"] = house.presses_pay()


def redis_is_started(house: House) -> None:
    book = house.book("redis-lost.md")
    book.follow("docker compose ps redis")
    book.follow("docker compose up --wait redis")
    customer, payment = house.kept["in the dark"]
    customer.wait_for_the_form(payment)
    book.follow("manage.py jobs")


def the_database_is_away(house: House) -> None:
    """And people go on looking at pages."""
    house.stack.postgres.kill()
    ended = house.kept["ended"] = threading.Event()

    def look() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(requests.RequestException):
                requests.get(f"{house.studio.site}/", timeout=10)

    threading.Thread(target=look, daemon=True).start()


def the_database_is_started(house: House) -> None:
    house.kept["ended"].set()
    book = house.book("database-full.md")
    book.follow("docker compose ps postgres")
    book.follow("docker compose up --wait postgres")
    metrics = house.book("metrics-vanished.md")
    house.until(
        lambda: metrics.follow("curl -fsS http://127.0.0.1:8000/healthz").startswith("200"), "web answers"
    )
    book.follow("manage.py backfill")
    book.follow("manage.py drift --check")
    book.follow("manage.py jobs")


def the_database_grows(house: House) -> None:
    """A megabyte a second: 86 GB a day."""
    house.rows("CREATE TABLE somebodys_export (line text)")
    ended = house.kept["full"] = threading.Event()

    def write() -> None:
        while not ended.wait(1):
            house.rows(
                "INSERT INTO somebodys_export SELECT repeat(md5(random()::text), 32) FROM generate_series(1, 1000)"
            )

    threading.Thread(target=write, daemon=True).start()


def it_is_found_and_ended(house: House) -> None:
    book = house.book("database-full.md")
    said = book.follow(
        'docker compose exec postgres psql -U paydesk -c "SELECT relname, pg_size_pretty(pg_total_relation_size(oid)) '
        "FROM pg_class WHERE relkind = 'r' ORDER BY pg_total_relation_size(oid) DESC LIMIT 10\""
    )
    assert "somebodys_export" in said, said
    house.kept["full"].set()
    house.rows("DROP TABLE somebodys_export")
    book.follow("manage.py retention --now")
    book.follow("docker compose exec postgres psql -U paydesk -c 'VACUUM payments_job, payments_inboxevent'")


def web_ends(house: House) -> None:
    house.stack.take_down("web")


def web_is_started(house: House) -> None:
    book = house.book("metrics-vanished.md")
    book.follow("docker compose ps")
    book.follow("docker compose up --wait")
    assert book.follow("curl -fsS http://127.0.0.1:8000/healthz").startswith("200")


# --- Stripe ---------------------------------------------------------------------------------------------


def stripe_fails(house: House) -> None:
    house.control("POST", "faults", kind="error_500_before", match={"path": CALLS}, probability=1.0)
    house.kept["asking"] = [house.presses_pay() for _ in range(5)]


def stripe_is_back(house: House) -> None:
    book = house.book("stripe-down.md")
    book.follow("manage.py account 1001")
    house.control("DELETE", "faults")
    book.read("Replay nothing and restart nothing")
    for customer, payment in house.kept["asking"]:
        customer.wait_for_the_form(payment)
    book.follow("manage.py drift --check")
    book.follow("manage.py drift")


def stripe_limits(house: House) -> None:
    house.control("POST", "faults", kind="rate_limit_429", match={"path": CALLS}, probability=1.0)
    house.kept["asking"] = [house.presses_pay() for _ in range(5)]


def nobody_knows_our_new_webhook_secret(house: House) -> None:
    """Somebody rolled it at Stripe, without a grace period, and told nobody."""
    endpoint = house.stripe("GET", "webhook_endpoints")["data"][0]["id"]
    house.kept["secret"] = house.control(
        "POST", f"webhook_endpoints/{endpoint}/roll_secret", overlap_seconds=0
    )
    house.kept["unheard of"] = sales = []
    for _ in range(4):  # over some scrapes: a rate is of what grows
        customer, payment = house.at_the_form()
        customer.confirm(payment, GOOD_CARD)
        sales.append((customer, payment))


def the_webhook_secret_is_pasted(house: House) -> None:
    book = house.book("webhook-secret-leaked.md")
    book.read("The business's owner pastes the new one in **Settings**")
    house.paste_webhook_secret(house.kept["secret"]["secret"])
    book.follow("manage.py account 1001 --end-old-webhook-secrets")
    book.follow("manage.py drift 1001 --check --days 30")
    book.follow("manage.py drift 1001")
    book.follow("manage.py backfill")
    for customer, payment in house.kept["unheard of"]:
        customer.wait_for_the_end(payment)


def a_program_is_away(house: House) -> None:
    """The business's own, which wants to know of every order; nobody else is told of anything."""
    with socket.socket() as taken:  # an address where nobody listens
        taken.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{taken.getsockname()[1]}/orders"
    house.fill_in("/settings/api/", "/settings/api/webhooks/", url=away, events="order.paid")
    until = time.monotonic() + SELLING_SECONDS
    while time.monotonic() < until:  # a rate wants what goes on, not what has been
        customer, payment = house.at_the_form()
        customer.pay(payment, GOOD_CARD)
        customer.wait_for_the_end(payment)


def the_business_is_told(house: House) -> None:
    book = house.book("outgoing-webhooks.md")
    book.follow("docker compose logs --since 30m worker-mail")
    book.read("Tell the business: only its own program can take what is sent")
    (endpoint,) = house.rows("SELECT public_id FROM payments_outgoingendpoint WHERE removed_at IS NULL")
    house.fill_in(
        "/settings/api/", f"/settings/api/webhooks/{endpoint['public_id']}/remove/"
    )  # it is gone for good


# --- money ----------------------------------------------------------------------------------------------


def money_comes_in_that_fits_nothing(house: House) -> None:
    """An amount edited at Stripe; a second payment by hand for a sale that is paid; a charge that nobody asked for."""
    customer, payment = house.at_the_form()
    intent = payment.client_secret.partition("_secret_")[0]
    house.stripe("POST", f"payment_intents/{intent}", amount=100)
    customer.confirm(payment, GOOD_CARD)
    house.kept["edited"] = intent
    house.stack.take_down("worker-stripe-1")
    again, left = house.presses_pay()
    again.cancel(left)  # before Stripe was asked at all
    house.stack.bring_up("worker-stripe-1")
    again.wait_for_the_end(left)
    paid = again.ask_to_pay(left.cart)
    again.pay(paid, GOOD_CARD)
    number = str(again.wait_for_the_end(paid)["order"]["number"])
    (row,) = house.rows("SELECT amount_minor FROM payments_payment WHERE public_id = %s", left.id_in_url)
    by_hand = {
        "currency": "usd",
        "payment_method": GOOD_CARD,
        "confirm": "true",
        "return_url": "https://shop.example/return",
        "metadata[business]": "1001",
    }
    house.stripe(
        "POST",
        "payment_intents",
        amount=row["amount_minor"],
        **by_hand,
        **{"metadata[payment]": left.id_in_url},
    )
    house.kept["order"] = number
    house.stripe("POST", "payment_intents", amount=700, **by_hand, **{"metadata[payment]": str(uuid.uuid4())})
    compare = (
        "from tasks.drift import compare_everything; from web.payments.operations.rounds import watched; "
        "[compare_everything(account, days=1) for account in watched()]"
    )
    house.stack.manage("shell", "-v", "0", "-c", compare)


def money_is_given_back(house: House) -> None:
    held, double, drift = (house.book(name) for name in ("held-money.md", "double-payment.md", "drift.md"))
    held.follow("manage.py timeline pi_…", {"pi_…": house.kept["edited"]})
    assert house.kept["order"] in double.follow(
        "manage.py timeline ORDER-NUMBER", {"ORDER-NUMBER": house.kept["order"]}
    )
    double.read("the button that names the amount gives it back, whole")
    house.until(lambda: house.give_back_held() == 0, "no held payment is left to be given back")
    house.until(
        lambda: not house.rows("SELECT 1 FROM payments_payment WHERE state = 'held' AND NOT is_released"),
        "the refunds succeed",
    )
    drift.follow("manage.py drift")
    for row in house.rows("SELECT id FROM payments_drift WHERE resolved_at IS NULL"):
        drift.follow('manage.py drift --accept ID "refunded by the owner, 12 May"', {"ID": str(row["id"])})


def jobs_and_events_are_given_up(house: House) -> None:
    """The mail server takes nothing, and a faulty release cannot make orders."""
    mails = house.stack.mail_dir
    mails.rename(mails.with_name("mail-kept"))
    mails.write_text("no folder")
    customer, payment = house.at_the_form()
    customer.pay(payment, GOOD_CARD)
    customer.wait_for_the_end(payment)
    house.rows(
        "CREATE FUNCTION a_bug() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'a bug'; END$$"
    )
    house.rows("CREATE TRIGGER a_bug BEFORE INSERT ON payments_order FOR EACH ROW EXECUTE FUNCTION a_bug()")
    customer, payment = house.kept["given up"] = house.at_the_form()
    customer.confirm(payment, GOOD_CARD)

    def are_dead() -> bool:
        quiet.hurry(house.stack.urls.database)
        (found,) = house.rows(
            "SELECT (SELECT count(*) FROM payments_job WHERE state = 'dead' AND name = 'send_receipt') AS jobs,"
            " (SELECT count(*) FROM payments_inboxevent WHERE state = 'dead') AS events"
        )
        return bool(found["jobs"] and found["events"])

    house.until(are_dead, "a job and an event are given up")


def what_was_given_up_runs_again(house: House) -> None:
    mails = house.stack.mail_dir
    mails.unlink()
    mails.with_name("mail-kept").rename(mails)
    house.rows("DROP TRIGGER a_bug ON payments_order")
    house.rows("DROP FUNCTION a_bug()")
    book = house.book("dead-jobs.md")
    book.follow("manage.py jobs dead")
    (first, *_rest) = house.rows("SELECT id FROM payments_job WHERE state = 'dead' AND name = 'send_receipt'")
    book.follow("manage.py jobs replay 17", {"17": str(first["id"])})
    book.follow("manage.py jobs replay --name send_receipt")
    book.follow("manage.py jobs replay --inbox")
    customer, payment = house.kept["given up"]
    customer.wait_for_the_end(payment)
    for row in house.rows("SELECT DISTINCT name FROM payments_job WHERE state = 'dead'"):
        book.follow("manage.py jobs replay --name send_receipt", {"send_receipt": row["name"]})


CAUSES = (
    Cause(
        "every worker ends",
        ("NoConsumers", "QueueGrows", "OutboxLags", "InboxLags", "PaymentsStuck", "ReaderStuck",
         "WorkersVanished", "ScrapeFails", "BeatSilent"),
        every_worker_ends, workers_are_started,
    ),
    Cause("money comes in that fits nothing", ("HeldMoney", "DoublePayment", "DriftOpen"),
          money_comes_in_that_fits_nothing, money_is_given_back),
    Cause("a worker lives and hears nothing", ("WorkerDeaf", "QueueUnheard"),
          a_worker_goes_deaf, the_deaf_worker_is_restarted),
    Cause("the mail server refuses, and a release has a bug", ("DeadJobs", "DeadEvents"),
          jobs_and_events_are_given_up, what_was_given_up_runs_again),
    Cause("Stripe answers 500", ("StripeFails", "StripeSilent"), stripe_fails, stripe_is_back),
    Cause("Stripe answers 429", ("StripeLimits",), stripe_limits, stripe_is_back),
    Cause("the webhook secret is rolled at Stripe only", ("WebhooksRefused",),
          nobody_knows_our_new_webhook_secret, the_webhook_secret_is_pasted),
    Cause("a business's own program is away", ("OutgoingFails",), a_program_is_away, the_business_is_told),
    Cause("beat ends", ("BeatSilent", "BeatVanished"), beat_ends, beat_is_started),
    Cause("a second beat runs", ("TwoBeats",), a_second_beat_runs, one_beat_is_stopped),
    Cause("Redis is lost", ("BrokerAway", "RedisAway"), redis_is_lost, redis_is_started),
    Cause("the database is away", ("DatabaseAway", "WebFails"), the_database_is_away, the_database_is_started),
    Cause("something fills the database", ("DatabaseGrows",), the_database_grows, it_is_found_and_ended),
    Cause("web ends", ("WebVanished", "ScrapeFails"), web_ends, web_is_started),
)  # fmt: skip
