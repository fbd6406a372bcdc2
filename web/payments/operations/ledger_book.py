"""The book of what one customer has stored: every change of a balance is an entry, written here and nowhere else.

Its balances are locked by whoever opens it; the database refuses one below zero, and an entry that does not continue
the one before it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

from django.db.models import F
from django.utils.translation import gettext_lazy as _

from web.payments import locks
from web.payments.errors import Kind, Refusal
from web.payments.models import (
    EntryKind,
    Ledger,
    LedgerBalance,
    LedgerEntry,
    LedgerLot,
    Payment,
)

_AMOUNT = F("amount")
_ENDS_SOONEST = F("expires_at").asc(nulls_last=True)


class BalanceInsufficient(Refusal):
    """`details["free"]` says how much there is."""

    code, kind = "balance_insufficient", Kind.CONFLICT
    message = _("There is not enough on the customer's balance.")
    next_step = _("Nothing was taken. Use less of it, or pay in another way.")


class CreditsInsufficient(Refusal):
    code, kind = "credits_insufficient", Kind.CONFLICT
    message = _("The customer does not have enough service credits.")
    next_step = _("Nothing was taken. Use fewer, or pay in another way.")


class Book:
    """All balances of one customer, locked; the only thing that writes entries."""

    def __init__(
        self,
        *,
        business_id: int,
        customer_id: int | None,
        now: datetime.datetime,
        actor: str,
        currency: str = "",
        ids: Iterable[int] = (),
    ) -> None:
        """Lock what the customer has; `currency` names the money that is about to be touched, if any is."""
        self.business_id, self.now, self.actor = business_id, now, actor
        ids = set(ids)
        owners = set(
            LedgerBalance.objects.filter(id__in=ids, customer_id__isnull=False).values_list(
                "customer_id", flat=True
            )
        )
        if customer_id is not None:
            owners.add(customer_id)
        locks.customers(owners)
        if customer_id is not None:
            wanted = [(Ledger.CREDITS, "")] + ([(Ledger.MONEY, currency)] if currency else [])
            LedgerBalance.objects.bulk_create(
                [
                    LedgerBalance(
                        business_id=business_id, customer_id=customer_id, ledger=ledger, currency=code
                    )
                    for ledger, code in wanted
                ],
                ignore_conflicts=True,
            )
        rows = locks.balances(customer_ids=owners, ids=ids)
        self.by_id = {row.id: row for row in rows}
        self._by_kind = {
            (row.ledger, row.currency): row
            for row in rows
            if customer_id is not None and row.customer_id == customer_id
        }

    def balance(self, ledger: str, currency: str = "") -> LedgerBalance:
        return self._by_kind[ledger, currency if ledger == Ledger.MONEY else ""]

    def bring(
        self,
        balance: LedgerBalance,
        amount: int,
        kind: str,
        *,
        expires_at: datetime.datetime | None,
        **links: Any,
    ) -> LedgerEntry:
        """Add to a balance; what comes is a lot of its own, with its end."""
        entry = self._write(balance, kind, amount=amount, **links)
        LedgerLot.objects.create(balance=balance, entry=entry, amount=amount, expires_at=expires_at)
        return entry

    def take(self, balance: LedgerBalance, amount: int, kind: str, **links: Any) -> LedgerEntry:
        """Take from a balance for good, out of the lots that end soonest."""
        drawn = self._draw(balance, amount)
        return self._write(balance, kind, amount=-amount, lots=drawn, **links)

    def take_from_lot(self, lot: LedgerLot, amount: int, kind: str, **links: Any) -> LedgerEntry:
        """Take from a balance for good, out of one lot."""
        lot.taken += amount
        lot.save(update_fields=["taken"])
        balance = self.by_id[lot.balance_id]
        return self._write(balance, kind, amount=-amount, lots={str(lot.id): amount}, **links)

    def reserve(self, balance: LedgerBalance, amount: int, payment: Payment) -> LedgerEntry:
        """Set aside for a payment, out of the lots that end soonest."""
        drawn = self._draw(balance, amount)
        return self._write(balance, EntryKind.RESERVED, reserved=amount, lots=drawn, payment=payment)

    def spend(self, reserved: LedgerEntry) -> LedgerEntry:
        """Spend what an entry had set aside."""
        balance = self.by_id[reserved.balance_id]
        amount = -reserved.reserved
        return self._write(
            balance,
            EntryKind.SPENT,
            amount=amount,
            reserved=amount,
            lots=reserved.lots,
            payment=reserved.payment,
        )

    def release(self, reserved: LedgerEntry) -> LedgerEntry:
        """Give back what an entry had set aside, into the lots that it came from."""
        balance = self.by_id[reserved.balance_id]
        lots = LedgerLot.objects.filter(id__in=[int(lot) for lot in reserved.lots])
        for lot in lots:
            lot.taken -= reserved.lots[str(lot.id)]
            lot.save(update_fields=["taken"])
        return self._write(
            balance,
            EntryKind.RELEASED,
            reserved=-reserved.reserved,
            lots=reserved.lots,
            payment=reserved.payment,
        )

    def put_back(self, taken: LedgerEntry, reason: str) -> LedgerEntry:
        """Undo what an entry took back, into the lots that it came from."""
        for lot in LedgerLot.objects.filter(id__in=[int(lot) for lot in taken.lots]):
            lot.taken -= taken.lots[str(lot.id)]
            lot.save(update_fields=["taken"])
        return self._write(
            self.by_id[taken.balance_id],
            EntryKind.ADJUSTED,
            amount=-taken.amount,
            lots=taken.lots,
            refund=taken.refund,
            order_line=taken.order_line,
            reason=reason,
        )

    def expire(self, balance: LedgerBalance) -> int:
        """Write off the lots of a balance that have ended; return how much went."""
        gone = 0
        ended = balance.lots.filter(expires_at__lte=self.now, taken__lt=_AMOUNT).order_by("expires_at", "id")
        for lot in ended:
            gone += lot.left
            self.take_from_lot(lot, lot.left, EntryKind.EXPIRED)
        return gone

    def _draw(self, balance: LedgerBalance, amount: int) -> dict[str, int]:
        """Take an amount out of lots: those that end first, then the oldest. Too little is a refusal."""
        self.expire(balance)
        if amount > balance.free:
            refusal = BalanceInsufficient if balance.ledger == Ledger.MONEY else CreditsInsufficient
            raise refusal(free=balance.free)
        drawn: dict[str, int] = {}
        rest = amount
        lots = balance.lots.filter(taken__lt=_AMOUNT).order_by(_ENDS_SOONEST, "id")
        for lot in lots:
            part = min(lot.left, rest)
            lot.taken += part
            lot.save(update_fields=["taken"])
            drawn[str(lot.id)] = part
            rest -= part
            if not rest:
                break
        return drawn

    def _write(
        self, balance: LedgerBalance, kind: str, *, amount: int = 0, reserved: int = 0, **rest: Any
    ) -> LedgerEntry:
        balance.amount += amount
        balance.reserved += reserved
        balance.entries += 1
        return LedgerEntry.objects.create(
            balance=balance,
            business_id=self.business_id,
            number=balance.entries,
            kind=kind,
            amount=amount,
            reserved=reserved,
            amount_after=balance.amount,
            reserved_after=balance.reserved,
            actor=self.actor,
            at=self.now,
            **rest,
        )
