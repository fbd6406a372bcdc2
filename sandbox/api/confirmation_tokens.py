"""Confirmation tokens: what a page collected, for a server that creates and confirms in one call."""

from sandbox.api import payment_methods
from sandbox.errors import invalid
from sandbox.ids import new_id, token
from sandbox.operations import operation
from sandbox.world import Obj, Tx

LIFETIME_SECONDS = 12 * 3600


@operation("confirmation_tokens.create", "POST", "/v1/confirmation_tokens", publishable=True)
def create(tx: Tx, params: Obj) -> Obj:
    """Create a token from what a customer entered; only the page may do so."""
    if not tx.publishable:
        raise invalid("Confirmation tokens are created by Stripe.js; use the test helper on a server.")
    return _create(tx, params)


@operation("confirmation_tokens.create_test", "POST", "/v1/test_helpers/confirmation_tokens")
def create_test(tx: Tx, params: Obj) -> Obj:
    """Create a token without a page, for tests."""
    return _create(tx, params)


@operation("confirmation_tokens.retrieve", "GET", "/v1/confirmation_tokens/{}")
def retrieve(tx: Tx, _: Obj, token_id: str) -> Obj:
    """Return a confirmation token."""
    return tx.need("confirmation_token", token_id)


def redeem(
    tx: Tx, token_id: str, *, payment_intent: str | None = None, setup_intent: str | None = None
) -> tuple[Obj, Obj]:
    """Use a token up for an intent; returns the token and the payment method it turned into."""
    found = tx.need("confirmation_token", token_id, "confirmation_token")
    if found["payment_intent"] or found["setup_intent"]:
        raise invalid(f"The ConfirmationToken {token_id} has already been used.", "confirmation_token")
    if found["expires_at"] and found["expires_at"] <= tx.now:
        raise invalid(f"The ConfirmationToken {token_id} has expired.", "confirmation_token")
    preview = found["payment_method_preview"]
    method = tx.put(
        {
            "id": new_id("payment_method"),
            "object": "payment_method",
            "created": tx.now,
            "livemode": False,
            "metadata": {},
            **preview,
        }
    )
    used = tx.change(found, payment_intent=payment_intent, setup_intent=setup_intent, expires_at=None)
    return used, method


def _create(tx: Tx, params: Obj) -> Obj:
    if "payment_method" in params:
        method = payment_methods.resolve(tx, params["payment_method"])
    elif "payment_method_data" in params:
        method = payment_methods.from_data(tx, params["payment_method_data"], "payment_method_data")
    else:
        raise invalid(
            "Missing required param: payment_method_data.", "payment_method_data", "parameter_missing"
        )
    return tx.put(
        {
            "id": f"ctoken_{token()}",
            "object": "confirmation_token",
            "created": tx.now,
            "expires_at": tx.now + LIFETIME_SECONDS,
            "livemode": False,
            "mandate_data": None,
            "payment_intent": None,
            "payment_method_options": None,
            "payment_method_preview": {
                name: method[name]
                for name in ("allow_redisplay", "billing_details", "card", "customer", "type")
            },
            "return_url": params.get("return_url"),
            "setup_future_usage": params.get("setup_future_usage"),
            "setup_intent": None,
            "shipping": params.get("shipping"),
            "use_stripe_sdk": True,
        }
    )
