"""Refunds: whole or partial, never beyond the charge; "succeeded" is not final, as in life."""

from sandbox import cards, money
from sandbox.api import balance, disputes
from sandbox.errors import StripeError, invalid, unexpected_state
from sandbox.ids import new_id, token
from sandbox.operations import job, operation
from sandbox.params import merge_metadata
from sandbox.shapes import page
from sandbox.world import Obj, Tx

_ACT_SECONDS = 30 * 24 * 3600  # a refund that waits for the customer expires
_REFERENCE_SECONDS = 0.3  # the bank's reference arrives after the refund, and updates it


@operation("refunds.create", "POST", "/v1/refunds")
def create(tx: Tx, params: Obj) -> Obj:
    """Refund a charge, or the successful charge of a payment intent."""
    charge = refundable(tx, params)
    if charge["payment_method_details"]["type"] == "interac_present":
        raise invalid(
            "Interac payments can only be refunded in person: the customer presents the same card to a reader. "
            "Use /v1/terminal/readers/:id/refund_payment.",
            "charge" if "charge" in params else "payment_intent",
        )
    amount = amount_of(charge, params)
    card = cards.behind(charge["payment_method_details"])
    fate = "failed_later" if "refund_fails_later" in tx.struck else card.refund
    return issue(tx, charge, amount, params, fate)


def refundable(tx: Tx, params: Obj) -> Obj:
    """Return the charge that a refund is about, or refuse it: given back already, disputed, or never taken."""
    charge = _charge_of(tx, params)
    left = charge["amount_captured"] - charge["amount_refunded"]
    if charge["refunded"] or left <= 0:
        raise StripeError(
            400,
            f"Charge {charge['id']} has already been refunded.",
            code="charge_already_refunded",
            executed=True,
        )
    if disputes.refuses_refund(tx, charge):
        raise StripeError(400, f"Charge {charge['id']} has been charged back; cannot issue a refund.",
                          code="charge_disputed", executed=True)  # fmt: skip
    return charge


def amount_of(charge: Obj, params: Obj) -> int:
    """Return what a refund gives back: the amount asked for, at most what is left, or all that is left."""
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount: int = params.get("amount", left)
    if amount < 1:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    if amount > left:
        shown = money.display(amount, charge["currency"])
        rest = money.display(left, charge["currency"])
        raise StripeError(
            400,
            f"Refund amount ({shown}) is greater than unrefunded amount on charge ({rest})",
            param="amount",
            executed=True,
        )
    return amount


