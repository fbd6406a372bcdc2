"""What a benchmark prepares, done by the product's own operations: `python -m bench.inside JSON`.

Takes a list of commands with their arguments, `[["shops", {"number": 4, …}], …]`: a process takes longer to start than
most of them to run. Runs with the environment of a running stack and prints what each returned, as JSON. Only what
would take hours by hand is written otherwise, and it says so.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "web.settings")

import django

django.setup()

from django.db import connection, transaction  # noqa: E402
from django.urls import reverse  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench import bare  # noqa: E402
from bench.inside_words import PASSWORD  # noqa: E402
from web.core.accounts import create_person  # noqa: E402
from web.core.groups import GROUP_NAMES  # noqa: E402
from web.core.models import Business, BusinessHost, Item, Location, Profile  # noqa: E402
from web.payments import jobs  # noqa: E402
from web.payments.bell import bell  # noqa: E402
from web.payments.management.commands.generate_orders import WRITTEN, generate  # noqa: E402
from web.payments.models import Cart, Job, Payment, PaymentEvent, Reader, StripeAccount  # noqa: E402
from web.payments.money import Money  # noqa: E402
from web.payments.operations import accounts, carts, intents, readers, settling, terminal  # noqa: E402
from web.payments.snapshots import IntentSnapshot, Source  # noqa: E402
from web.payments.states import PaymentState  # noqa: E402

PRICES = (2200, 4500, 7200)


def shops(*, number: int, webhook_secrets: list[str]) -> list[dict[str, Any]]:
    """Make businesses with a Stripe account, a place with sales tax, three items and an owner."""
    made = []
    for index in range(number):
        business = Business.objects.create(
            business_id=5001 + index, name=f"Studio {index}", country="us", time_zone="America/New_York",
            legal_name=f"Studio {index} LLC", address="41 Mercer Street", email=f"studio{index}@example.com",
        )  # fmt: skip
        host = f"shop{index}.localhost"
        BusinessHost.objects.create(business=business, host=host)
        place = Location.objects.create(
            business=business, name="Here", country="us", currency="usd", time_zone="America/New_York",
            sales_tax_name="Sales tax", sales_tax_rate="8.8750", sales_tax_active=True,
        )  # fmt: skip
        items = [
            Item.objects.create(
                business=business, item_type="merchandise", code=f"I{price}", name=f"Mat at {price}",
                price_minor=price, currency="usd", sold_online=True,
            ).id
            for price in PRICES
        ]  # fmt: skip
        owner = create_person(
            business=business, email=f"owner@shop{index}.example", name="Owner", password=PASSWORD,
            role=Profile.Role.STAFF, groups=GROUP_NAMES, language="en",
        )  # fmt: skip
        owner.default_location = place
        owner.save(update_fields=["default_location"])
        account, _job = accounts.enter_keys(
            business=business, publishable_key=f"pk_test_bench{index}_k", secret_key=f"sk_test_bench{index}_k",
            now=timezone.now(),
        )  # fmt: skip
        accounts.settle_verification(
            stripe_account_id=account.id, account_id=f"acct_bench{index}", problem="", now=timezone.now()
        )
        accounts.add_webhook_secret(business=business, secret=webhook_secrets[index], now=timezone.now())
        token = accounts.settings_of(business).webhook_token
        made.append(
            {
                "business": business.id,
                "number": business.business_id,
                "host": host,
                "stripe": f"bench{index}",
                "secret": webhook_secrets[index],
                "webhook": reverse("payment:stripe-webhook", args=[token]),
                "items": items,
                "owner": owner.email,
            }
        )
    return made


def webhook_secret(*, business: int, secret: str) -> None:
    """Take the signing secret that Stripe gave an endpoint."""
    accounts.add_webhook_secret(business=Business.objects.get(id=business), secret=secret, now=timezone.now())


def sales(*, business: int, number: int, first: int = 0) -> list[dict[str, Any]]:
    """Make carts with payments that wait for their customers, as they are once a worker has made the intents.

    One per item by the product's operations (what Stripe would have answered is told to the ledger directly, the
    jobs that would have asked are done); the others are copies of those, row by row, with keys of their own.
    """
    shop = Business.objects.get(id=business)
    place, items = shop.locations.get(), list(Item.objects.filter(business=shop).order_by("price_minor"))
    account = StripeAccount.objects.get(business=shop)
    for index, item in enumerate(items):
        now = timezone.now()
        cart = _cart(shop, place, item, index)
        asked = intents.request(
            business=shop, token=cart.token, form_token=f"bench-form-{business}-{first}-{index}",
            expected_total_minor=_total(cart), payer_key="k" * 40, now=now,
        ).payment  # fmt: skip
        snapshot = IntentSnapshot(
            intent_id=f"pi_model{business}x{first}x{index}", state=PaymentState.AWAITING,
            amount=Money(asked.amount_minor, asked.currency), amount_received=None, source=Source.ANSWER,
            occurred_at=now, payment_public_id=str(asked.public_id), client_secret="pi_secret_none",
        )  # fmt: skip
        settling.settle(account_id=account.id, snapshot=snapshot, now=now)
        copies = range(first + index, first + number, len(items))
        _copy(cart, asked, business=business, numbers=copies)
    Job.objects.filter(state="waiting").update(state="done", finished_at=timezone.now())
    made = Payment.objects.filter(business=shop, intent_id__startswith=f"pi_bench{business}x")
    return [
        {"payment": str(one.public_id), "intent": one.intent_id, "amount": one.amount_minor}
        for one in made.order_by("id")
        if first <= int(str(one.intent_id).rpartition("x")[2]) < first + number
    ]


@transaction.atomic
def _copy(cart: Cart, payment: Payment, *, business: int, numbers: range) -> None:
    """Copy a frozen cart with its lines, its payment and their history, once for each number."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE copied ON COMMIT DROP AS SELECT n, gen_random_uuid() AS reference,"
                       " nextval('payments_cart_id_seq') AS cart_id, nextval('payments_payment_id_seq') AS payment_id"
                       " FROM unnest(%s::int[]) AS n", [list(numbers)])  # fmt: skip
        _rows(cursor, "payments_cart", cart.id, id="copied.cart_id", reference="copied.reference",
              token="left(md5(copied.reference::text), 22)")  # fmt: skip
        for line in cart.lines.all():
            _rows(cursor, "payments_cartline", line.id, id="nextval('payments_cartline_id_seq')",
                  cart_id="copied.cart_id")  # fmt: skip
        _rows(cursor, "payments_payment", payment.id, id="copied.payment_id", public_id="gen_random_uuid()",
              cart_reference="copied.reference", form_token="'bench-copy-' || copied.reference",
              intent_id=f"'pi_bench{business}x' || copied.n")  # fmt: skip
        for event in PaymentEvent.objects.filter(payment=payment).order_by("id"):
            _rows(cursor, "payments_paymentevent", event.id, id="nextval('payments_paymentevent_id_seq')",
                  payment_id="copied.payment_id", cart_reference="copied.reference")  # fmt: skip


