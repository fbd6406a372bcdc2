"""Finding orders among a million: what a search box means, filters, pages by key, totals, and rows for an export.

Every road here ends in an index. A page is found by the key of the row before it, never by counting rows; what
was typed is looked up as what it looks like (an id of Stripe's, an amount, the end of a card number, words).
"""

from __future__ import annotations

import datetime
import re
import unicodedata
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.db.models import (
    BooleanField,
    Count,
    Exists,
    F,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    TextField,
    Value,
)

from web.core.models import Business, Location, Profile
from web.payments.models import Dispute, Order, OrderLine, Payment, Reader, Refund, StripeAccount
from web.payments.money import Money, MoneyError

PAGE = 50
EXPORT_BATCH = 500
MOST_WORDS = 8
MANY = 2000  # matches of words beyond which the newest ones are found soon by walking
LONGEST_SEARCH = 200

_NUMBER = re.compile(r"([2-9A-HJKMNP-TV-Z]{4})-?([2-9A-HJKMNP-TV-Z]{4})", re.IGNORECASE)
_AMOUNT = re.compile(r"[$₩€£¥]?\s?([0-9][0-9,]*(?:\.[0-9]{1,3})?)\s?([A-Za-z]{3})?")
_BETWEEN_WORDS = re.compile(r"[\s@.,;:_+'\"()/\\-]+")  # as paydesk_order_words splits (migration 0007)


class Status:
    """What became of an order's money."""

    PAID = "paid"  # nothing was given back
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"  # a cardholder disputes a payment of it, or has
    ALL = (PAID, PARTLY_REFUNDED, REFUNDED, DISPUTED)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a person asked for; every field that is set narrows the list."""

    text: str = ""
    since: datetime.datetime | None = None
    before: datetime.datetime | None = None
    item_type: str = ""
    method: str = ""
    status: str = ""
    staff_id: int | None = None
    location_id: int | None = None
    reader_id: int | None = None

    def __bool__(self) -> bool:
        return self != Filters()


@dataclass(frozen=True, slots=True)
class Key:
    """Where a page ends: the time and id of its last (or first) order."""

    at: datetime.datetime
    id: int

    def __str__(self) -> str:
        return f"{self.at.astimezone(datetime.UTC):%Y%m%dT%H%M%S.%f}Z{self.id}"

    @classmethod
    def parse(cls, text: str) -> Key | None:
        """Read a key from an address; None for what is none."""
        at, _mark, number = text.partition("Z")
        if not (number.isascii() and number.isdecimal() and len(number) < 19):
            return None
        try:
            moment = datetime.datetime.strptime(at, "%Y%m%dT%H%M%S.%f").replace(tzinfo=datetime.UTC)
        except ValueError:
            return None
        return cls(moment, int(number))


@dataclass(frozen=True, slots=True)
class Page:
    """Some orders, newest first, and the keys of the pages beside them."""

    orders: Sequence[Order]
    older: Key | None
    newer: Key | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What the orders of one currency come to."""

    currency: str
    count: int
    subtotal: Money
    discount: Money
    tax: Money
    tip: Money
    total: Money
    refunded: Money
    disputed: Money  # taken by disputes, so far

    @property
    def net(self) -> Money:
        return self.total - self.refunded - self.disputed


