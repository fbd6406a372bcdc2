"""Customers with something stored, for tests of the ledgers and of what pays with them."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import F, Sum
from django.utils import timezone

from tests.factories import ItemFactory, ProfileFactory, StaffFactory
from tests.shop import Shop
from web.core.models import Item, ItemType, Profile
from web.payments.models import Cart, Ledger, LedgerBalance, LedgerEntry, LedgerLot
from web.payments.money import Money
from web.payments.operations import carts, ledgers


class Desk:
    """A shop with a member of staff, a customer, and things that can be paid for with credits or give them."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.business = shop, shop.business
        self.staff = StaffFactory.create(business=shop.business, groups=["store", "credits", "discounts"])
        self.customer = ProfileFactory.create(business=shop.business, name="Mina Kim")
        self.lesson = self.item(ItemType.APPOINTMENT, 9500, name="Private lesson", credit_price=3)
        self.drop_in = self.item(ItemType.SERVICE_REGISTRATION, 2000, name="Class")
        self.passes = self.item(
            ItemType.SERVICE_PASS, 18000, name="10-class pass", gives_credits=10, gives_days=90
        )
        self.card = self.item(ItemType.GIFT_CARD, 5000, name="Gift card 50", gives_minor=5000)

    def item(self, kind: ItemType, price: int, **rest: Any) -> Item:
        return ItemFactory.create(business=self.business, item_type=kind, price_minor=price, **rest)

    def has(self, change: Money | int, **rest: Any) -> LedgerEntry:
        """Give the customer something."""
        return self.adjust(change, **rest)

    def adjust(self, change: Money | int, **rest: Any) -> LedgerEntry:
        given: dict[str, Any] = {
            "business": self.business,
            "customer_id": self.customer.id,
            "change": change,
            "reason": "of the tests",
            "form_token": uuid.uuid4().hex,
            "now": timezone.now(),
            "staff": self.staff,
        }
        return ledgers.adjust(**(given | rest))

    def cart(self, *items: Item, customer: Profile | None = None, quantity: int = 1) -> Cart:
        """Return the customer's cart with these things in it; the shop's mat where none is named."""
        cart = carts.open_cart(
            business=self.business,
            location=self.shop.location,
            now=timezone.now(),
            customer=customer or self.customer,
            created_by=self.staff,
        )
        for item in items or (self.shop.item,):
            carts.set_quantity(business=self.business, token=cart.token, item_id=item.id, quantity=quantity)
        return cart

    def balance(self, ledger: Ledger = Ledger.MONEY) -> tuple[int, int]:
        """Return what the customer has and what of it is set aside."""
        row = LedgerBalance.objects.filter(customer=self.customer, ledger=ledger).first()
        return (0, 0) if row is None else (row.amount, row.reserved)

    def kinds(self, ledger: Ledger = Ledger.MONEY) -> list[str]:
        entries = LedgerEntry.objects.filter(balance__customer=self.customer, balance__ledger=ledger)
        return list(entries.order_by("number").values_list("kind", flat=True))


def usd(amount: int) -> Money:
    return Money(amount, "usd")


def books_are_right() -> None:
    """Add every ledger up anew, from its entries and from its lots, and compare."""
    for balance in LedgerBalance.objects.all():
        entries = balance.lines.aggregate(amount=Sum("amount"), reserved=Sum("reserved"))
        assert (entries["amount"] or 0, entries["reserved"] or 0) == (balance.amount, balance.reserved)
        free = LedgerLot.objects.filter(balance=balance).aggregate(left_over=Sum(F("amount") - F("taken")))
        assert (free["left_over"] or 0) == balance.amount - balance.reserved
        assert 0 <= balance.reserved <= balance.amount
