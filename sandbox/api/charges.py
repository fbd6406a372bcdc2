"""Charges: each attempt to move money on a card, made only through payment intents here."""

from sandbox import cards
from sandbox.api import balance, disputes, presence
from sandbox.cards import Card, Decline
from sandbox.ids import new_id, token
from sandbox.operations import operation
from sandbox.params import merge_metadata
from sandbox.shapes import page
from sandbox.world import Obj, Tx

AUTHORISATION_SECONDS = 7 * 24 * 3600  # how long an uncaptured card payment is held
PRESENT_SECONDS = 2 * 24 * 3600  # and one made at a reader


def create(tx: Tx, intent: Obj, method: Obj, card: Card, decline: Decline | None, challenged: bool) -> Obj:
    """Stage a charge for an intent, successful unless ``decline`` says why not, and emit its event."""
    paid = decline is None
    captured = paid and not is_held(intent, method)
    charge: Obj = {
        "id": new_id("charge"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if captured else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": intent["application_fee_amount"],
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": (
            intent["statement_descriptor_suffix"] or intent["statement_descriptor"] or tx.book.slug
        ).upper()[:22],
        "captured": captured,
        "created": tx.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(card, decline),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(tx, intent, method, card, paid, challenged),
        "presentment_details": None,
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded" if paid else "failed",
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
    }
    if paid:
        charge["receipt_url"] = f"{tx.base_url}/_sandbox/receipts/{tx.book.slug}/{charge['id']}"
    tx.put(charge)
    tx.emit("charge.succeeded" if paid else "charge.failed", charge)
    if captured:
        _taken(tx, charge)
    elif paid:
        tx.after(_held_seconds(method), "expire_authorisation", charge["id"])
    return charge


def is_held(intent: Obj, method: Obj) -> bool:
    """Return whether a payment is only authorised: Interac has no such thing, and takes the money at once."""
    if method["type"] == "interac_present":
        return False
    own = (intent["payment_method_options"].get(method["type"]) or {}).get("capture_method")
    return "manual" in (intent["capture_method"], own) or own == "manual_preferred"


def _held_seconds(method: Obj) -> int:
    return AUTHORISATION_SECONDS if method["type"] == "card" else PRESENT_SECONDS


def capture(tx: Tx, charge: Obj, amount: int) -> Obj:
    """Take an authorised amount, wholly or in part; what is left of the authorisation is released."""
    done = tx.change(charge, captured=True, amount_captured=amount)
    tx.emit("charge.captured", done, before=charge)
    _taken(tx, done)
    return done


def _taken(tx: Tx, charge: Obj) -> None:
    """Plan what follows when money was taken: it reaches the balance, and some cards' holders dispute it."""
    tx.after(balance.SETTLE_SECONDS, "settle_charge", charge["id"])
    if cards.behind(charge["payment_method_details"]).dispute:
        tx.after(disputes.OPEN_SECONDS, "open_dispute", charge["id"])


def _outcome(card: Card, decline: Decline | None) -> Obj:
    if decline is None:
        return {"advice_code": None, "network_advice_code": None, "network_decline_code": None,
                "network_status": "approved_by_network", "reason": None, "risk_level": "normal",
                "risk_score": 12,
                "seller_message": "Payment complete.", "type": "authorized"}  # fmt: skip
    blocked = card.blocked
    return {
        "advice_code": None if blocked else "try_again_later",
        "network_advice_code": None,
        "network_decline_code": None if blocked else "05",
        "network_status": "not_sent_to_network" if blocked else "declined_by_network",
        "reason": "highest_risk_level" if blocked else (decline.decline_code or decline.code),
        "risk_level": "highest" if blocked else "normal",
        "risk_score": 92 if blocked else 12,
        "seller_message": "Stripe blocked this payment as too risky."
        if blocked
        else "The bank did not return any further details with this decline.",
        "type": "blocked" if blocked else "issuer_declined",
    }


def _details(tx: Tx, intent: Obj, method: Obj, card: Card, paid: bool, challenged: bool) -> Obj:
    if method["type"] != "card":
        until = tx.now + PRESENT_SECONDS if paid and is_held(intent, method) else None
        return presence.details(tx, intent, method, paid=paid, capture_before=until)
    shown = method["card"]
    return {
        "card": {
            "amount_authorized": intent["amount"] if paid else None,
            "authorization_code": token(6).upper() if paid else None,
            "brand": shown["brand"],
            "capture_before": tx.now + AUTHORISATION_SECONDS
            if paid and is_held(intent, method)
            else None,
            "checks": shown["checks"],
            "country": shown["country"],
            "exp_month": shown["exp_month"],
            "exp_year": shown["exp_year"],
            "extended_authorization": {"status": "disabled"},
            "fingerprint": shown["fingerprint"],
            "funding": shown["funding"],
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "last4": shown["last4"],
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": shown["brand"],
            "network_token": {"used": False},
            "network_transaction_id": token(15),
            "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
            "regulated_status": "unregulated",
            "three_d_secure": {
                "authentication_flow": "challenge", "electronic_commerce_indicator": "05",
                "exemption_indicator": None, "result": "authenticated", "result_reason": None,
                "transaction_id": token(20), "version": "2.2.0",
            } if challenged else None,
            "wallet": shown["wallet"],
        },
        "type": "card",
    }  # fmt: skip


@operation("charges.list", "GET", "/v1/charges")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List charges, by customer or payment intent."""
    return page(tx, "charge", params, "/v1/charges", by=("payment_intent", "customer", "transfer_group"))


@operation("charges.retrieve", "GET", "/v1/charges/{}")
def retrieve(tx: Tx, _: Obj, charge_id: str) -> Obj:
    """Return one charge."""
    return tx.need("charge", charge_id)


@operation("charges.update", "POST", "/v1/charges/{}")
def update(tx: Tx, params: Obj, charge_id: str) -> Obj:
    """Change what may be changed on a charge; emits ``charge.updated`` when something did."""
    old = tx.need("charge", charge_id)
    fields: Obj = {n: params[n] or None for n in ("description", "receipt_email", "shipping") if n in params}
    if "transfer_group" in params:
        fields["transfer_group"] = params["transfer_group"]
    if "fraud_details" in params:
        fields["fraud_details"] = params["fraud_details"] or {}
    if "customer" in params:
        fields["customer"] = tx.need("customer", params["customer"], "customer")["id"]
    if "metadata" in params:
        fields["metadata"] = merge_metadata(old["metadata"], params["metadata"])
    charge = tx.change(old, **fields)
    if charge != old:
        tx.emit("charge.updated", charge, before=old)
    return charge