def _rows(cursor: Any, table: str, row: int, **other: str) -> None:
    """Insert a copy of one row for each row of `copied`, with other values in some columns."""
    cursor.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER'",
        [table],
    )
    names = [name for (name,) in cursor.fetchall()]
    values = ", ".join(other.get(name, f"model.{name}") for name in names)
    cursor.execute(
        f"INSERT INTO {table} ({', '.join(names)}) OVERRIDING SYSTEM VALUE "
        f"SELECT {values} FROM copied, {table} AS model WHERE model.id = %s ORDER BY copied.n",
        [row],
    )


def _cart(shop: Business, place: Location, item: Item, index: int) -> Cart:
    now = timezone.now()
    cart = carts.put_in(business=shop, token="", location=place, item_id=item.id, quantity=1, now=now)
    Cart.objects.filter(id=cart.id).update(
        guest_name=f"Guest {index}", guest_email=f"guest{index}@example.com"
    )
    cart.refresh_from_db()
    return cart


def _total(cart: Cart) -> int:
    from web.payments.queries.quotes import quote

    return quote(cart).totals.total.amount


def open_carts(*, business: int, number: int, first: int = 0) -> list[dict[str, Any]]:
    """Make carts of guests who are about to press Pay."""
    shop = Business.objects.get(id=business)
    place, item = shop.locations.get(), Item.objects.filter(business=shop).order_by("price_minor")[0]
    made = [_cart(shop, place, item, first + index) for index in range(number)]
    total = _total(made[0]) if made else 0
    return [{"cart": cart.token, "total": total} for cart in made]


