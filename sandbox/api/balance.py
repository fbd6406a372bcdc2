"""Balance transactions: what a charge or a refund did to the account's balance, known only a little later."""

from collections.abc import Mapping

from sandbox import money
from sandbox.errors import invalid
from sandbox.ids import new_id
from sandbox.operations import job, operation, view
from sandbox.shapes import page
from sandbox.world import Obj, Tx

SETTLE_SECONDS = 0.3  # long enough to see "null first", short enough to wait for in a test
_DAY = 24 * 3600
AVAILABLE_SECONDS = 2 * 24 * 3600  # Stripe's usual two days until the money can be paid out


def record(tx: Tx, source: Obj, amount: int, kind: str, fee: int = 0, category: str | None = None) -> Obj:
    """Stage a balance transaction for what moved money; money out is negative."""
    moves_at_once = kind.startswith("payout")
    _plan_payout(tx)
    fees = [
        {"amount": fee, "application": None, "currency": source["currency"],
         "description": "Stripe processing fees", "type": "stripe_fee"}
    ]  # fmt: skip
    return tx.put(
        {
            "id": new_id("balance_transaction"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": tx.now + (0 if moves_at_once else AVAILABLE_SECONDS),
            "balance_type": "payments",
            "created": tx.now,
            "currency": source["currency"],
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee,
            "fee_details": fees if fee else [],
            "net": amount - fee,
            "reporting_category": category or kind,
            "source": source["id"],
            "status": "pending",
            "type": kind,
        }
    )


@job("settle_charge")
def settle_charge(tx: Tx, charge_id: str) -> None:
    """Bring a captured charge its balance transaction, and say so with ``charge.updated``."""
    charge = tx.get("charge", charge_id)
    if charge is None or charge["balance_transaction"] or not charge["captured"]:
        return
    amount = charge["amount_captured"]
    entry = record(tx, charge, amount, "charge", money.fee(amount, charge["currency"]))
    tx.emit("charge.updated", tx.change(charge, balance_transaction=entry["id"]), before=charge)


@operation("balance.retrieve", "GET", "/v1/balance")
def retrieve_balance(tx: Tx, _: Obj) -> Obj:
    """Return what can be paid out, and what will be."""
    ready = available(tx)

    def rows(of: Mapping[str, int]) -> list[Obj]:
        return [{"amount": n, "currency": c, "source_types": {"card": n}} for c, n in sorted(of.items())]

    pending = {currency: total - ready[currency] for currency, total in tx.book.totals.items()}
    zero = {} if tx.book.totals else {"usd": 0}
    return {
        "object": "balance",
        "available": rows(ready or zero),
        "livemode": False,
        "pending": rows(pending or zero),
        "refund_and_dispute_prefunding": {"available": rows(zero or {"usd": 0}), "pending": rows({"usd": 0})},
    }


def available(tx: Tx) -> dict[str, int]:
    """Return the amount per currency that can be paid out now: everything but the entries of the last days."""
    ready = dict(tx.book.totals)
    for entry in tx.book.shelf("balance_transaction").newest_first():
        if entry["created"] + AVAILABLE_SECONDS <= tx.now:
            break
        if entry["available_on"] > tx.now:
            ready[entry["currency"]] -= entry["net"]
    return ready


def due_lines(tx: Tx, currency: str, last: str | None) -> list[Obj]:
    """Return the available entries of a currency after ``last``, oldest first; payouts themselves are left out."""
    shelf = tx.book.shelf("balance_transaction")
    found = []
    for entry in shelf.oldest_first(last) if last else shelf.values():
        if entry["type"] == "payout" or entry["currency"] != currency:
            continue
        if entry["available_on"] > tx.now:
            break
        found.append(entry)
    return found


def _plan_payout(tx: Tx) -> None:
    """See to it that the midnight after this entry becomes available has its automatic payout."""
    due = ((tx.now + AVAILABLE_SECONDS) // _DAY + 1) * _DAY
    plan = tx.get("sandbox.payout_plan", "payout_plan")
    if plan is None or plan["due"] < due:
        tx.put({"id": "payout_plan", "object": "sandbox.payout_plan", "due": due})
        tx.after(due - tx.time, "automatic_payout", "payout_plan")


@view("balance_transaction")
def shown(tx: Tx, entry: Obj) -> Obj:
    """Return an entry with its status of now."""
    return entry if entry["available_on"] > tx.now else {**entry, "status": "available"}


@operation("balance_transactions.list", "GET", "/v1/balance_transactions")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List balance transactions; by ``payout``, those that an automatic payout held."""
    held: list[Obj] | None = None
    if "payout" in params:
        payout = tx.need("payout", params["payout"], "payout")
        if not payout["automatic"]:
            raise invalid(
                "Balance transaction history can only be filtered on automatic transfers, not manual.",
                "payout",
            )
        lines = tx.need("sandbox.payout_lines", f"lines_{payout['id']}")["entries"]
        held = [tx.need("balance_transaction", entry) for entry in reversed(lines)]
    return page(
        tx,
        "balance_transaction",
        params,
        "/v1/balance_transactions",
        by=("source", "currency", "type"),
        among=held,
    )


@operation("balance_transactions.retrieve", "GET", "/v1/balance_transactions/{}")
def retrieve(tx: Tx, _: Obj, entry_id: str) -> Obj:
    """Return one balance transaction."""
    return shown(tx, tx.need("balance_transaction", entry_id))