@dataclass(frozen=True, slots=True)
class OnReader:
    """What came in on one card reader, in one currency, among the orders that fit."""

    reader: str
    payments: int
    received: Money
    refunded: Money


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be filtered by in this business."""

    staff: Sequence[Profile] = field(default_factory=list)
    locations: Sequence[Location] = field(default_factory=list)
    readers: Sequence[Reader] = field(default_factory=list)


def choices(business: Business) -> Choices:
    """Return the people, places and readers that the filters offer; readers that were removed too: they sold."""
    staff = Profile.objects.filter(business=business, role=Profile.Role.STAFF).order_by("name", "id")
    readers = Reader.objects.filter(business=business).order_by("label", "id")
    locations = Location.objects.filter(business=business).order_by("name")
    return Choices(list(staff[:200]), list(locations), list(readers[:200]))


def page(
    business: Business, filters: Filters, *, after: Key | None = None, before: Key | None = None
) -> Page:
    """Return the newest orders that fit; those older than `after`, or the ones just newer than `before`."""
    rows = found(business, filters)
    if before is not None:
        rows = rows.filter(created_at__gte=before.at).filter(
            Q(created_at__gt=before.at) | Q(id__gt=before.id)
        )
        orders = list(_shown(rows.order_by("created_at", "id"))[: PAGE + 1])
        more, orders = len(orders) > PAGE, orders[:PAGE][::-1]
        if not more:  # it is the first page, which may be fuller than what is newer than the key
            return page(business, filters)
        return Page(orders, _key(orders[-1]), _key(orders[0]))
    if after is not None:
        rows = _older(rows, after)
    orders = list(_shown(rows.order_by("-created_at", "-id"))[: PAGE + 1])
    more, orders = len(orders) > PAGE, orders[:PAGE]
    return Page(
        orders,
        _key(orders[-1]) if more else None,
        _key(orders[0]) if after is not None and orders else None,
    )


def _older(rows: QuerySet[Order], key: Key) -> QuerySet[Order]:
    # The first condition alone is a range of the index; the second drops the few of the same moment.
    return rows.filter(created_at__lte=key.at).filter(Q(created_at__lt=key.at) | Q(id__lt=key.id))


def _key(order: Order) -> Key:
    return Key(order.created_at, order.id)


def _shown(rows: QuerySet[Order]) -> QuerySet[Order]:
    return rows.select_related("location", "created_by").prefetch_related("lines", "payments__disputes")


def totals(business: Business, filters: Filters) -> list[Totals]:
    """Return what all orders that fit come to, per currency."""
    rows = found(business, filters)
    sums = rows.order_by().values("currency").annotate(
        count=Count("id"),
        subtotal=Sum("subtotal_minor"),
        discount=Sum("discount_minor"),
        sales_tax=Sum("sales_tax_minor"),
        additional_tax=Sum("additional_tax_minor"),
        tip=Sum("tip_minor"),
        total=Sum("total_minor"),
    )  # fmt: skip
    # Few payments are refunded, fewer disputed, and an index holds just those.
    refunds = Payment.objects.filter(business=business, refunded_minor__gt=0, order__isnull=False)
    disputes = Dispute.objects.filter(business=business, taken_minor__gt=0, payment__order__isnull=False)
    if filters:
        refunds = refunds.filter(order__in=rows.order_by())
        disputes = disputes.filter(payment__order__in=rows.order_by())
    refunded = dict(refunds.values_list("currency").annotate(Sum("refunded_minor")).order_by())
    disputed = dict(disputes.values_list("currency").annotate(Sum("taken_minor")).order_by())
    return [
        Totals(
            currency=row["currency"],
            count=row["count"],
            subtotal=Money(int(row["subtotal"]), row["currency"]),
            discount=Money(int(row["discount"]), row["currency"]),
            tax=Money(int(row["sales_tax"] + row["additional_tax"]), row["currency"]),
            tip=Money(int(row["tip"]), row["currency"]),
            total=Money(int(row["total"]), row["currency"]),
            refunded=Money(int(refunded.get(row["currency"], 0)), row["currency"]),
            disputed=Money(int(disputed.get(row["currency"], 0)), row["currency"]),
        )
        for row in sums.order_by("currency")
    ]


def on_readers(business: Business, filters: Filters) -> list[OnReader]:
    """Return what came in on each card reader, of all orders that fit: to lay beside the readers' own totals."""
    # An index holds just the payments of orders that came in on a reader.
    payments = Payment.objects.filter(business=business, reader__isnull=False, order__isnull=False)
    if filters:
        payments = payments.filter(order__in=found(business, filters).order_by())
    if filters.reader_id is not None:  # the order's other payments were made elsewhere
        payments = payments.filter(reader_id=filters.reader_id)
    sums = payments.values("reader__label", "reader_id", "currency").annotate(
        count=Count("id"), came_in=Sum("amount_received_minor"), refunded=Sum("refunded_minor")
    )
    return [
        OnReader(
            reader=row["reader__label"],
            payments=row["count"],
            received=Money(int(row["came_in"]), row["currency"]),
            refunded=Money(int(row["refunded"]), row["currency"]),
        )
        for row in sums.order_by("reader__label", "reader_id", "currency")
    ]


