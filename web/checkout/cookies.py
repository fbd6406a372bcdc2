"""What a browser remembers: whose payment it is, which cart is theirs, which receipts they had; a till, its reader.

Signed, HttpOnly, SameSite=Lax: nobody writes them but us, and no script reads them.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

PAYER, CART, RECEIPTS, READER = "payer", "cart", "receipts", "reader"
PAYER_SECONDS = 30 * 86_400  # a payment is over long before
CART_SECONDS = 14 * 86_400
RECEIPTS_SECONDS = 180 * 86_400  # as long as people come back for a receipt
READER_SECONDS = 180 * 86_400  # a till stands beside the same reader
MOST_RECEIPTS = 8
SHORTEST_PAYER_KEY = 32  # characters; what we make has 43


def payer_key(request: HttpRequest) -> str:
    """Return the browser's payer key, or "" where it has none."""
    key = _read(request, PAYER, PAYER_SECONDS)
    return key if len(key) >= SHORTEST_PAYER_KEY else ""


def ensure_payer_key(request: HttpRequest, response: HttpResponse) -> None:
    """Give the browser a payer key if it has none yet."""
    if not payer_key(request):
        remember_payer_key(response, new_payer_key())


def new_payer_key() -> str:
    """Return 256 random bits."""
    return secrets.token_urlsafe(32)


def remember_payer_key(response: HttpResponse, key: str) -> None:
    """Write the payer key."""
    _write(response, PAYER, key, PAYER_SECONDS)


def cart_token(request: HttpRequest) -> str:
    """Return the token of the cart that this browser filled last, or ""."""
    return _read(request, CART, CART_SECONDS)


def remember_cart(response: HttpResponse, token: str) -> None:
    """Keep which cart this browser fills."""
    _write(response, CART, token, CART_SECONDS)


def forget_cart(response: HttpResponse) -> None:
    """Drop the cart, since it has become an order."""
    response.delete_cookie(CART, samesite="Lax")


def reader_id(request: HttpRequest) -> str:
    """Return the card reader that this browser charged on last, or ""."""
    return _read(request, READER, READER_SECONDS)


def remember_reader(response: HttpResponse, public_id: str) -> None:
    """Keep which card reader stands beside this browser."""
    _write(response, READER, public_id, READER_SECONDS)


def receipt_tokens(request: HttpRequest) -> list[str]:
    """Return the receipts that this browser has seen, newest first."""
    text = _read(request, RECEIPTS, RECEIPTS_SECONDS)
    return text.split(".")[:MOST_RECEIPTS] if text else []


def remember_receipt(request: HttpRequest, response: HttpResponse, token: str) -> None:
    """Put a receipt at the head of those that this browser has seen."""
    known = [other for other in receipt_tokens(request) if other != token]
    _write(response, RECEIPTS, ".".join([token, *known][:MOST_RECEIPTS]), RECEIPTS_SECONDS)


def _read(request: HttpRequest, name: str, max_age: int) -> str:
    try:
        return request.get_signed_cookie(name, default="", salt=f"paydesk.{name}", max_age=max_age) or ""
    except signing.BadSignature:  # written by somebody else, or too old: as good as none
        return ""


def _write(response: HttpResponse, name: str, value: str, max_age: int) -> None:
    response.set_signed_cookie(
        name,
        value,
        salt=f"paydesk.{name}",
        max_age=max_age,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )
