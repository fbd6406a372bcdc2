"""From "confirm" to a saved card: authentication, the bank's word, the attempt that remembers it."""

from sandbox.api import payment_methods, presence
from sandbox.cards import Card, Decline
from sandbox.errors import StripeError, setup_unexpected_state
from sandbox.ids import new_id, token
from sandbox.world import Obj, Tx

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def confirm(tx: Tx, intent: Obj, method: Obj, return_url: str | None, by_script: bool) -> Obj:
    """Save the method, refuse it (a 402 that is kept), or wait for the customer to authenticate."""
    card = payment_methods.card_of(method)
    intent = tx.change(intent, payment_method=method["id"], last_setup_error=None, next_action=None)
    if card.challenge == "never":
        return _save(tx, intent, method, card, challenged=False)
    url = f"{tx.base_url}/_sandbox/3ds/{intent['id']}"
    if return_url and not by_script:
        action: Obj = {"redirect_to_url": {"return_url": return_url, "url": url}, "type": "redirect_to_url"}
    else:
        script = {"source": f"src_{token()}", "stripe_js": url, "type": "three_d_secure_redirect"}
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": script}
    attempt = _attempt(tx, intent, method, "requires_action", challenged=False)
    waiting = tx.change(intent, status="requires_action", next_action=action, latest_attempt=attempt["id"])
    tx.emit("setup_intent.requires_action", waiting)
    return waiting


def authenticate(tx: Tx, intent: Obj, authorised: bool) -> Obj:
    """Finish 3-D Secure as the customer did; a failed one leads back to ``requires_payment_method``."""
    if intent["status"] != "requires_action":
        raise setup_unexpected_state(
            f"This SetupIntent does not wait for authentication: its status is {intent['status']}.", intent
        )
    method = tx.need("payment_method", intent["payment_method"])
    if authorised:
        try:
            return _save(
                tx, {**intent, "next_action": None}, method, payment_methods.card_of(method), challenged=True
            )
        except (
            StripeError
        ) as error:  # the bank's answer belongs to the intent; authentication itself went well
            if error.status != 402:
                raise
            return tx.need("setup_intent", intent["id"])
    return _failed(
        tx,
        intent,
        method,
        {
            "code": "setup_intent_authentication_failure",
            "doc_url": "https://stripe.com/docs/error-codes/setup-intent-authentication-failure",
            "message": "The latest attempt to set up the payment method has failed because authentication failed.",
            "payment_method": method,
            "type": "invalid_request_error",
        },
        challenged=True,
    )


def _save(tx: Tx, intent: Obj, method: Obj, card: Card, *, challenged: bool) -> Obj:
    if card.decline is not None and not card.attaches:
        raise _declined(tx, intent, method, card.decline, challenged)
    attempt = _attempt(tx, intent, method, "succeeded", challenged=challenged)
    done = tx.change(intent, status="succeeded", latest_attempt=attempt["id"], next_action=None)
    tx.emit("setup_intent.succeeded", done)
    if intent["customer"] and method["customer"] is None:
        payment_methods.attached(tx, method, intent["customer"])
    return done


def save_at_reader(tx: Tx, intent: Obj, method: Obj, allow_redisplay: str, decline: Decline | None) -> Obj:
    """Save what was held to a reader: a card made of it is what can be charged later; a decline raises its 402."""
    intent = tx.change(intent, payment_method=method["id"], last_setup_error=None, next_action=None)
    if decline is not None:
        raise _declined(tx, intent, method, decline, challenged=False)
    card = tx.put(presence.generated_card(tx, method, allow_redisplay))
    attempt = _attempt(tx, intent, method, "succeeded", challenged=False, generated=card["id"])
    details = {
        **card["card"],
        "generated_from": {**card["card"]["generated_from"], "setup_attempt": attempt["id"]},
    }
    card = tx.change(card, card=details)
    done = tx.change(intent, status="succeeded", latest_attempt=attempt["id"])
    tx.emit("setup_intent.succeeded", done)
    if intent["customer"]:
        payment_methods.attached(tx, card, intent["customer"])
    return card


def _declined(tx: Tx, intent: Obj, method: Obj, decline: Decline, challenged: bool) -> StripeError:
    what: Obj = {"decline_code": decline.decline_code, "payment_method": method}
    what = {name: value for name, value in what.items() if value is not None}
    error = {
        **what,
        "code": decline.code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "type": "card_error",
    }
    failed = _failed(tx, intent, method, error, challenged=challenged)
    return StripeError(
        402, decline.message, kind="card_error", code=decline.code, executed=True, setup_intent=failed, **what
    )


def _failed(tx: Tx, intent: Obj, method: Obj, error: Obj, *, challenged: bool) -> Obj:
    attempt = _attempt(tx, intent, method, "failed", challenged=challenged, error=error)
    failed = tx.change(
        intent,
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_setup_error=error,
        latest_attempt=attempt["id"],
    )
    tx.emit("setup_intent.setup_failed", failed)
    return failed


def _attempt(
    tx: Tx,
    intent: Obj,
    method: Obj,
    status: str,
    *,
    challenged: bool,
    error: Obj | None = None,
    generated: str | None = None,
) -> Obj:
    """Stage the record of one attempt; the attempt that waited for the customer is the one that ends."""
    shown = method[method["type"]]
    waiting = tx.get("setup_attempt", intent["latest_attempt"]) if intent["latest_attempt"] else None
    same = waiting is not None and waiting["status"] == "requires_action"
    names = (
        "brand",
        "checks",
        "country",
        "exp_month",
        "exp_year",
        "fingerprint",
        "funding",
        "last4",
        "wallet",
    )
    secure = {
        "authentication_flow": "challenge", "electronic_commerce_indicator": "05",
        "result": "failed" if status == "failed" else "authenticated",
        "result_reason": "rejected" if status == "failed" else None, "transaction_id": token(20), "version": "2.2.0",
    }  # fmt: skip
    if method["type"] == "card":
        card = {name: shown[name] for name in names}
        card |= {"network": shown["brand"], "three_d_secure": secure if challenged else None}
    else:
        card = {"generated_card": generated, "offline": None}
    return tx.put(
        {
            "id": waiting["id"] if waiting and same else new_id("setup_attempt"),
            "object": "setup_attempt",
            "application": None,
            "created": waiting["created"] if waiting and same else tx.now,
            "customer": intent["customer"],
            "flow_directions": None,
            "livemode": False,
            "on_behalf_of": None,
            "payment_method": method["id"],
            "payment_method_details": {method["type"]: card, "type": method["type"]},
            "setup_error": error,
            "setup_intent": intent["id"],
            "status": status,
            "usage": intent["usage"],
        }
    )
