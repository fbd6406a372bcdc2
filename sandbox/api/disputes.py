"""Disputes: the bank takes a payment back, and the account answers with evidence before a deadline.

As at Stripe, the text ``winning_evidence`` in ``uncategorized_text`` wins and ``losing_evidence`` loses; other evidence
waits for the control API. An inquiry takes no money; ``escalate_inquiry_evidence`` makes a dispute of it.
"""

from sandbox import cards
from sandbox.api import balance
from sandbox.errors import StripeError
from sandbox.ids import new_id
from sandbox.operations import job, operation
from sandbox.params import merge_metadata
from sandbox.shapes import page
from sandbox.world import Obj, Tx

FEE = 1500  # of the smallest unit; Stripe's is 15 dollars
OPEN_SECONDS = 0.3  # after the payment; long enough to see the payment alone
VERDICT_SECONDS = 0.3  # after evidence that decides
RESPOND_SECONDS = 7 * 24 * 3600  # the shortest time that card networks leave
_ANSWERABLE = ("needs_response", "warning_needs_response")
WAITING = (*_ANSWERABLE, "under_review", "warning_under_review")
_REASON_CODES = {"fraudulent": "10.4", "product_not_received": "13.1", "general": "10.5"}
_TEXTS = (
    "access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure",
    "cancellation_rebuttal", "customer_communication", "customer_email_address", "customer_name",
    "customer_purchase_ip", "customer_signature", "duplicate_charge_documentation", "duplicate_charge_explanation",
    "duplicate_charge_id", "product_description", "receipt", "refund_policy", "refund_policy_disclosure",
    "refund_refusal_explanation", "service_date", "service_documentation", "shipping_address", "shipping_carrier",
    "shipping_date", "shipping_documentation", "shipping_tracking_number", "uncategorized_file", "uncategorized_text",
)  # fmt: skip


@job("open_dispute")
def follow_payment(tx: Tx, charge_id: str) -> None:
    """Do what the test card says follows a payment: a dispute, an inquiry, or an issuer's warning."""
    charge = tx.get("charge", charge_id)
    if charge is None or charge["disputed"] or charge["refunded"]:
        return
    follows = cards.behind(charge["payment_method_details"]).dispute or "general"
    if follows == "warning":
        _warn(tx, charge)
    else:
        start(tx, charge, "general" if follows == "inquiry" else follows, inquiry=follows == "inquiry")


def start(
    tx: Tx, charge: Obj, reason: str = "fraudulent", *, inquiry: bool = False, amount: int | None = None
) -> Obj:
    """Open a dispute on a charge: the money leaves the balance at once, unless it is an inquiry."""
    due = tx.now + RESPOND_SECONDS
    dispute: Obj = {
        "id": new_id("dispute"),
        "object": "dispute",
        "amount": amount or charge["amount_captured"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": tx.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_TEXTS), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": due, "enhanced_eligibility": {}, "has_evidence": False, "past_due": False, "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "intended_submission_method": None,
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "network_reason_code": _REASON_CODES.get(reason, "10.5"),
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": charge["payment_method_details"]["card"]["brand"],
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": charge["payment_method_details"]["card"]["network"],
                "network_reason_code": _REASON_CODES.get(reason, "10.5"),
            },
            "type": "card",
        },
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }  # fmt: skip
    tx.change(charge, disputed=True)
    tx.put(dispute)
    tx.emit("charge.dispute.created", dispute)
    if not inquiry:
        dispute = _withdraw(tx, dispute)
    tx.after(RESPOND_SECONDS, "dispute_deadline", dispute["id"])
    return dispute


def decide(tx: Tx, dispute: Obj, status: str) -> Obj:
    """End a dispute as ``won``, ``lost`` or ``warning_closed``; a won one brings the money back."""
    if dispute["status"] not in WAITING:
        raise _closed(dispute)
    done = tx.change(dispute, status=status, is_charge_refundable=status != "lost")
    tx.emit("charge.dispute.closed", done, before=dispute)
    if status == "won":
        entry = balance.record(tx, done, done["amount"], "adjustment", category="dispute_reversal")
        done = tx.change(done, balance_transactions=[*done["balance_transactions"], entry])
        tx.emit("charge.dispute.funds_reinstated", done)
    return done


def refuses_refund(tx: Tx, charge: Obj) -> bool:
    """Return whether a dispute stands in the way of a refund; an inquiry or a won dispute does not."""
    return any(not dispute["is_charge_refundable"] for dispute in tx.find("dispute", "charge", charge["id"]))


def refunded(tx: Tx, charge: Obj) -> None:
    """Close the inquiries of a charge that was wholly refunded: the customer has what was asked for."""
    for dispute in tx.find("dispute", "charge", charge["id"]):
        if dispute["status"].startswith("warning") and dispute["status"] in WAITING:
            decide(tx, dispute, "warning_closed")


@job("dispute_deadline")
def deadline(tx: Tx, dispute_id: str) -> None:
    """Lose what was never answered; an inquiry merely ends."""
    dispute = tx.get("dispute", dispute_id)
    if dispute is None or dispute["status"] not in _ANSWERABLE:
        return
    late = tx.change(dispute, evidence_details={**dispute["evidence_details"], "past_due": True})
    decide(tx, late, "warning_closed" if late["status"].startswith("warning") else "lost")


@job("dispute_verdict")
def verdict(tx: Tx, dispute_id: str) -> None:
    """Let the bank judge the evidence it was sent."""
    dispute = tx.get("dispute", dispute_id)
    if dispute is None or dispute["status"] not in ("under_review", "warning_under_review"):
        return
    text = dispute["evidence"]["uncategorized_text"]
    if text == "winning_evidence":
        decide(tx, dispute, "warning_closed" if dispute["status"].startswith("warning") else "won")
    elif text == "losing_evidence":
        decide(tx, dispute, "lost")
    elif text == "escalate_inquiry_evidence" and dispute["status"] == "warning_under_review":
        method = dispute["payment_method_details"]
        changed = tx.change(
            dispute,
            status="needs_response",
            is_charge_refundable=False,
            payment_method_details={**method, "card": {**method["card"], "case_type": "chargeback"}},
        )
        tx.emit("charge.dispute.updated", changed, before=dispute)
        _withdraw(tx, changed)


@operation("disputes.list", "GET", "/v1/disputes")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List disputes, by charge or payment intent."""
    return page(tx, "dispute", params, "/v1/disputes", by=("charge", "payment_intent"))


@operation("disputes.retrieve", "GET", "/v1/disputes/{}")
def retrieve(tx: Tx, _: Obj, dispute_id: str) -> Obj:
    """Return one dispute."""
    return tx.need("dispute", dispute_id)


@operation("disputes.update", "POST", "/v1/disputes/{}")
def update(tx: Tx, params: Obj, dispute_id: str) -> Obj:
    """Stage evidence (``submit=false``) or send it to the bank, which is the default."""
    old = tx.need("dispute", dispute_id)
    fields: Obj = {}
    if "metadata" in params:
        fields["metadata"] = merge_metadata(old["metadata"], params["metadata"])
    if "intended_submission_method" in params:
        fields["intended_submission_method"] = params["intended_submission_method"]
    if "evidence" in params or params.get("submit"):
        if old["status"] not in _ANSWERABLE:
            raise StripeError(
                400,
                f"This dispute can no longer be updated because it has a status of {old['status']}.",
                executed=True,
            )
        given = {name: value or None for name, value in params.get("evidence", {}).items() if name in _TEXTS}
        fields["evidence"] = {**old["evidence"], **given}
        details = {
            **old["evidence_details"],
            "has_evidence": any(fields["evidence"][name] for name in _TEXTS),
        }
        if params.get("submit", True):
            details["submission_count"] += 1
            details["submission_method"] = "manual"
            fields["status"] = (
                "warning_under_review" if old["status"].startswith("warning") else "under_review"
            )
            tx.after(VERDICT_SECONDS, "dispute_verdict", dispute_id)
        fields["evidence_details"] = details
    dispute = tx.change(old, **fields)
    if dispute != old:
        tx.emit("charge.dispute.updated", dispute, before=old)
    return dispute


@operation("disputes.close", "POST", "/v1/disputes/{}/close")
def close(tx: Tx, _: Obj, dispute_id: str) -> Obj:
    """Accept a dispute as lost."""
    dispute = tx.need("dispute", dispute_id)
    if dispute["status"] not in _ANSWERABLE:
        raise _closed(dispute)
    return decide(tx, dispute, "lost")


@operation("radar.early_fraud_warnings.list", "GET", "/v1/radar/early_fraud_warnings")
def list_warnings(tx: Tx, params: Obj) -> Obj:
    """List issuers' warnings, by charge or payment intent."""
    url = "/v1/radar/early_fraud_warnings"
    return page(tx, "radar.early_fraud_warning", params, url, by=("charge", "payment_intent"))


@operation("radar.early_fraud_warnings.retrieve", "GET", "/v1/radar/early_fraud_warnings/{}")
def retrieve_warning(tx: Tx, _: Obj, warning_id: str) -> Obj:
    """Return one issuer's warning."""
    return tx.need("radar.early_fraud_warning", warning_id)


def _withdraw(tx: Tx, dispute: Obj) -> Obj:
    entry = balance.record(tx, dispute, -dispute["amount"], "adjustment", FEE, category="dispute")
    done = tx.change(dispute, balance_transactions=[*dispute["balance_transactions"], entry])
    tx.emit("charge.dispute.funds_withdrawn", done)
    return done


def _warn(tx: Tx, charge: Obj) -> None:
    warning: Obj = {
        "id": new_id("radar.early_fraud_warning"),
        "object": "radar.early_fraud_warning",
        "actionable": True,
        "charge": charge["id"],
        "created": tx.now,
        "fraud_type": "made_with_stolen_card",
        "livemode": False,
        "payment_intent": charge["payment_intent"],
    }
    tx.put(warning)
    tx.emit("radar.early_fraud_warning.created", warning)


def _closed(dispute: Obj) -> StripeError:
    return StripeError(
        400, f"This dispute is already closed: it has a status of {dispute['status']}.", executed=True
    )
