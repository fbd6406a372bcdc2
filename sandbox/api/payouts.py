"""Payouts: the balance leaves for the bank, by hand or each midnight; what each one held can be listed.

An automatic payout takes every balance transaction that has become available since the one before, per currency. A paid
payout is not final: the bank may send it back.
"""

from datetime import UTC, datetime

from sandbox import money
from sandbox.api import balance
from sandbox.errors import StripeError, invalid
from sandbox.ids import new_id, token
from sandbox.operations import job, operation
from sandbox.params import bounds, merge_metadata
from sandbox.shapes import page, within
from sandbox.world import Obj, Tx

_DAY = 24 * 3600
SENT_SECONDS = 0.3  # until the bank has it: pending -> in_transit
ARRIVAL_SECONDS = 2 * _DAY
_FAILURES = {
    "account_closed": "The bank account has been closed.",
    "could_not_process": "The bank could not process this payout.",
    "no_account": "The bank account details on file are probably incorrect.",
}


@operation("payouts.create", "POST", "/v1/payouts")
def create(tx: Tx, params: Obj) -> Obj:
    """Pay out an amount of the available balance by hand."""
    currency = money.check_currency(params["currency"])
    amount = params["amount"]
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > balance.available(tx).get(currency, 0):
        raise StripeError(
            400,
            "You have insufficient funds in your Stripe account for this transfer. Your card balance is too low.",
            code="balance_insufficient",
            param="amount",
            executed=True,
        )
    return _send(tx, currency, amount, automatic=False, params=params)


@operation("payouts.retrieve", "GET", "/v1/payouts/{}")
def retrieve(tx: Tx, _: Obj, payout_id: str) -> Obj:
    """Return one payout."""
    return tx.need("payout", payout_id)


@operation("payouts.list", "GET", "/v1/payouts")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List payouts, by status, destination or day of arrival."""
    arrival = bounds(params.get("arrival_date"))
    return page(
        tx,
        "payout",
        params,
        "/v1/payouts",
        lambda payout: not arrival or within(payout["arrival_date"], arrival),
        by=("status", "destination"),
    )


@operation("payouts.update", "POST", "/v1/payouts/{}")
def update(tx: Tx, params: Obj, payout_id: str) -> Obj:
    """Change a payout's metadata; nothing else can be changed."""
    old = tx.need("payout", payout_id)
    payout = tx.change(old, metadata=merge_metadata(old["metadata"], params.get("metadata", {})))
    if payout != old:
        tx.emit("payout.updated", payout, before=old)
    return payout


@operation("payouts.cancel", "POST", "/v1/payouts/{}/cancel")
def cancel(tx: Tx, _: Obj, payout_id: str) -> Obj:
    """Take a payout back that the bank does not have yet."""
    old = tx.need("payout", payout_id)
    if old["status"] != "pending" or old["automatic"]:
        raise StripeError(
            400,
            "Payouts can only be canceled while they are pending and were not made automatically.",
            code="payouts_not_allowed",
            executed=True,
        )
    back = balance.record(tx, old, old["amount"], "payout_cancel", category="payout_reversal")
    payout = tx.change(old, status="canceled", failure_balance_transaction=back["id"])
    tx.emit("payout.canceled", payout, before=old)
    return payout


@job("automatic_payout")
def automatic(tx: Tx, _: str) -> list[Obj]:
    """Pay out, in each currency, everything that became available since the last automatic payout."""
    made = []
    for currency in sorted(tx.book.totals):
        mark = tx.get("sandbox.paid_up", f"paid_up_{currency}")
        lines = balance.due_lines(tx, currency, mark["last"] if mark else None)
        amount = sum(entry["net"] for entry in lines)
        if amount <= 0:
            continue
        payout = _send(tx, currency, amount, automatic=True, params={})
        own = payout["balance_transaction"]
        kept = {"id": f"lines_{payout['id']}", "object": "sandbox.payout_lines"}
        tx.put({**kept, "entries": [*(entry["id"] for entry in lines), own]})
        tx.put({"id": f"paid_up_{currency}", "object": "sandbox.paid_up", "last": lines[-1]["id"]})
        made.append(payout)
    return made


@job("payout_sent")
def sent(tx: Tx, payout_id: str) -> None:
    """Hand a payout to the bank; what an automatic one holds can be listed from now on."""
    old = tx.get("payout", payout_id)
    if old is None or old["status"] != "pending":
        return
    trace = {"status": "supported", "value": token(16).upper()}
    payout = tx.change(old, status="in_transit", trace_id=trace)
    tx.emit("payout.updated", payout, before=old)
    if payout["automatic"]:
        payout = tx.change(payout, reconciliation_status="completed")
        tx.emit("payout.reconciliation_completed", payout)


@job("payout_arrived")
def arrived(tx: Tx, payout_id: str) -> None:
    """Let a payout arrive, unless it has ended otherwise."""
    payout = tx.get("payout", payout_id)
    if payout is not None and payout["status"] == "in_transit":
        settle(tx, payout, "paid")


def settle(tx: Tx, payout: Obj, outcome: str, code: str = "could_not_process") -> Obj:
    """End a payout as ``paid`` or ``failed``; a paid one can still fail, and its money returns to the balance."""
    if outcome == "paid":
        if payout["status"] not in ("pending", "in_transit"):
            raise invalid(f"This payout cannot be paid: its status is {payout['status']}.", "outcome")
        done = tx.change(payout, status="paid")
        tx.emit("payout.paid", done, before=payout)
        return done
    if outcome != "failed" or payout["status"] in ("failed", "canceled"):
        raise invalid("outcome must be paid or failed, of a payout that has not failed", "outcome")
    back = balance.record(tx, payout, payout["amount"], "payout_failure", category="payout_reversal")
    done = tx.change(
        payout,
        status="failed",
        failure_balance_transaction=back["id"],
        failure_code=code,
        failure_message=_FAILURES.get(code, "The bank sent the payout back."),
    )
    tx.emit("payout.failed", done, before=payout)
    return done


def _send(tx: Tx, currency: str, amount: int, *, automatic: bool, params: Obj) -> Obj:
    day = datetime.fromtimestamp(tx.now + ARRIVAL_SECONDS, UTC).replace(hour=0, minute=0, second=0)
    method = params.get("method", "standard")
    payout: Obj = {
        "id": new_id("payout"),
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": int(day.timestamp()),
        "automatic": automatic,
        "balance_transaction": None,
        "created": tx.now,
        "currency": currency,
        "description": params.get("description") or ("STRIPE PAYOUT" if automatic else None),
        "destination": params.get("destination", f"ba_{tx.book.slug}"),
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "method": method,
        "original_payout": None,
        "payout_method": params.get("payout_method"),
        "reconciliation_status": "in_progress" if automatic else "not_applicable",
        "reversed_by": None,
        "source_type": params.get("source_type", "card"),
        "statement_descriptor": params.get("statement_descriptor"),
        "status": "pending",
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }
    payout["balance_transaction"] = balance.record(tx, payout, -amount, "payout")["id"]
    tx.put(payout)
    tx.emit("payout.created", payout)
    tx.after(SENT_SECONDS, "payout_sent", payout["id"])
    tx.after(SENT_SECONDS if method == "instant" else ARRIVAL_SECONDS, "payout_arrived", payout["id"])
    return payout
