"""Is this body Stripe's, of now, and for which account? The one place in `web` that uses Stripe's SDK."""

from __future__ import annotations

import time
from collections.abc import Iterable

from stripe import SignatureVerificationError, WebhookSignature

SKEW_SECONDS = 300  # Stripe's own tolerance for the past; the SDK accepts any future, we do not


class BadSignature(Exception):
    """No secret of this address signed the body, or it is too old, or from the future. Nothing was stored."""


def verify(body: bytes, header: str, secrets: Iterable[tuple[int, str]]) -> int:
    """Return the account id whose secret signed the body; raise BadSignature.

    `secrets` are (account id, secret) pairs: two are active while one rolls over.
    """
    for account_id, secret in secrets:
        try:
            WebhookSignature.verify_header(body, header, secret, SKEW_SECONDS)
        except (SignatureVerificationError, ValueError):  # ValueError: the body is not UTF-8
            continue
        if _timestamp(header) > time.time() + SKEW_SECONDS:
            break
        return account_id
    raise BadSignature


def _timestamp(header: str) -> int:
    """Return the header's time; it was verified, so it is there and a number."""
    return int(next(part[2:] for part in header.split(",") if part.startswith("t=")))