def register_readers(*, business: int, number: int) -> None:
    """Ask for simulated readers; workers register them."""
    shop = Business.objects.get(id=business)
    street = readers.Address("41 Mercer St", "New York", "NY", "10013")
    for index in range(number):
        readers.register(
            business=shop, location=shop.locations.get(), label=f"Reader {index}",
            registration_code=f"sandbox-reader-{index + 1}", address=street, now=timezone.now(),
        )  # fmt: skip


def sell_on_readers(*, business: int) -> None:
    """Put a sale on every reader, as their tills ask for it."""
    shop = Business.objects.get(id=business)
    item = Item.objects.filter(business=shop).order_by("price_minor")[0]
    owner = Profile.objects.get(business=shop)
    for index, reader in enumerate(Reader.objects.filter(business=shop).order_by("id")):
        cart = _cart(shop, reader.location, item, index)
        terminal.start(
            business=shop, token=cart.token, reader_id=reader.public_id, form_token=f"bench-form-{cart.token}",
            expected_total_minor=_total(cart), asks_for_tip=False, staff=owner, now=timezone.now(),
        )  # fmt: skip
    bell.wait_until_rung(seconds=5)


def write_orders(*, business: int, number: int) -> dict[str, float]:
    """Write finished orders by SQL, as `manage.py generate_orders` does, with the indexes made afterwards.

    Returns the seconds that it took.
    """
    began = time.perf_counter()
    tables = [model._meta.db_table for model in WRITTEN]
    with connection.cursor() as cursor:
        with bare.tables(cursor, tables):
            generate(Business.objects.get(id=business), orders=number)
        # As autovacuum would have left them; what an index is an expression of is known only from here on.
        cursor.execute("SET statement_timeout = 0")  # of this process's session, which ends with it
        cursor.execute(f"VACUUM (ANALYZE) {', '.join(tables)}")
    return {"seconds": time.perf_counter() - began}


def wait_jobs(*, business: int, number: int, seconds_ahead: int) -> None:
    """Write jobs that are due much later, by SQL: a backlog that claims have to look past."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO payments_job (public_id, name, queue, business_id, arguments, priority, state, attempts,
                put_offs, due_at, fence, worker, last_error, request_id, traceparent, created_at)
            SELECT gen_random_uuid(), 'drill_step', (%(queues)s::text[])[1 + n %% cardinality(%(queues)s::text[])],
                %(business)s, jsonb_build_object('step', n), 5, 'waiting', 0, 0,
                now() + make_interval(secs => %(ahead)s), 0, '', '', '', '', now()
            FROM generate_series(1, %(number)s) AS n
            """,
            {
                "queues": list(jobs.QUEUES),
                "business": business,
                "number": number,
                "ahead": seconds_ahead,
            },
        )
        cursor.execute("ANALYZE payments_job")


def steps(*, business: int, first: int, number: int) -> dict[str, float]:
    """Ask for jobs that write one row each, as the product does: each in a transaction, its bell on commit.

    Returns the processor seconds that asking took.
    """
    began = time.process_time()
    for step in range(first, first + number):
        with transaction.atomic():
            jobs.enqueue(
                jobs.DRILL_STEP,
                business_id=business,
                now=timezone.now(),
                priority=jobs.NOBODY_WAITS,
                step=step,
            )
    bell.wait_until_rung(seconds=5)
    return {"cpu": time.process_time() - began}


def counts() -> dict[str, int]:
    """Count what a measurement waits for."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT (SELECT count(*) FROM payments_order), (SELECT count(*) FROM payments_payment
               WHERE state = 'succeeded'), (SELECT count(*) FROM payments_job WHERE state IN ('waiting', 'running')
               AND due_at <= now())"""
        )
        orders, paid, due = cursor.fetchone()
    return {"orders": orders, "paid": paid, "due": due, "carts": Cart.objects.count()}


COMMANDS: dict[str, Callable[..., Any]] = {
    command.__name__: command
    for command in (
        shops,
        webhook_secret,
        sales,
        open_carts,
        register_readers,
        sell_on_readers,
        write_orders,
        wait_jobs,
        steps,
        counts,
    )
}


def main() -> None:
    """Run the commands, one after the other; print what they return."""
    told = [COMMANDS[name](**arguments) for name, arguments in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
