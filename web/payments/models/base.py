"""Field shapes that several models share, so that money, states and times look alike everywhere."""

from __future__ import annotations

import secrets

from django.db import models


def currency_field() -> models.CharField[str, str]:
    """Describe an ISO 4217 code in lower case, as Stripe writes it."""
    return models.CharField(max_length=3)


def minor_field(**options: int) -> models.BigIntegerField[int, int]:
    """Describe an amount in whole minor units; the row's `currency` says of what."""
    return models.BigIntegerField(**options)  # type: ignore[arg-type]


def new_token() -> str:
    """Return 128 random bits for an address that nobody can guess."""
    return secrets.token_urlsafe(16)


def is_lower_case_currency(name: str) -> models.CheckConstraint:
    """Describe the check that `currency` holds three lower-case letters."""
    return models.CheckConstraint(condition=models.Q(currency__regex=r"^[a-z]{3}$"), name=name)