def every(business: Business, filters: Filters) -> Iterator[Order]:
    """Yield every order that fits, newest first, holding one batch in memory.

    Batches by key instead of a server-side cursor: a slow reader would keep a cursor's transaction open, and
    PgBouncer in transaction mode has none.
    """
    key: Key | None = None
    while True:
        rows = found(business, filters)
        if key is not None:
            rows = _older(rows, key)
        batch = list(_shown(rows.order_by("-created_at", "-id"))[:EXPORT_BATCH])
        yield from batch
        if len(batch) < EXPORT_BATCH:
            return
        key = _key(batch[-1])


def found(business: Business, filters: Filters) -> QuerySet[Order]:
    """Return the business's orders that fit the filters, in no order."""
    rows = Order.objects.filter(business=business)
    if filters.since is not None:
        rows = rows.filter(created_at__gte=filters.since)
    if filters.before is not None:
        rows = rows.filter(created_at__lt=filters.before)
    if filters.location_id is not None:
        rows = rows.filter(location_id=filters.location_id)
    if filters.staff_id is not None:
        rows = rows.filter(created_by_id=filters.staff_id)
    if filters.item_type:
        rows = rows.filter(
            Exists(OrderLine.objects.filter(order=OuterRef("id"), item_type=filters.item_type))
        )
    if filters.reader_id is not None:
        on_it = Payment.objects.filter(business=business, reader_id=filters.reader_id, order__isnull=False)
        rows = rows.filter(id__in=on_it.values("order_id"))
    if filters.method:
        rows = rows.filter(Exists(Payment.objects.filter(order=OuterRef("id"), method=filters.method)))
    if filters.status:
        rows = _of_status(rows, business, filters.status)
    if filters.text:
        rows = _matching(rows, business, filters.text)
    return rows


def _of_status(rows: QuerySet[Order], business: Business, status: str) -> QuerySet[Order]:
    if status == Status.DISPUTED:  # few: from their own table, not by a look at every order's payments
        disputes = Dispute.objects.filter(business=business, payment__order__isnull=False)
        return rows.filter(id__in=disputes.values("payment__order_id"))
    payments = Payment.objects.filter(order=OuterRef("id"))
    given_back = Exists(payments.filter(refunded_minor__gt=0))
    if status == Status.PAID:
        return rows.filter(~given_back)
    kept = Exists(payments.filter(refunded_minor__lt=F("amount_received_minor")))
    return rows.filter(given_back, kept if status == Status.PARTLY_REFUNDED else ~kept)


