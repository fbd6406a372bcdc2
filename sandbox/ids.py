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
    "tml": "terminal.location",
    "tmr": "terminal.reader",
    "tmc": "terminal.configuration",
}
_PREFIXES = {kind: prefix for prefix, kind in KINDS.items()}


_LETTERS = bytes(ord(_ALPHABET[number % 62]) for number in range(256))
_POOL_BYTES = 8192  # asked of the system at once: one call for hundreds of ids


class _Pool:
    """Random letters and digits, and how many of them were used."""

    letters = ""
    used = 0


def token(length: int = 24) -> str:
    """Return that many random letters and digits."""
    if _Pool.used + length > len(_Pool.letters):
        _Pool.letters, _Pool.used = os.urandom(_POOL_BYTES).translate(_LETTERS).decode(), 0
    _Pool.used += length
    return _Pool.letters[_Pool.used - length : _Pool.used]


def new_id(kind: str) -> str:
    """Return a fresh id for an object of that kind."""
    return f"{_PREFIXES[kind]}_{token()}"


def kind_of(object_id: str) -> str | None:
    """Return the kind an id names, by its prefix."""
    return KINDS.get(object_id.partition("_")[0])
