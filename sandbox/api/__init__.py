"""Stripe's resources, one module each; importing this package registers every operation and job."""

from sandbox.api import (
    accounts,
    balance,
    charges,
    confirmation_tokens,
    customers,
    events,
    payment_intents,
    payment_methods,
    refunds,
    webhook_endpoints,
)

__all__ = [
    "accounts",
    "balance",
    "charges",
    "confirmation_tokens",
    "customers",
    "events",
    "payment_intents",
    "payment_methods",
    "refunds",
    "webhook_endpoints",
]
