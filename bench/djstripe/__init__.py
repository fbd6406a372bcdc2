"""dj-stripe as a peer: an environment of its own, the same servers, and its own way of applying an event.

The modules beside this one are its Django project. They run in the peer's environment, as the package `peer`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import psycopg
import requests

from bench import cpu, events, load
from bench.house import House, Late
from stack.lifetime import Leashed
from stack.processes import STATE, WEB_THREADS, reserved_port

HERE = Path(__file__).parent
PROJECT = ("settings.py", "urls.py", "wsgi.py", "prepare.py")
KEY = f"sk_test_{'peer' * 6}"  # it takes keys of Stripe's own length only
SECRET = "whsec_peerpeerpeerpeer"  # noqa: S105 - of a server that lives as long as the measurement
READY_SECONDS = 60.0


@dataclass
class Peer:
    """A running dj-stripe."""

    house: House
    url: str
    path: str
    pid: int

    def apply(self, number: int, connections: int) -> tuple[float, float]:
        """Have so many payments succeed at Stripe and bring their events; it applies each before it answers.

        Returns events a second, and the seconds of its own and PostgreSQL's CPU of each.
        """
        bodies = self._paid(number)
        requests_ = [events.signed(self.url, self.path, body, SECRET) for body in bodies]
        spent, postgres = cpu.of_trees([self.pid]), self.house.spent_by()["postgres"]
        done = load.closed(self.url, requests_, connections=connections)
        spent = cpu.of_trees([self.pid]) - spent + self.house.spent_by()["postgres"] - postgres
        return done.per_second, spent / number

    def _paid(self, number: int) -> list[bytes]:
        """Create and confirm payments at the sandbox; return their events as it lists them."""
        session, head = requests.Session(), {"Authorization": f"Bearer {KEY}"}
        latency = session.post(f"{self.house.sandbox}/_sandbox/config", json={}, timeout=20).json()[
            "latency_ms"
        ]
        self.house.latency(0)
        made = []
        for _ in range(number):
            answer = session.post(
                f"{self.house.sandbox}/v1/payment_intents",
                data={
                    "amount": "1500",
                    "currency": "usd",
                    "confirm": "true",
                    "payment_method": "pm_card_visa",
                    "return_url": "https://shop.example/",
                },
                headers=head,
                timeout=20,
            )
            made.append(answer.json()["id"])
        found: dict[str, bytes] = {}
        after = ""
        while len(found) < number:
            listed = session.get(
                f"{self.house.sandbox}/v1/events?type=payment_intent.succeeded&limit=100{after}",
                headers=head,
                timeout=20,
            ).json()
            for event in listed["data"]:
                found[event["data"]["object"]["id"]] = orjson.dumps(event)
            if not listed["has_more"]:
                break
            after = f"&starting_after={listed['data'][-1]['id']}"
        self.house.latency(latency)
        return [found[intent] for intent in made]


@contextlib.contextmanager
def running(house: House) -> Iterator[Peer]:
    """Run dj-stripe on the house's PostgreSQL, in a database of its own, with as many threads as our web has."""
    python = _environment()
    with psycopg.connect(house.database, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'peer'").fetchone():
            connection.execute("CREATE DATABASE peer")
    folder = house.stack.run_dir / "dj-stripe"
    (folder / "peer").mkdir(parents=True, exist_ok=True)
    (folder / "peer" / "__init__.py").touch()
    for name in PROJECT:
        shutil.copy(HERE / name, folder / "peer" / name)
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "peer.settings",
        "PYTHONPATH": str(folder),
        "PEER_DATABASE_URL": house.database.replace("/paydesk?", "/peer?"),
        "PEER_STRIPE_KEY": KEY,
        "PEER_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": house.sandbox,
    }
    made = subprocess.run(
        [str(python), "-m", "peer.prepare"], env=env, cwd=folder, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise Late(f"dj-stripe could not be prepared:\n{made.stderr[-3000:]}")
    with reserved_port() as port:
        url = f"http://127.0.0.1:{port}"
        process = Leashed.start(
            [
                *(str(python), "-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1"),
                *("--port", str(port), "--workers", "2", "--blocking-threads", str(WEB_THREADS)),
                "peer.wsgi:application",
            ],
            log=house.stack.run_dir / "dj-stripe.log",
            env=env,
            cwd=folder,
        )
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not _listens(url):
                if time.monotonic() > deadline:
                    raise Late(f"dj-stripe was not ready after {READY_SECONDS:.0f} s")
                time.sleep(0.1)
            peer = Peer(house, url, f"/stripe/webhook/{made.stdout.split()[-1]}/", process.pid)
            peer.apply(20, 4)  # its first events import and look up what the later ones have
            yield peer
        finally:
            process.stop()


def _listens(url: str) -> bool:
    try:
        requests.get(url, timeout=2)
    except requests.RequestException:
        return False
    return True


def _environment() -> Path:
    """Make the peer's environment if it is not there; return its Python."""
    folder = STATE / "bench" / "dj-stripe"
    python = folder / "bin" / "python"
    stamp = folder / "made"
    wanted = (HERE / "requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r",
             str(HERE / "requirements.txt")],
            check=True,
        )  # fmt: skip
        stamp.write_text(wanted)
    return python
