"""Stripe's resources, one module each; importing this package registers every operation and job."""

from sandbox.api import (
    accounts,
    balance,
    charges,
    confirmation_tokens,
    customers,
    disputes,
    events,
    payment_intents,
    payment_method_domains,
    payment_methods,
    payouts,
    refunds,
    setup_intents,
    terminal_places,
    terminal_readers,
    webhook_endpoints,
)

__all__ = [
    "accounts",
    "balance",
    "charges",
    "confirmation_tokens",
    "customers",
    "disputes",
    "events",
    "payment_intents",
    "payment_method_domains",
    "payment_methods",
    "payouts",
    "refunds",
    "setup_intents",
    "terminal_places",
    "terminal_readers",
    "webhook_endpoints",
]