def issue(tx: Tx, charge: Obj, amount: int, params: Obj, fate: str = "succeeded") -> Obj:
    """Stage a refund of an allowed amount, with its events and what happens to it later, its ``fate``."""
    status = fate if fate in ("pending", "requires_action") else "succeeded"
    refund: Obj = {
        "id": new_id("refund"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": tx.now,
        "currency": charge["currency"],
        "destination_details": {
            "card": {"reference": None, "reference_status": "pending",
                     "reference_type": "acquirer_reference_number", "type": "refund"},
            "type": "card",
        },
        "metadata": merge_metadata({}, params.get("metadata")),
        "payment_intent": charge["payment_intent"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }  # fmt: skip
    if status == "pending":
        refund["pending_reason"] = "processing"
    elif status == "requires_action":
        refund["instructions_email"] = params.get("instructions_email")
        sent = {
            "email_sent_at": tx.now,
            "email_sent_to": params.get("instructions_email") or "payer@example.com",
        }
        details = {"email_sent": sent, "expires_at": tx.now + _ACT_SECONDS}
        refund["next_action"] = {"display_details": details, "type": "display_details"}
    else:
        refund["balance_transaction"] = balance.record(tx, refund, -amount, "refund")["id"]
    tx.put(refund)
    total = charge["amount_refunded"] + amount
    done = tx.change(charge, amount_refunded=total, refunded=total >= charge["amount_captured"])
    tx.emit("refund.created", refund)
    tx.emit("charge.refunded", done, before=charge)
    if done["refunded"]:
        disputes.refunded(tx, done)
    if status == "requires_action":
        tx.after(_ACT_SECONDS, "expire_refund", refund["id"])
    else:
        tx.after(
            _REFERENCE_SECONDS, "fail_refund" if fate == "failed_later" else "finish_refund", refund["id"]
        )
    return refund


def release(tx: Tx, charge: Obj, event: str = "charge.refunded") -> None:
    """Let an uncaptured authorisation go: Stripe shows it as refunded, though no money moved."""
    done = tx.change(charge, amount_refunded=charge["amount"], refunded=True)
    tx.emit(event, done, before=charge)


def act(tx: Tx, refund: Obj, outcome: str) -> Obj:
    """Do what the customer must do for a refund that waits for them: ``succeeded``, or ``failed``."""
    if refund["status"] != "requires_action":
        raise StripeError(400, f"Refund {refund['id']} does not wait for the customer.", executed=True)
    if outcome == "succeeded":
        finish(tx, refund["id"])
    else:
        _fail(tx, refund, "declined")
    return tx.need("refund", refund["id"])


def _updated(tx: Tx, refund: Obj, before: Obj) -> None:
    """Emit an update under both of its names: Stripe's older one is ``charge.refund.updated``."""
    tx.emit("charge.refund.updated", refund, before=before)
    tx.emit("refund.updated", refund, before=before)


@job("finish_refund")
def finish(tx: Tx, refund_id: str) -> None:
    """Bring the bank's reference; a pending refund succeeds with it."""
    old = tx.get("refund", refund_id)
    if old is None or old["status"] in ("failed", "canceled"):
        return
    details = old["destination_details"]
    number = "".join(str(ord(letter) % 10) for letter in token(23))
    changed: Obj = {
        "status": "succeeded",
        "destination_details": {
            **details,
            "card": {**details["card"], "reference": number, "reference_status": "available"},
        },
    }
    if old["balance_transaction"] is None:
        changed["balance_transaction"] = balance.record(tx, old, -old["amount"], "refund")["id"]
    gone = ("pending_reason", "next_action")
    refund = tx.change({name: value for name, value in old.items() if name not in gone}, **changed)
    _updated(tx, refund, old)


@job("fail_refund")
def fail(tx: Tx, refund_id: str) -> None:
    """Turn a succeeded refund into a failed one: the money is back on the account's balance."""
    old = tx.get("refund", refund_id)
    if old is None or old["status"] in ("failed", "canceled"):
        return
    _fail(tx, old, "expired_or_canceled_card")


@job("expire_refund")
def expire(tx: Tx, refund_id: str) -> None:
    """Fail a refund whose customer never did what it waits for."""
    old = tx.get("refund", refund_id)
    if old is not None and old["status"] == "requires_action":
        _fail(tx, old, "expired_or_canceled_card")


def _fail(tx: Tx, old: Obj, reason: str) -> None:
    fields: Obj = {"status": "failed", "failure_reason": reason}
    if old["balance_transaction"] is not None:
        fields["failure_balance_transaction"] = balance.record(tx, old, old["amount"], "refund_failure")["id"]
    refund = tx.change({name: value for name, value in old.items() if name != "next_action"}, **fields)
    _give_back(tx, refund)
    tx.emit("refund.failed", refund)
    _updated(tx, refund, old)


def _give_back(tx: Tx, refund: Obj) -> None:
    charge = tx.need("charge", refund["charge"])
    done = tx.change(charge, amount_refunded=charge["amount_refunded"] - refund["amount"], refunded=False)
    tx.emit("charge.updated", done, before=charge)


def _charge_of(tx: Tx, params: Obj) -> Obj:
    if "charge" in params and "payment_intent" in params:
        charge = tx.need("charge", params["charge"], "charge")
        if charge["payment_intent"] != params["payment_intent"]:
            raise invalid("The charge does not belong to the payment_intent.", "charge")
    elif "payment_intent" in params:
        intent = tx.need("payment_intent", params["payment_intent"], "payment_intent")
        found = tx.get("charge", intent["latest_charge"]) if intent["latest_charge"] else None
        if found is None or not found["paid"]:
            raise StripeError(
                400,
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                executed=True,
            )
        charge = found
    elif "charge" in params:
        charge = tx.need("charge", params["charge"], "charge")
    else:
        raise invalid(
            "One of the following params should be provided for this request: payment_intent or charge.",
            code="parameter_missing",
        )
    if not charge["paid"]:
        raise StripeError(
            400, f"Charge {charge['id']} was not successful; it cannot be refunded.", executed=True
        )
    if not charge["captured"] and not charge["refunded"]:
        intent = tx.need("payment_intent", charge["payment_intent"])
        raise unexpected_state(
            "This PaymentIntent could not be refunded because it has a status of requires_capture; cancel it "
            "instead.",
            intent,
        )
    return charge


@operation("refunds.list", "GET", "/v1/refunds")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List refunds, by charge or payment intent."""
    return page(tx, "refund", params, "/v1/refunds", by=("charge", "payment_intent"))


@operation("refunds.retrieve", "GET", "/v1/refunds/{}")
def retrieve(tx: Tx, _: Obj, refund_id: str) -> Obj:
    """Return one refund."""
    return tx.need("refund", refund_id)


@operation("refunds.update", "POST", "/v1/refunds/{}")
def update(tx: Tx, params: Obj, refund_id: str) -> Obj:
    """Change a refund's metadata; nothing else can be changed."""
    old = tx.need("refund", refund_id)
    refund = tx.change(old, metadata=merge_metadata(old["metadata"], params.get("metadata", {})))
    if refund != old:
        _updated(tx, refund, old)
    return refund


@operation("refunds.cancel", "POST", "/v1/refunds/{}/cancel")
def cancel(tx: Tx, _: Obj, refund_id: str) -> Obj:
    """Cancel a refund that waits for the customer; card refunds never do, so they are refused."""
    old = tx.need("refund", refund_id)
    if old["status"] != "requires_action":
        raise StripeError(
            400,
            f"Refund {refund_id} cannot be canceled because it has a status of {old['status']}. Only refunds "
            f"with "
            "status requires_action can be canceled.",
            executed=True,
        )
    refund = tx.change(
        {name: value for name, value in old.items() if name != "next_action"}, status="canceled"
    )
    _give_back(tx, refund)
    _updated(tx, refund, old)
    return refund


@operation("test_helpers.refunds.expire", "POST", "/v1/test_helpers/refunds/{}/expire")
def expire_now(tx: Tx, _: Obj, refund_id: str) -> Obj:
    """Let a refund that waits for the customer expire now."""
    return act(tx, tx.need("refund", refund_id), "failed")
