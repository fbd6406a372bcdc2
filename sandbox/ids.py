"""Identifiers that look like Stripe's: a prefix that names the kind, then letters and digits."""

import os
import string

_ALPHABET = string.ascii_letters + string.digits

#: Prefix of an id -> the ``object`` it names; expansion follows it.
KINDS = {
    "pi": "payment_intent",
    "ch": "charge",
    "re": "refund",
    "cus": "customer",
    "pm": "payment_method",
    "ctoken": "confirmation_token",
    "evt": "event",
    "we": "webhook_endpoint",
    "txn": "balance_transaction",
    "seti": "setup_intent",
    "setatt": "setup_attempt",
    "du": "dispute",
    "issfr": "radar.early_fraud_warning",
    "po": "payout",
    "pmd": "payment_method_domain",
}
_PREFIXES = {kind: prefix for prefix, kind in KINDS.items()}


def token(length: int = 24) -> str:
    """Return that many random letters and digits."""
    return "".join([_ALPHABET[byte % 62] for byte in os.urandom(length)])


def new_id(kind: str) -> str:
    """Return a fresh id for an object of that kind."""
    return f"{_PREFIXES[kind]}_{token()}"


def kind_of(object_id: str) -> str | None:
    """Return the kind an id names, by its prefix."""
    return KINDS.get(object_id.partition("_")[0])
