"""What a reader learns of a card that is presented to it: payment methods, and the details of charges."""

from sandbox.cards import Card
from sandbox.ids import new_id, token
from sandbox.world import Obj, Tx

#: How a person presents a card -> what Stripe calls it.
READ_METHODS = {"tap": "contactless_emv", "insert": "contact_emv", "swipe": "magnetic_stripe_track2"}
_SHOWN = ("brand", "cardholder_name", "country", "description", "exp_month", "exp_year", "fingerprint", "funding",
          "iin", "issuer", "last4", "preferred_locales", "read_method")  # fmt: skip
_EMPTY_ADDRESS: Obj = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def method(tx: Tx, card: Card, how: str) -> Obj:
    """Return (unstored) the payment method of a card at a reader; it pays once and belongs to nobody."""
    kind = "interac_present" if card.brand == "interac" else "card_present"
    shown: Obj = {
        "brand": card.brand,
        "cardholder_name": None,
        "country": card.country,
        "description": None,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": card.fingerprint,
        "funding": card.funding,
        "iin": card.number[:6],
        "issuer": None,
        "last4": card.last4,
        "networks": {"available": [card.brand], "preferred": None},
        "preferred_locales": ["en"],
        "read_method": READ_METHODS[how],
    }
    if kind == "card_present":
        shown |= {"brand_product": None, "offline": None, "wallet": None}
    return {
        "id": new_id("payment_method"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": _EMPTY_ADDRESS,
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        kind: shown,
        "created": tx.now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
    }


def details(tx: Tx, intent: Obj, of: Obj, *, paid: bool, capture_before: int | None) -> Obj:
    """Return the ``payment_method_details`` of a charge made at a reader, with what its receipt must say."""
    kind = of["type"]
    shown = of[kind]
    found: Obj = {
        **{name: shown[name] for name in _SHOWN},
        "emv_auth_data": "8A023030" if paid else None,
        "generated_card": tx.presence.get("generated_card"),
        "location": tx.presence.get("location"),
        "network": shown["brand"],
        "network_transaction_id": token(15) if paid else None,
        "reader": tx.presence.get("reader"),
        "receipt": _receipt(shown, kind, paid=paid),
    }
    if kind == "card_present":
        found |= {
            "amount_authorized": intent["amount"] if paid else None,
            "brand_product": None,
            "capture_before": capture_before,
            "incremental_authorization_supported": False,
            "offline": None,
            "overcapture_supported": False,
            "wallet": None,
        }
    return {kind: found, "type": kind}


def _receipt(shown: Obj, kind: str, *, paid: bool) -> Obj:
    account = (
        "checking" if kind == "interac_present" else "prepaid" if shown["funding"] == "prepaid" else "credit"
    )
    chip = shown["read_method"] != "magnetic_stripe_track2"
    return {
        "account_type": account,
        "application_cryptogram": token(16).upper() if chip else None,
        "application_preferred_name": f"Stripe {shown['brand'].capitalize()}" if chip else None,
        "authorization_code": token(6).upper() if paid else None,
        "authorization_response_code": "3030" if paid else "3035",
        "cardholder_verification_method": "approval"
        if shown["read_method"] == "contactless_emv"
        else "signature",
        "dedicated_file_name": "A000000003101001" if chip else None,
        "terminal_verification_results": "8000008000" if chip else None,
        "transaction_status_information": "6800" if chip else None,
    }


def generated_card(tx: Tx, of: Obj, allow_redisplay: str, charge: Obj | None = None) -> Obj:
    """Return (unstored) the card that can be saved and charged again, made of one that was presented."""
    shown = of[of["type"]]
    return {
        "id": new_id("payment_method"),
        "object": "payment_method",
        "allow_redisplay": allow_redisplay,
        "billing_details": of["billing_details"],
        "card": {
            "brand": shown["brand"],
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": None},
            "country": shown["country"],
            "display_brand": shown["brand"],
            "exp_month": shown["exp_month"],
            "exp_year": shown["exp_year"],
            "fingerprint": shown["fingerprint"],
            "funding": shown["funding"],
            "generated_from": {
                "charge": charge["id"] if charge else None,
                "payment_method_details": charge["payment_method_details"] if charge else None,
                "setup_attempt": None,
            },
            "last4": shown["last4"],
            "networks": {"available": [shown["brand"]], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": tx.now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }
