"""Sealed columns: unreadable without the key, readable through a rotation."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from web.core.crypto import CannotOpenSecret, reseal, seal, unseal


def test_sealing_hides_and_opens() -> None:
    sealed = seal("sk_test_abc")
    assert "sk_test" not in sealed
    assert unseal(sealed) == "sk_test_abc"
    assert seal("sk_test_abc") != sealed  # the same secret never looks the same twice


def test_rotation_opens_old_values_and_seals_with_the_new_key(settings: Settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [old]
    sealed = seal("secret")
    settings.FIELD_ENCRYPTION_KEYS = [new, old]
    assert unseal(sealed) == "secret"
    moved = reseal(sealed)
    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert unseal(moved) == "secret"
    with pytest.raises(CannotOpenSecret):
        unseal(sealed)
