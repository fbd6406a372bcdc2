"""Everything that web, workers and beat logged while tests broke them is searched for what must never be there.

Secrets of Stripe's and client secrets, cards, the studio's passwords, and the bodies of mails. What a command prints to
the person who ran it is no log, and neither are the servers' own files.
"""

from __future__ import annotations

import base64
import email
import email.policy
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import redis

from stack.demo import PASSWORD, SECRET_KEY
from web.core.logs import REDACTED, SECRET_VALUES, cards

LOGS = ("web*.log", "worker-*.log", "beat*.log")
BODY = re.compile(r'"body": "([A-Za-z0-9+/]+=*)"')  # of a message in the broker, as Celery puts it there
SHORTEST_SENTENCE = 30  # of a mail: a shorter line may be anybody's
ALWAYS = (SECRET_KEY, PASSWORD, "Cookie:", "Set-Cookie:")


def judge(run_dir: Path, mail_dir: Path | None = None) -> None:
    """Fail where a log of the run holds what it must not. There must be logs."""
    logs = [path for pattern in LOGS for path in sorted(run_dir.glob(pattern))]
    assert logs, f"no logs in {run_dir}"
    sentences = set() if mail_dir is None else set(_sentences(mail_dir))
    found = [
        f"{path.name}:{number}: {what}"
        for path in logs
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        for what in leaks(line, sentences)
    ]
    assert not found, "\n".join(found[:20])


def leaks(line: str, sentences: set[str] | frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield what a line holds that it must not: only what it is, and where it begins."""
    for match in SECRET_VALUES.finditer(line):
        if match[0] != REDACTED and not match[0].endswith(":**"):  # Celery's own way to hide a password
            yield f"a secret: {match[0][:8]}…"
    for start, _end in cards(line):
        yield f"a card: {line[start : start + 4]}…"
    for text in ALWAYS:
        if text in line:
            yield f"{text[:6]}…"
    for sentence in sentences:
        if sentence in line:
            yield f"a mail's body: {sentence[:12]}…"


def _sentences(mail_dir: Path) -> Iterator[str]:
    """Yield the longer lines of every mail that was sent."""
    for path in mail_dir.rglob("*"):
        if path.is_file():
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for part in mail.walk():
                if part.get_content_maintype() == "text":
                    for line in str(part.get_content()).splitlines():
                        if len(line.strip()) >= SHORTEST_SENTENCE:
                            yield line.strip()


def judge_stores(redis_url: str, database_url: str) -> None:
    """Fail where Redis, or the table of results, holds what it must not: every key, every value, every column."""
    kept = dict(_of_redis(redis_url))
    assert kept, "Redis holds nothing at all: was anything done?"
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT row_to_json(r)::text FROM django_celery_results_taskresult AS r"
        ).fetchall()
    kept |= {f"result {number}": text for number, (text,) in enumerate(rows)}
    found = [f"{name[:60]}: {what}" for name, text in kept.items() for what in leaks(text)]
    assert not found, "\n".join(found[:20])


def _of_redis(url: str) -> Iterator[tuple[str, str]]:
    """Yield every key with all that it holds, as text. A bell's body is in base64: that is opened too."""
    client = redis.Redis.from_url(url)
    readers: dict[bytes, Callable[[bytes], object]] = {
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"hash": client.hgetall,
        b"stream": client.xrange,
    }
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        if kind in readers:  # gone since, if not
            text = f"{key!r} {readers[kind](key)!r}"
            opened = [base64.b64decode(found[1]).decode(errors="replace") for found in BODY.finditer(text)]
            yield key.decode(errors="replace"), " ".join([text, *opened])
    client.close()
