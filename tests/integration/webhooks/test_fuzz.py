"""The webhook address, told everything but the truth: 200 or 400, never a failure. `make fuzz` makes a million.

What was found once stays in tests/fuzz/corpus: each file is a body that has to be answered.
"""

from __future__ import annotations

import collections
import os
import random
import time
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from stripe import WebhookSignature

from tests.door import knock
from tests.fuzz import bodies
from tests.long import IS_LONG
from tests.shop import Shop
from web.payments.operations import accounts
from web.webhooks import receiving

pytestmark = pytest.mark.django_db
SECRET = "whsec_of_the_fuzz"
CORPUS = Path(__file__).resolve().parents[2] / "fuzz" / "corpus"
BODIES = int(os.environ.get("PAYDESK_FUZZ_BODIES", "1000000")) if IS_LONG else 600
SECONDS = float(
    os.environ.get("PAYDESK_FUZZ_SECONDS", "3600")
)  # a long run ends then, and says how far it came
SEED = int(os.environ.get("PAYDESK_FUZZ_SEED", "9"))
WHOLE = 300
EVERY = 500  # bodies, then what was stored is forgotten: a million rows prove no more


@pytest.fixture
def address() -> str:
    receiving._secrets.cache_clear()
    shop = Shop.make()
    accounts.add_webhook_secret(business=shop.business, secret=SECRET, now=timezone.now())
    return f"/webhooks/stripe/{shop.business.payment_settings.webhook_token}/"


def signed(raw: bytes) -> str:
    """Sign bytes as Stripe does, whatever they are."""
    now = int(time.time())
    text = raw.decode("utf-8", "surrogateescape")
    try:
        return str(WebhookSignature.generate_signature_header(text, SECRET, now))
    except UnicodeEncodeError:  # nothing that the SDK could sign: it signs text
        return f"t={now},v1={'0' * 64}"


@pytest.mark.timeout(SECONDS + 400 if IS_LONG else 400)
def test_nothing_but_taken_or_refused(address: str) -> None:
    """The first ones by the whole of the site; the million as granian brings them."""
    chance, browser = random.Random(SEED), Client(raise_request_exception=False)
    answers: collections.Counter[int] = collections.Counter()
    until = time.monotonic() + SECONDS
    while sum(answers.values()) < BODIES and time.monotonic() < until:
        with transaction.atomic():
            for _ in range(min(EVERY, BODIES - sum(answers.values()))):
                raw = bodies.body(chance)
                header = bodies.signature(chance, signed(raw)).encode("utf-8", "replace").decode("latin-1")
                if sum(answers.values()) < WHOLE:
                    signed_so = {"Stripe-Signature": header}
                    status = browser.post(address, raw, "application/json", headers=signed_so).status_code
                else:
                    status = knock(address, raw, signature=header).status_code
                answers[status] += 1
                assert status in (200, 400), f"keep this in {CORPUS}: {raw!r} {header!r}"
            assert connection.needs_rollback is False
            transaction.set_rollback(True)
    print(f"fuzz: {sum(answers.values())} bodies, answers {dict(answers)}, seed {SEED}")
    assert min(answers[200], answers[400]) > sum(answers.values()) // 20, (
        "some must come through to be stored"
    )


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_what_was_found_once(address: str, path: Path) -> None:
    raw = path.read_bytes()
    response = Client(raise_request_exception=False).post(
        address, raw, content_type="application/json", headers={"Stripe-Signature": signed(raw)}
    )
    assert response.status_code == knock(address, raw, signature=signed(raw)).status_code
    assert response.status_code in (200, 400)
