"""Balance transactions: what a charge or a refund did to the account's balance, known only a little later."""

from sandbox import money
from sandbox.ids import new_id
from sandbox.operations import job, operation
from sandbox.shapes import page
from sandbox.world import Obj, Tx

SETTLE_SECONDS = 0.3  # long enough to see "null first", short enough to wait for in a test
AVAILABLE_SECONDS = 2 * 24 * 3600  # Stripe's usual two days until the money can be paid out


def record(tx: Tx, source: Obj, amount: int, kind: str, fee: int = 0) -> Obj:
    """Stage a balance transaction for a charge or refund; money out is negative."""
    fees = [
        {"amount": fee, "application": None, "currency": source["currency"],
         "description": "Stripe processing fees", "type": "stripe_fee"}
    ]  # fmt: skip
    return tx.put(
        {
            "id": new_id("balance_transaction"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": tx.now + AVAILABLE_SECONDS,
            "balance_type": "payments",
            "created": tx.now,
            "currency": source["currency"],
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee,
            "fee_details": fees if fee else [],
            "net": amount - fee,
            "reporting_category": {"payment_refund": "refund"}.get(kind, kind),
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


@operation("balance_transactions.list", "GET", "/v1/balance_transactions")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List balance transactions."""
    wanted = {name: params[name] for name in ("currency", "source", "type") if name in params}
    return page(
        tx,
        "balance_transaction",
        params,
        "/v1/balance_transactions",
        lambda entry: all(entry[name] == value for name, value in wanted.items()) and "payout" not in params,
    )


@operation("balance_transactions.retrieve", "GET", "/v1/balance_transactions/{}")
def retrieve(tx: Tx, _: Obj, entry_id: str) -> Obj:
    """Return one balance transaction."""
    return tx.need("balance_transaction", entry_id)
