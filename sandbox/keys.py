"""API keys: who is calling. The key itself names its account, so none has to be made before it is used."""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sandbox.errors import StripeError

# The account's name and a part that makes the key one of many; or a name as long as Stripe's own keys, for programs
# that take no other shape.
_KEY = re.compile(r"^(sk|pk)_test_(?:([a-z0-9]+)_[A-Za-z0-9_]+|([a-z0-9]{24,99}))$")


@dataclass(frozen=True)
class Caller:
    """The account a key belongs to, and whether it is the publishable kind."""

    account: str
    publishable: bool


def digest(key: str) -> str:
    """Return what is stored of a revoked key; the key itself never is."""
    return hashlib.sha256(key.encode()).hexdigest()


def caller(headers: Mapping[str, str], given: str | None, is_over: Callable[[str, str], bool]) -> Caller:
    """Return who calls, by header or (from a page) by the ``key`` parameter; else raise the 401.

    ``is_over`` says of an account and a key's digest whether the key was revoked or has expired.
    """
    key = _key_of(headers) or given
    if not key:
        raise StripeError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
            "https://stripe.com/docs/api#authentication"
            " for details, or we can help at https://support.stripe.com/.",
        )
    match = _KEY.match(key)
    if match is None:
        raise StripeError(401, f"Invalid API Key provided: {_masked(key)}")
    account = match[2] or match[3]
    if is_over(account, digest(key)):
        raise StripeError(401, f"Expired API Key provided: {_masked(key)}", code="api_key_expired")
    if headers.get("Stripe-Account", f"acct_{account}") != f"acct_{account}":
        raise StripeError(
            403,
            f"The provided key '{_masked(key)}' does not have access to account "
            f"'{headers['Stripe-Account']}' (or that "
            "account does not exist). Application access may have been revoked.",
            code="account_invalid",
        )
    return Caller(account, match[1] == "pk")


def _key_of(headers: Mapping[str, str]) -> str | None:
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * max(len(key) - 12, 3)}{key[-4:]}" if len(key) > 12 else "***"
