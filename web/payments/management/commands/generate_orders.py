"""`manage.py generate_orders`: a large business in minutes, written by SQL, to measure and to look at pages with.

For a developer's machine: the rows are as the product would have written them, with their constraints checked,
but no sale ever happened. Ids of Stripe's are invented.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from django.db.models import Model

from web.core.models import Business, Item, Location, Profile
from web.payments.models import Order, OrderLine, Payment, Refund, StripeAccount

WRITTEN = (Order, OrderLine, Payment, Refund)
BATCH = 50_000  # orders a transaction: a broken run leaves whole batches behind

GIVEN = (
    "Ada Mina Sam Hana Noor Dana Leo Ines Kofi Yuki Ravi Zoe Omar Lena Paul Rosa Emil Aiko Tariq Vera "
    "민준 서연 지우 하은 도윤 수아 예준 지민 현우 유진"
)
FAMILY = (
    "Novak Kim Lee Park Reyes Okafor Silva Tanaka Haddad Weber Rossi Khan Olsen Moreau Costa Petrov Adams "
    "Baker Chen Diaz Evans Fischer Garcia Hughes Ito Jansen Kovac Lopez Meyer Nakamura 김 이 박 최 정"
)

# A number of the right alphabet, unique because it counts in base 30.
NUMBER = " || ".join(
    ["'-'" if place is None else f"substr('23456789ABCDEFGHJKMNPQRSTVWXYZ', (counted / {30**place} %% 30)::int + 1, 1)"
     for place in (7, 6, 5, 4, None, 3, 2, 1, 0)]
)  # fmt: skip
ORDERS = """
INSERT INTO payments_order (business_id, location_id, number, cart_reference, token, customer_name, customer_email,
    language, created_by_id, currency, subtotal_minor, discount_minor, sales_tax_name, sales_tax_rate,
    sales_tax_minor, additional_tax_name, additional_tax_rate, additional_tax_minor, tip_minor, total_minor,
    created_at)
SELECT %(business)s, (%(locations)s::bigint[])[1 + h %% cardinality(%(locations)s::bigint[])], {number},
    gen_random_uuid(), replace(gen_random_uuid()::text, '-', ''), name, email, 'en',
    CASE WHEN h %% 10 < 6 THEN (%(staff)s::bigint[])[1 + (h / 7) %% cardinality(%(staff)s::bigint[])] END,
    %(currency)s, price * quantity, 0, 'Sales tax', 8.875, tax, '', 0, 0, tip, price * quantity + tax + tip,
    now() - (n * interval '1 second' * %(seconds)s) - (h %% 40) * interval '1 second'
FROM (
    SELECT *, round(price * quantity * 0.08875)::bigint AS tax, CASE WHEN h %% 5 = 0 THEN round(price * 0.15)::bigint
           ELSE 0 END AS tip,
           CASE WHEN h %% 20 = 0 THEN '' ELSE given || ' ' || family END AS name,
           CASE WHEN h %% 20 = 0 THEN '' ELSE lower(given) || n || '@example.com' END AS email
    FROM (
        SELECT n, h, (%(given)s::text[])[1 + h %% cardinality(%(given)s::text[])] AS given,
               (%(family)s::text[])[1 + (h / 31) %% cardinality(%(family)s::text[])] AS family,
               (%(prices)s::bigint[])[1 + h %% cardinality(%(prices)s::bigint[])] AS price, 1 + h %% 3 AS quantity,
               n + %(offset)s AS counted
        FROM (
            SELECT n, ('x' || substr(md5(n::text), 1, 7))::bit(28)::int AS h
            FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
        ) AS numbered
    ) AS chosen
) AS priced
""".replace("{number}", NUMBER)
LINES = """
INSERT INTO payments_orderline (order_id, item_id, item_type, description, unit_price_minor, quantity, amount_minor,
    discount_minor, sales_tax_minor, additional_tax_minor)
SELECT o.id, i.id, i.item_type, i.name, o.subtotal_minor, 1, o.subtotal_minor, 0, o.sales_tax_minor, 0
FROM payments_order o
JOIN LATERAL (SELECT (%(items)s::bigint[])[1 + o.id %% cardinality(%(items)s::bigint[])] AS item_id) AS pick ON true
JOIN core_item i ON i.id = pick.item_id
WHERE o.id > %(after)s AND o.business_id = %(business)s
"""
PAYMENTS = """
INSERT INTO payments_payment (public_id, business_id, account_id, cart_reference, order_id, created_by_id, method,
    state, state_changed_at, amount_minor, currency, amount_received_minor, refunded_minor,
    returned_minor, form_token,
    payer_key_hash, intent_id, charge_id, client_secret_sealed, card_brand, card_last4, decline_code, failure_code,
    held_reason, checks, note, created_at)
