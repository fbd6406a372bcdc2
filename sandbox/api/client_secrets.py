"""Who may see an intent: a server with its key, or a page that knows the client secret."""

import hmac

from sandbox.errors import invalid, missing
from sandbox.world import Obj, Tx

_NAMES = {"payment_intent": "PaymentIntent", "setup_intent": "SetupIntent"}


def found(tx: Tx, kind: str, params: Obj, intent_id: str) -> Obj:
    """Return the intent of the URL; from a page, only for who knows its client secret."""
    intent = tx.need(kind, intent_id)
    secret = params.get("client_secret")
    if tx.publishable and secret is None:
        raise invalid("Missing required param: client_secret.", "client_secret", "parameter_missing")
    if secret is not None and not hmac.compare_digest(secret.encode(), intent["client_secret"].encode()):
        if tx.publishable:
            raise missing(kind, intent_id, "intent")
        raise invalid(f"The client_secret provided does not match the {_NAMES[kind]}.", "client_secret")
    return intent