def _matching(rows: QuerySet[Order], business: Business, text: str) -> QuerySet[Order]:
    """Narrow the orders to those that a text means; a text that means nothing finds nothing."""
    text = unicodedata.normalize("NFC", text[:LONGEST_SEARCH]).strip().replace("\0", "")
    if text.startswith(("pi_", "ch_", "py_", "re_", "pyr_")) or _is_uuid(text):
        return rows.filter(id__in=_orders_of_id(business, text))
    meanings: list[Q | QuerySet[Order]] = []
    number = _NUMBER.fullmatch(text)
    if number is not None:
        meanings.append(Q(number=f"{number[1]}-{number[2]}".upper()))
    amounts = _amounts(business, text)
    if amounts:
        meanings.append(amounts)
    if len(text) == 4 and text.isascii() and text.isdecimal():
        cards = Payment.objects.filter(business=business, card_last4=text, order__isnull=False)
        meanings.append(Order.objects.filter(id__in=cards.values("order_id")))
    words = words_query(business, text)
    # "36" is an amount; "2345" may also be how a number begins, and "2KRW" is.
    if words and (not amounts or (text.isalnum() and len(text) >= 4)):
        few = _orders_with(words)
        meanings.append(_has_words(words) if few is None else Q(id__in=few))
    if not meanings:
        return rows.none()
    if len(meanings) == 1 and isinstance(meanings[0], Q):
        return rows.filter(meanings[0])
    # Each meaning by its own index: an OR of conditions on two tables would read every order.
    own = Order.objects.filter(business=business)
    parts = [own.filter(one) if isinstance(one, Q) else one for one in meanings]
    ids = [part.order_by().values("id") for part in parts]
    return rows.filter(id__in=ids[0].union(*ids[1:]) if len(ids) > 1 else ids[0])


def _orders_with(words: str) -> list[int] | None:
    """Return the orders with these words; None where they are many.

    Asked apart, by the words' own index: PostgreSQL cannot know how rare the beginning of a word is, and for a
    rare one would walk through all orders from the newest on. Many are met soon on that walk.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            """
            SELECT id FROM payments_order
            WHERE paydesk_order_words(business_id, customer_name, customer_email, number) @@ %s::tsquery LIMIT %s
            """,
            [words, MANY + 1],
        )
        ids = [row[0] for row in cursor.fetchall()]
        cursor.execute("SET LOCAL enable_seqscan = DEFAULT")
    return ids if len(ids) <= MANY else None


def _has_words(words: str) -> Q:
    indexed = Func(  # as the index is declared: another form of it would not be looked up there
        "business_id",
        "customer_name",
        "customer_email",
        "number",
        function="paydesk_order_words",
        output_field=TextField(),
    )
    return Q(
        Func(
            indexed,
            Value(words),
            template="(%(expressions)s::tsquery)",
            arg_joiner=" @@ ",
            output_field=BooleanField(),
        )
    )


def words_query(business: Business, text: str) -> str:
    """Return a text's words as a tsquery of prefixes, all of them wanted; "" where it has none."""
    words = [word for word in _BETWEEN_WORDS.split(text.lower()) if word][:MOST_WORDS]
    quoted = [f"'{word}':*" for word in words]  # no quotes and no backslashes are left in a word
    return " & ".join([f"'~{business.id}'", *quoted]) if quoted else ""


def _amounts(business: Business, text: str) -> Q | None:
    """Return the condition that the total is the amount that was typed, in each currency it can be of."""
    typed = _AMOUNT.fullmatch(text)
    if typed is None:
        return None
    currencies = set(Location.objects.filter(business=business).values_list("currency", flat=True))
    if typed[2]:
        currencies &= {typed[2].lower()}
    condition = Q()
    for currency in sorted(currencies):
        try:
            condition |= Q(currency=currency, total_minor=Money.parse(typed[1], currency).amount)
        except MoneyError:
            continue
    return condition or None


def _orders_of_id(business: Business, text: str) -> list[int]:
    """Return the orders behind an id of Stripe's, or of a payment of ours."""
    payments = Payment.objects.filter(business=business, order__isnull=False)
    if text.startswith(("re_", "pyr_")):
        refunds = Refund.objects.filter(business=business, stripe_refund_id=text)
        payments = payments.filter(id__in=refunds.values("payment_id"))
    elif text.startswith("pi_"):
        accounts = StripeAccount.objects.filter(business=business).values_list("id", flat=True)
        payments = payments.filter(account_id__in=list(accounts), intent_id=text)
    elif _is_uuid(text):
        payments = payments.filter(public_id=text)
    else:
        payments = payments.filter(charge_id=text)
    return [
        order_id for order_id in payments.values_list("order_id", flat=True)[:100] if order_id is not None
    ]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
