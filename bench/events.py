"""Stripe's events as bytes on the wire: real ones of the sandbox, with the ids of the payments at hand."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

import requests

from bench.load import request


def template(sandbox: str) -> dict[str, Any]:
    """Return a real `payment_intent.succeeded`, of a payment that the sandbox has just taken."""
    head = {"Authorization": "Bearer sk_test_template_k"}
    requests.post(
        f"{sandbox}/v1/payment_intents",
        data={
            "amount": "1500",
            "currency": "usd",
            "confirm": "true",
            "payment_method": "pm_card_visa",
            "return_url": "https://shop.example/",
            "metadata[payment]": "none",
            "metadata[paydesk_payment]": "none",
        },
        headers=head,
        timeout=20,
    ).raise_for_status()
    listed = requests.get(
        f"{sandbox}/v1/events?type=payment_intent.succeeded", headers=head, timeout=20
    ).json()
    event: dict[str, Any] = listed["data"][0]
    return event


def succeeded(event: dict[str, Any], *, intent: str, payment: str, amount: int, number: int) -> bytes:
    """Return the body of an event that says: this intent was paid in full."""
    thing = {
        **event["data"]["object"],
        "id": intent,
        "amount": amount,
        "amount_received": amount,
        "metadata": dict.fromkeys(event["data"]["object"]["metadata"], payment),
        "latest_charge": f"ch_{intent}",
    }
    whole = {
        **event,
        "id": f"evt_bench{number}{intent}",
        "created": int(time.time()),
        "data": {"object": thing},
    }
    return json.dumps(whole).encode()


def signed(base: str, path: str, body: bytes, secret: str, *, host: str = "") -> bytes:
    """Return the request that brings a body, signed now."""
    at = int(time.time())
    signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    named = {"Host": host} if host else {}
    return request(
        "POST", base, path, body=body, Content_Type="application/json",
        Stripe_Signature=f"t={at},v1={signature}", **named,
    )  # fmt: skip
