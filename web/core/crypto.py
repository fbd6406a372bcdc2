"""Sealing what must not be read from a copy of the database: Stripe keys, webhook secrets, client secrets.

`FIELD_ENCRYPTION_KEYS` holds Fernet keys. The first seals; all of them open. How one is exchanged while processes
of both kinds run: docs/backoffice.md.
"""

from __future__ import annotations

import functools

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class CannotOpenSecret(Exception):
    """The value was sealed with a key that FIELD_ENCRYPTION_KEYS no longer holds. No money moved."""


@functools.lru_cache(maxsize=4)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def seal(secret: str) -> str:
    """Return the secret encrypted and authenticated, as text for a column named `…_sealed`."""
    return _box(tuple(settings.FIELD_ENCRYPTION_KEYS)).encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Return what was sealed; raise CannotOpenSecret when no key fits."""
    try:
        return _box(tuple(settings.FIELD_ENCRYPTION_KEYS)).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise CannotOpenSecret(
            "FIELD_ENCRYPTION_KEYS does not hold the key that sealed this value."
        ) from None


def reseal(sealed: str) -> str:
    """Return the same secret sealed with the newest key; raise CannotOpenSecret when no key fits."""
    return seal(unseal(sealed))


def is_sealed_with_newest(sealed: str) -> bool:
    """Say whether the value needs no other key than the first."""
    try:
        _box(tuple(settings.FIELD_ENCRYPTION_KEYS[:1])).decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True