SELECT gen_random_uuid(), o.business_id, CASE WHEN is_card THEN %(account)s END, o.cart_reference, o.id,
    o.created_by_id, CASE WHEN is_card THEN 'online' ELSE 'cash' END, 'succeeded', o.created_at, o.total_minor,
    o.currency, o.total_minor, returned, returned, 'generated-' || o.id, '',
    CASE WHEN is_card THEN 'pi_gen' || o.id END,
    CASE WHEN is_card THEN 'ch_gen' || o.id END, '', CASE WHEN is_card THEN 'visa' ELSE '' END,
    CASE WHEN is_card THEN lpad((o.id * 7919 %% 10000)::text, 4, '0') ELSE '' END, '', '', '', 0, '', o.created_at
FROM payments_order o, LATERAL (SELECT o.id %% 3 > 0 AS is_card,
    CASE WHEN o.id %% 50 = 0 THEN o.total_minor WHEN o.id %% 50 = 1 THEN o.total_minor / 4 ELSE 0 END
    AS returned) AS how
WHERE o.id > %(after)s AND o.business_id = %(business)s
"""
REFUNDS = """
INSERT INTO payments_refund (public_id, business_id, payment_id, amount_minor, currency, destination, reason, state,
    state_changed_at, stripe_refund_id, failure_code, form_token, created_at)
SELECT gen_random_uuid(), p.business_id, p.id, p.refunded_minor, p.currency, 'method', 'Generated', 'succeeded',
    p.created_at + interval '1 day', CASE WHEN p.method = 'online' THEN 're_gen' || p.id END, '',
    'generated-' || p.id, p.created_at + interval '1 day'
FROM payments_payment p JOIN payments_order o ON o.id = p.order_id
WHERE o.id > %(after)s AND o.business_id = %(business)s AND p.refunded_minor > 0
"""


class Command(BaseCommand):
    help = "Write a large number of finished orders into a business (a developer's machine only)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("business_id", type=int)
        parser.add_argument("--orders", type=int, default=50_000)
        parser.add_argument("--days", type=int, default=730, help="over how many days they are spread")

    def handle(self, *args: Any, **options: Any) -> None:
        if not (settings.PAYDESK_LOCAL or settings.DEBUG):
            raise CommandError(
                "Only on a developer's machine (PAYDESK_LOCAL): it writes sales that never were."
            )
        business = Business.objects.filter(business_id=options["business_id"]).first()
        if business is None:
            raise CommandError(f"There is no business {options['business_id']}.")
        generate(business, orders=options["orders"], days=options["days"])
        self.stdout.write(f"{options['orders']} orders were written for {business.name}.")


def generate(business: Business, *, orders: int, days: int = 730) -> None:
    """Write so many orders with their lines, payments and refunds."""
    locations = list(Location.objects.filter(business=business).values_list("id", flat=True))
    items = list(Item.objects.filter(business=business).values_list("id", "price_minor"))
    staff = Profile.objects.filter(business=business, role=Profile.Role.STAFF)
    account = StripeAccount.objects.filter(business=business, account_id__isnull=False).first()
    if not (locations and items and staff and account):
        raise CommandError("The business needs a location, items, staff and a Stripe account first.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM payments_order WHERE business_id = %s", [business.id])
        (there,) = cursor.fetchone()
    given: dict[str, Any] = {
        "business": business.id,
        "locations": locations,
        "staff": list(staff.values_list("id", flat=True)),
        "items": [item_id for item_id, _price in items],
        "prices": [price for _item_id, price in items],
        "account": account.id,
        "currency": business.currency,
        "seconds": days * 86_400 / orders,
        "given": GIVEN.split(),
        "family": FAMILY.split(),
        "offset": there + 30**7,
    }
    for first in range(0, orders, BATCH):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SELECT coalesce(max(id), 0) FROM payments_order")
            (after,) = cursor.fetchone()
            bounds = {"first": first, "last": min(first + BATCH, orders) - 1, "after": after}
            for statement, model in zip((ORDERS, LINES, PAYMENTS, REFUNDS), WRITTEN, strict=True):
                cursor.execute(_completed(statement, model), {**given, **bounds})
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE payments_order, payments_orderline, payments_payment, payments_refund")


def _completed(statement: str, model: type[Model]) -> str:
    """Add the columns that the statement does not name and that must have a value, with their plain defaults."""
    table, opening, rest = statement.partition(" (")
    columns, closing, select = rest.partition(")\nSELECT ")
    named = {name.strip() for name in columns.split(",")}
    missing = {
        str(field.column): _literal(field.get_default())
        for field in model._meta.concrete_fields
        if field.column not in named and not field.null and not field.primary_key
    }
    all_columns, values = ", ".join([*missing, columns]), ", ".join([*missing.values(), select])
    return table + opening + all_columns + closing + values


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return f"'{json.dumps(value)}'"
    return str(value) if isinstance(value, int) else f"'{value or ''}'"
