"""Many card readers at once: `python -m stack.readers --readers 100 --sales 1000`.

Starts the whole of Paydesk on this machine, registers the readers, lets somebody stand at each (some cards are
declined), sells through /stripe-terminal/ as tills do, and ends with 0 only if every sale is paid once, the books
agree with Stripe's, and Stripe was not asked more often than it may be. `--deaf` sells without a single webhook.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from stack import books
from stack.clerk import PATIENCE_SECONDS, Clerk
from stack.customer import Unexpected
from stack.demo import ACCOUNT, PASSWORD, SECRET_KEY, open_studio
from stack.processes import Stack
from stack.reader import tap_all_by_themselves

MOST_GETS_A_SALE = 20
ITEM, TOTAL = "PASS1", 2200  # untaxed

_REGISTER = """
from django.utils import timezone
from web.core.models import Business
from web.payments.operations import readers
studio = Business.objects.get(business_id=1001)
home = studio.locations.order_by("id").first()
for number in range({number}):
    readers.register(business=studio, location=home, label=f"Reader {{number + 2}}",
                     registration_code=f"sandbox-reader-{{number + 1}}", now=timezone.now())
"""
_FILL = """
import json
from django.utils import timezone
from web.core.models import Business, Item
from web.payments.operations import carts
studio = Business.objects.get(business_id=1001)
home = studio.locations.order_by("id").first()
item = Item.objects.get(business=studio, code="{item}")
tokens = []
for number in range({number}):
    cart = carts.put_in(business=studio, token="", location=home, item_id=item.id, quantity=1, now=timezone.now())
    tokens.append(cart.token)
print("CARTS" + json.dumps(tokens))
"""


def main() -> None:
    """Run it; end with 1 and the reason where something is lost, charged twice, or asked too often."""
    parser = argparse.ArgumentParser(description="Sell on many card readers at once")
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--sales", type=int, default=1000)
    parser.add_argument("--declined", type=float, default=0.1, help="share of cards that are declined")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        help="seconds that a till waits for a step, and the books for the last: more where others work here, too",
    )
    parser.add_argument("--deaf", action="store_true", help="no webhook arrives: looking alone must do")
    options = parser.parse_args()
    with Stack() as stack:
        open_studio(stack)
        if options.deaf:
            forget_webhooks(stack.urls.sandbox, SECRET_KEY)
        problems = _sell(stack, options.readers, options.sales, options.declined, options.patience)
    for problem in problems:
        print(f"readers: {problem}", flush=True)
    sys.exit(1 if problems else 0)


def forget_webhooks(sandbox: str, secret_key: str) -> None:
    """Have Stripe tell an account nothing any more."""
    head = {"Authorization": f"Bearer {secret_key}"}
    listed = requests.get(f"{sandbox}/v1/webhook_endpoints", headers=head, timeout=20).json()
    for endpoint in listed["data"]:
        requests.delete(f"{sandbox}/v1/webhook_endpoints/{endpoint['id']}", headers=head, timeout=20)


def calls_since(log: Path, position: int) -> list[str]:
    """Return what Stripe was asked since its log was so many bytes long, a line a call."""
    with log.open("rb") as file:
        file.seek(position)
        return [line for line in file.read().decode(errors="replace").splitlines() if " /v1/" in line]


def _sell(stack: Stack, readers: int, sales: int, declined: float, patience: float) -> list[str]:
    site = stack.urls.web.replace("127.0.0.1", "localhost")
    stack.manage("shell", "-c", _REGISTER.format(number=readers - 1), log="register.log")
    printed = stack.manage("shell", "-c", _FILL.format(item=ITEM, number=sales), log="carts.log")
    carts: list[str] = json.loads(printed[printed.index("CARTS") + 5 :].splitlines()[0])
    clerk = Clerk(site=site, email="owner@hanriver.example", password=PASSWORD, patience_seconds=patience)
    ready = clerk.wait_for_readers(readers)
    outcomes = {"pay": 1 - declined, "decline": declined}
    tap_all_by_themselves(sandbox=stack.urls.sandbox, account=ACCOUNT, after_ms=800, outcomes=outcomes)
    log = stack.run_dir / "sandbox.log"
    asked_before = log.stat().st_size
    began, taken, failed = time.monotonic(), [], []
    lock = threading.Lock()

    def stand_at(reader: str) -> None:
        till = clerk.beside()
        while True:
            with lock:
                if not carts:
                    return
                cart = carts.pop()
            at = time.monotonic()
            try:
                till.sell(cart, reader=reader, total=TOTAL)
            except Unexpected as error:
                with lock:
                    failed.append(str(error))
            else:
                with lock:
                    taken.append(time.monotonic() - at)

    with ThreadPoolExecutor(readers) as tills:
        list(tills.map(stand_at, [reader["reader"] for reader in ready]))
    seconds = time.monotonic() - began
    problems = failed + _unbalanced(stack, patience)
    lines = calls_since(log, asked_before)
    gets = [line for line in lines if line.startswith("GET ")]
    listings = [line for line in gets if " /v1/terminal/readers?" in line or " /v1/terminal/readers " in line]
    number = max(len(taken), 1)
    posts = len(lines) - len(gets)
    print(
        f"readers: {len(taken)} sales on {readers} readers in {seconds:.0f} s, "
        f"{statistics.median(taken or [0]):.1f} s a sale (median); "
        f"{len(gets) / number:.1f} GETs a sale ({len(listings)} listings), {posts / number:.1f} POSTs",
        flush=True,
    )
    if len(gets) / number > MOST_GETS_A_SALE:
        problems.append("more GETs a sale than there may be")
    return problems


def _unbalanced(stack: Stack, patience: float) -> list[str]:
    """Hold our books against Stripe's, once nothing is in hand any more."""
    deadline = time.monotonic() + patience
    while True:
        found = books.check(stack.urls.database, stack.urls.sandbox, [ACCOUNT])
        if not found or time.monotonic() > deadline:
            return [str(one) for one in found]
        time.sleep(1)


if __name__ == "__main__":
    main()
