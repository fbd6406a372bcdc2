"""The test cards: number, ``pm_card_*`` id and token of each, and how it behaves when it is charged.

A payment method carries its card's fingerprint, as in Stripe, and the fingerprint leads back to the
behaviour:
nothing hidden is stored in any object.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Decline:
    """Why a bank said no: Stripe's code, the decline code, and the sentence shown to the customer."""

    code: str
    decline_code: str | None
    message: str


@dataclass(frozen=True)
class Card:
    """One test card. ``challenge`` is 3-D Secure: never, always, or until it has been saved on a customer.

    ``dispute`` is what follows a payment: a reason, an ``inquiry``, or only the issuer's ``warning``.
    """

    name: str
    number: str
    brand: str = "visa"
    funding: str = "credit"
    country: str = "US"
    decline: Decline | None = None
    challenge: str = "never"
    attaches: bool = True
    refund: str = "succeeded"
    blocked: bool = False
    dispute: str | None = None
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(f"{self.name}{self.number}".encode()).hexdigest()
        object.__setattr__(self, "fingerprint", digest[:16])

    @property
    def last4(self) -> str:
        """Return the digits that may be shown."""
        return self.number[-4:]


def _declined(decline_code: str) -> Decline:
    return Decline("card_declined", decline_code, "Your card was declined.")


GENERIC = _declined("generic_decline")
INSUFFICIENT = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
AUTHENTICATION = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
LIVE_CARD = Decline(
    "card_declined",
    "test_mode_live_card",
    "Your card was declined. Your request was in test mode, but used a non test card. "
    "For a list of valid test cards, visit: https://stripe.com/docs/testing.",
)

CARDS: tuple[Card, ...] = (
    Card("visa", "4242424242424242"),
    Card("visa_debit", "4000056655665556", funding="debit"),
    Card("mastercard", "5555555555554444", "mastercard"),
    Card("mastercard_debit", "5200828282828210", "mastercard", "debit"),
    Card("mastercard_prepaid", "5105105105105100", "mastercard", "prepaid"),
    Card("amex", "378282246310005", "amex"),
    Card("discover", "6011111111111117", "discover"),
    Card("diners", "3056930009020004", "diners"),
    Card("jcb", "3566002020360505", "jcb"),
    Card("unionpay", "6200000000000005", "unionpay"),
    Card("us", "4242424242424242"),
    Card("gb", "4000008260000000", country="GB"),
    Card("de", "4000002760000016", country="DE"),
    Card("fr", "4000002500000003", country="FR"),
    Card("ca", "4000001240000000", country="CA"),
    Card("au", "4000000360000006", country="AU"),
    Card("jp", "4000003920000003", country="JP"),
    Card("bypassPending", "4000000000000077"),
    Card("visa_chargeDeclined", "4000000000000002", decline=GENERIC, attaches=False),
    Card("chargeDeclined", "4000000000000002", decline=GENERIC, attaches=False),
    Card("visa_chargeDeclinedInsufficientFunds", "4000000000009995", decline=INSUFFICIENT, attaches=False),
    Card("chargeDeclinedInsufficientFunds", "4000000000009995", decline=INSUFFICIENT, attaches=False),
    Card("visa_chargeDeclinedLostCard", "4000000000009987", decline=_declined("lost_card"), attaches=False),
    Card("visa_chargeDeclinedStolenCard", "4000000000009979", decline=_declined("stolen_card"),
         attaches=False),
    Card(
        "chargeDeclinedExpiredCard",
        "4000000000000069",
        decline=Decline("expired_card", None, "Your card has expired."),
        attaches=False,
    ),
    Card(
        "chargeDeclinedIncorrectCvc",
        "4000000000000127",
        decline=Decline("incorrect_cvc", None, "Your card's security code is incorrect."),
        attaches=False,
    ),
    Card(
        "chargeDeclinedProcessingError",
        "4000000000000119",
        decline=Decline(
            "processing_error",
            None,
            "An error occurred while processing your card. Try again in a little bit.",
        ),
        attaches=False,
    ),
    Card("visa_chargeDeclinedVelocityLimitExceeded", "4000000000006975",
         decline=_declined("card_velocity_exceeded"), attaches=False),
    Card("chargeDeclinedFraudulent", "4100000000000019", decline=_declined("fraudulent"), attaches=False,
         blocked=True),
    Card("radarBlock", "4100000000000019", decline=_declined("fraudulent"), attaches=False, blocked=True),
    Card("chargeCustomerFail", "4000000000000341", decline=GENERIC),
    Card("authenticationRequired", "4000002760003184", challenge="always"),
    Card("authenticationRequiredOnSetup", "4000002500003155", challenge="until_saved"),
    Card("authenticationRequiredSetupForOffSession", "4000003800000446", challenge="until_saved"),
    Card(
        "authenticationRequiredChargeDeclinedInsufficientFunds",
        "4000008260003178",
        challenge="always",
        decline=INSUFFICIENT,
    ),
    Card("threeDSecure2Required", "4000000000003220", challenge="always"),
    Card("threeDSecureRequired", "4000000000003063", challenge="always"),
    Card("threeDSecureRequiredChargeDeclined", "4000008400001629", challenge="always", decline=GENERIC),
    Card("threeDSecureOptional", "4000000000003055"),
    Card("refundFail", "4000000000005126", refund="failed_later"),
    Card("pendingRefund", "4000000000007726", refund="pending"),
    Card("refundRequiresAction", "4000000000005134", refund="requires_action"),
    Card("createDispute", "4000000000000259", dispute="fraudulent"),
    Card("createDisputeProductNotReceived", "4000000000002685", dispute="product_not_received"),
    Card("createDisputeInquiry", "4000000000001976", dispute="inquiry"),
    Card("createIssuerFraudWarning", "4000000000005423", dispute="warning"),
)  # fmt: skip

