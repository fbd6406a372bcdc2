"""From "confirm" to money: authentication, the charge, its decline, capture and release of a payment intent.

Every road to a paid or declined intent ends in ``_charge``: the API's confirm, the page's, and 3-D Secure.
"""

from sandbox import cards
from sandbox.api import charges, confirmation_tokens, payment_methods
from sandbox.cards import Card, Decline
from sandbox.errors import StripeError, invalid, unexpected_state
from sandbox.ids import token
from sandbox.world import Obj, Tx

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def confirm(tx: Tx, intent: Obj, params: Obj) -> Obj:
    """Confirm an intent: it becomes paid, held, declined (a 402 that is kept), or waits for the customer."""
    if intent["status"] not in CONFIRMABLE:
        if intent["status"] == "succeeded":
            message = (
                "You cannot confirm this PaymentIntent because it has already succeeded after being "
                "previously "
                "confirmed."
            )
        else:
            message = (
                f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}. Only "
                f"a "
                "PaymentIntent with one of the following statuses may be confirmed: requires_confirmation, "
                "requires_action."
            )
        raise unexpected_state(message, intent)
    if "amount_to_confirm" in params and params["amount_to_confirm"] != intent["amount"]:
        raise invalid(
            "amount_to_confirm does not match the amount of the PaymentIntent.", "amount_to_confirm"
        )
    intent, method, return_url = _with_method(tx, intent, params)
    _check_return_url(tx, intent, params, return_url)
    card = payment_methods.card_of(method)
    intent = tx.change(intent, payment_method=method["id"], next_action=None, last_payment_error=None)
    if _must_authenticate(card, method):
        if params.get("off_session"):
            raise _declined(tx, intent, method, card, cards.AUTHENTICATION)
        if params.get("error_on_requires_action"):
            raise _declined(tx, intent, method, card, cards.AUTHENTICATION)
        waiting = tx.change(
            intent,
            status="requires_action",
            next_action=_next_action(tx, intent, return_url, bool(params.get("use_stripe_sdk"))),
        )
        tx.emit("payment_intent.requires_action", waiting)
        return waiting
    return _charge(tx, intent, method, card, challenged=False)


def authenticate(tx: Tx, intent: Obj, authorised: bool) -> Obj:
    """Finish 3-D Secure as the customer did; a failed one leads back to ``requires_payment_method``."""
    if intent["status"] != "requires_action":
        raise unexpected_state(
            f"This PaymentIntent does not wait for authentication: its status is {intent['status']}.", intent
        )
    method = tx.need("payment_method", intent["payment_method"])
    card = payment_methods.card_of(method)
    if authorised:
        try:
            return _charge(tx, tx.change(intent, next_action=None), method, card, challenged=True)
        except (
            StripeError
        ) as error:  # the bank's answer belongs to the intent; authentication itself went well
            if error.status != 402:
                raise
            return tx.need("payment_intent", intent["id"])
    failed = tx.change(
        intent,
        status="requires_payment_method",
        next_action=None,
        payment_method=None,
        last_payment_error={
            "code": "payment_intent_authentication_failure",
            "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
            "message": "The provided PaymentMethod has failed authentication. You can provide "
            "payment_method_data or a "
            "new PaymentMethod to attempt to fulfill this PaymentIntent again.",
            "payment_method": method,
            "type": "invalid_request_error",
        },
    )
    tx.emit("payment_intent.payment_failed", failed)
    return failed


def _with_method(tx: Tx, intent: Obj, params: Obj) -> tuple[Obj, Obj, str | None]:
    """Return the intent with the parameters of this confirmation, what pays it, and where to return to."""
    given = [n for n in ("confirmation_token", "payment_method", "payment_method_data") if n in params]
    if len(given) > 1 and given != ["payment_method", "payment_method_data"]:
        raise invalid(f"You may only specify one of these parameters: {', '.join(given)}.", given[0],
                      "parameters_exclusive")  # fmt: skip
    return_url = params.get("return_url")
    if "confirmation_token" in params:
        found, method = confirmation_tokens.redeem(
            tx, params["confirmation_token"], payment_intent=intent["id"]
        )
        return_url = return_url or found["return_url"]
        fields: Obj = {n: found[n] for n in ("setup_future_usage", "shipping") if found[n]}
        intent = {**intent, **fields}
    elif "payment_method" in params:
        method = payment_methods.resolve(tx, params["payment_method"])
    elif "payment_method_data" in params:
        method = tx.put(payment_methods.from_data(tx, params["payment_method_data"], "payment_method_data"))
    elif intent["payment_method"]:
        method = tx.need("payment_method", intent["payment_method"])
    else:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either "
            "update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly "
            "with a "
            "payment method or ConfirmationToken.",
            intent,
        )
    check_usable(tx, intent, method)
    return intent, method, return_url


def check_usable(tx: Tx, intent: Obj, method: Obj) -> None:
    """Refuse a method that is another customer's, of the wrong type, or used up."""
    if method["type"] not in intent["payment_method_types"]:
        raise invalid(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent. Please "
            f"attach a "
            f"PaymentMethod of one of the following types: {', '.join(intent['payment_method_types'])}.",
            "payment_method",
        )
    if method["customer"] is not None:
        if method["customer"] != intent["customer"]:
            raise invalid(
                f"The provided PaymentMethod cannot be attached to this PaymentIntent: {method['id']} "
                f"belongs to a "
                "Customer. Please include the Customer in the `customer` parameter on the PaymentIntent.",
                "payment_method",
            )
    elif any(charge["paid"] for charge in tx.find("charge", "payment_method", method["id"])):
        raise invalid(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
            "attachment, shared "
            "with a connected account without Customer attachment, or was detached from a Customer. It may "
            "not be "
            "used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
            "payment_method",
        )


def _check_return_url(tx: Tx, intent: Obj, params: Obj, return_url: str | None) -> None:
    automatic = intent["automatic_payment_methods"]
    if tx.publishable or return_url or params.get("use_stripe_sdk") or not automatic:
        return
    if automatic["allow_redirects"] != "never":
        raise invalid(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because "
            "some of "
            "these payment methods might redirect your customer off of your page, you must provide a "
            "`return_url`. If "
            "you don't want to accept redirect-based payment methods, set "
            "`automatic_payment_methods[enabled]` to "
            "`true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents "
            "and "
            "Payment Intents.",
            "return_url",
        )


def _must_authenticate(card: Card, method: Obj) -> bool:
    return card.challenge == "always" or (card.challenge == "until_saved" and method["customer"] is None)


def _next_action(tx: Tx, intent: Obj, return_url: str | None, by_script: bool) -> Obj:
    url = f"{tx.base_url}/_sandbox/3ds/{intent['id']}"
    if return_url and not by_script:
        return {"redirect_to_url": {"return_url": return_url, "url": url}, "type": "redirect_to_url"}
    return {
        "type": "use_stripe_sdk",
        "use_stripe_sdk": {"source": f"src_{token()}", "stripe_js": url, "type": "three_d_secure_redirect"},
    }


def charge_now(tx: Tx, intent: Obj, method: Obj, decline: Decline | None, tip: int) -> Obj:
    """Pay an intent, and a tip, with what was held to a reader; raises the 402 of a decline, which has been staged.

    Only a payment that went well makes the tip a part of the intent's amount.
    """
    intent = tx.change(intent, payment_method=method["id"], next_action=None, last_payment_error=None)
    asked = {**intent, "amount": intent["amount"] + tip}
    card = payment_methods.card_of(method)
    if decline is not None:
        raise _declined(tx, intent, method, card, decline, asked["amount"])
    if tip:
        asked["amount_details"] = {**intent["amount_details"], "tip": {"amount": tip}}
    return _pay(tx, asked, method, card, challenged=False)


def _charge(tx: Tx, intent: Obj, method: Obj, card: Card, *, challenged: bool) -> Obj:
    if card.decline is not None:
        raise _declined(tx, intent, method, card, card.decline)
    return _pay(tx, intent, method, card, challenged=challenged)


def _pay(tx: Tx, intent: Obj, method: Obj, card: Card, *, challenged: bool) -> Obj:
    saves = intent["setup_future_usage"] and intent["customer"] and method["type"] == "card"
    if saves and method["customer"] is None:
        method = payment_methods.attached(tx, method, intent["customer"])
    charge = charges.create(tx, intent, method, card, None, challenged)
    held = charges.is_held(intent, method)
    paid = tx.change(
        intent,
        status="requires_capture" if held else "succeeded",
        latest_charge=charge["id"],
        amount_capturable=intent["amount"] if held else 0,
        amount_received=0 if held else intent["amount"],
    )
    tx.emit("payment_intent.amount_capturable_updated" if held else "payment_intent.succeeded", paid)
    return paid


def _declined(
    tx: Tx, intent: Obj, method: Obj, card: Card, decline: Decline, amount: int | None = None
) -> StripeError:
    """Stage a failed charge and the intent back at ``requires_payment_method``; return the 402 to raise."""
    asked = {**intent, "amount": intent["amount"] if amount is None else amount}
    charge = charges.create(tx, asked, method, card, decline, challenged=False)
    what: Obj = {
        "advice_code": charge["outcome"]["advice_code"],
        "charge": charge["id"],
        "decline_code": decline.decline_code,
        "network_decline_code": charge["outcome"]["network_decline_code"],
        "param": {"incorrect_cvc": "cvc", "expired_card": "exp_month"}.get(decline.code),
        "payment_method": method,
    }
    what = {name: value for name, value in what.items() if value is not None}
    failed = tx.change(
        intent,
        status="requires_payment_method",
        latest_charge=charge["id"],
        payment_method=None,
        next_action=None,
        last_payment_error={
            **what,
            "code": decline.code,
            "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
            "message": decline.message,
            "type": "card_error",
        },
    )
    tx.emit("payment_intent.payment_failed", failed)
    return StripeError(
        402,
        decline.message,
        kind="card_error",
        code=decline.code,
        executed=True,
        payment_intent=failed,
        **what,
    )
