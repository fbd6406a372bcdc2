"""What the cart's page and the till share: the cart's address, form tokens, tip presets with their amounts."""

from __future__ import annotations

import secrets
from decimal import Decimal

from django.http import HttpRequest
from django.urls import reverse

from web.checkout import reading
from web.payments.money import Money
from web.payments.operations import carts
from web.payments.queries import sales
from web.payments.queries.sales import Sale, Terms

SHORTEST_FORM_TOKEN = 16


def page_url(token: str) -> str:
    """Return the address of a cart's page."""
    return f"{reverse('payment:checkout')}?cart={token}"


def new_form_token() -> str:
    """Return what makes a form's repeats harmless."""
    return secrets.token_urlsafe(24)


def tips_of(sale: Sale, terms: Terms) -> list[tuple[int, Money]]:
    """Return the tip presets with what each comes to; none where there is nothing to take percents of."""
    totals = sale.quote.totals
    net = max(totals.subtotal - totals.discount, Money.zero(sale.cart.currency))
    if not net:
        return []
    return [(percent, net.percent(Decimal(percent))) for percent in terms.settings.tip_presets]


def posted_token(request: HttpRequest) -> str:
    """Return the cart's token from a form; raise CartNotFound for what cannot be one."""
    token = reading.text(request, "cart")
    if not sales.is_token(token):
        raise carts.CartNotFound
    return token


def posted_form_token(request: HttpRequest) -> str:
    """Return the form's token; a form without one gets one, and its repeats are then not recognised."""
    token = reading.text(request, "form_token")
    return token if sales.is_token(token) and len(token) >= SHORTEST_FORM_TOKEN else new_form_token()