#: Cards that only a reader can take: they are put into it or held to it.
PRESENT_CARDS: tuple[Card, ...] = (
    Card("interac", "4506445006931933", "interac", "debit", "CA"),
    Card("offline_pin_cvm", "4001007020000002"),
    Card("online_pin_cvm", "4001000360000005"),
)

_BY_NAME = {card.name: card for card in CARDS}
_BY_NUMBER = {card.number: card for card in reversed(CARDS)}
_BY_FINGERPRINT = {card.fingerprint: card for card in (*CARDS, *PRESENT_CARDS)}
_PRESENT = {key: card for card in reversed((*CARDS, *PRESENT_CARDS)) for key in (card.name, card.number)}


def by_test_id(value: str) -> Card | None:
    """Return the card behind ``pm_card_…`` or ``tok_…``."""
    for prefix in ("pm_card_", "tok_"):
        if value.startswith(prefix):
            return _BY_NAME.get(value.removeprefix(prefix))
    return None


def by_number(number: str) -> Card | None:
    """Return the test card with that number."""
    return _BY_NUMBER.get(number)


def by_fingerprint(fingerprint: str) -> Card:
    """Return the card a payment method was made from."""
    return _BY_FINGERPRINT[fingerprint]


def at_reader(value: str) -> Card | None:
    """Return the card that somebody holds to a reader, by its number, its name or ``pm_card_…``."""
    return _PRESENT.get(value.replace(" ", "").removeprefix("pm_card_"))


def behind(details: Mapping[str, Any]) -> Card:
    """Return the card behind a payment method or the ``payment_method_details`` of a charge, of any of its types."""
    return by_fingerprint(details[details["type"]]["fingerprint"])


def passes_luhn(number: str) -> bool:
    """Return whether the check digit of a card number is right."""
    if not number.isdigit() or not 12 <= len(number) <= 19:
        return False
    total = 0
    for index, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
