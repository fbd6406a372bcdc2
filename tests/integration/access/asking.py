"""Asking one row's address as somebody: what the tests of this room have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from django.db import transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from tests.integration.access.table import Row, Who
from tests.integration.access.world import (
    ANONYMOUS,
    CUSTOMER,
    FOREIGNER,
    OWNER,
    STAFF,
    STRANGER,
    WITHOUT,
    Asked,
    World,
)
from web.core.models import Profile

SIGNED_OUT = (ANONYMOUS, FOREIGNER)


def address(row: Row, asked: Asked) -> str:
    """Return where a row is asked."""
    if row.url.startswith("/"):
        return row.url
    return reverse(row.url.removeprefix("::"), args=asked.args)


def send(row: Row, asked: Asked, browser: Client, *, method: str = "", where: str = "") -> HttpResponse:
    """Ask as a browser, or as a program, does."""
    method = method or row.method
    headers = {"Accept": "application/json" if row.is_json else "text/html", **asked.headers}
    options: dict[str, Any] = {"headers": headers}
    if asked.query:
        options["query_params"] = {name: str(value) for name, value in asked.query.items()}
    if method == "GET":
        return browser.get(where or address(row, asked), **options)  # type: ignore[return-value]
    if row.is_json:
        options |= {"data": json.dumps(dict(asked.body), default=str) if asked.body else ""}
        options |= {"content_type": "application/json"}
    else:
        fields = {name: str(value) for name, value in asked.body.items()}
        options["data"] = urlencode(fields, errors="surrogatepass")
        options["content_type"] = "application/x-www-form-urlencoded"
    return getattr(browser, method.lower())(where or address(row, asked), **options)  # type: ignore[no-any-return]


def people(row: Row, world: World) -> dict[str, Profile | None]:
    """Return who comes to a row's address; the owner of the other business comes to ours."""
    mine, groups = world.mine, row.who.groups or frozenset()
    found: dict[str, Profile | None] = {
        ANONYMOUS: None,
        FOREIGNER: world.theirs.owner,
        CUSTOMER: mine.customer,
        STRANGER: mine.stranger,
        STAFF: mine.staff(),
    }
    if row.who.groups is not None:
        found |= {WITHOUT: mine.without(groups)} if groups else {}
        found |= {f"with {group}": mine.staff(group) for group in sorted(groups)}
        found[OWNER] = mine.owner
    elif row.but:
        found |= {WITHOUT: mine.without(frozenset({"store", "checkin"})), OWNER: mine.owner}
        found |= {
            name: mine.staff(name.removeprefix("with ")) for name in row.but if name.startswith("with ")
        }
    return found


def who_may(row: Row, world: World, *, number: int = 1) -> Profile | None:
    """Return somebody to whom the row answers; `number` tells two of them apart."""
    mine, who = world.mine, row.who
    if who.groups is not None:
        return mine.staff(*sorted(who.groups)[:1], number=number) if who.groups else mine.staff(number=number)
    return mine.customer if who.signed_in else None


def refusal_of(who: Who, role: str, *, is_json: bool) -> int | None:
    """Return what a role is told that may not ask at all, or None where it may."""
    if who.signed_in and role in SIGNED_OUT:
        return 401 if is_json else 302
    if who.groups is not None and role in (CUSTOMER, STRANGER, WITHOUT):
        return 403
    if who.groups and role == STAFF:
        return 403
    return None


def is_sign_in(response: HttpResponse) -> bool:
    """Return whether the answer is the way to the sign-in page."""
    return response.status_code == 302 and "/accounts/login/" in response.headers["Location"]


def swapped(row: Row, mine: Asked, theirs: Asked) -> Iterator[tuple[str, Asked, int]]:
    """Yield the request with one of our objects replaced by theirs, and the status that it deserves."""
    free = row.free | {"form_token"}
    for place, (ours, other) in enumerate(zip(mine.args, theirs.args, strict=True)):
        if ours != other:
            args = (*mine.args[:place], other, *mine.args[place + 1 :])
            yield str(place), replace(mine, args=args), row.others.get(str(place), row.other)
    parts = {"query": (mine.query, theirs.query), "body": (mine.body, theirs.body)}
    for part, (fields, others) in parts.items():
        for name, ours in fields.items():
            if name not in free and name in others and others[name] != ours:
                fields_: dict[str, Any] = {part: {**fields, name: others[name]}}
                yield name, replace(mine, **fields_), row.others.get(name, row.other)


@contextmanager
def undone() -> Iterator[None]:
    """Do something, and undo it."""
    block = transaction.atomic()
    block._from_testcase = True  # type: ignore[attr-defined]  # as in Django's TestCase: may hold durable blocks
    with block:
        yield
        transaction.set_rollback(True)


INLINE = re.compile(
    r"""<script(?![^>]*(?:\ssrc=|application/json))|<style|\sstyle=|\son[a-z]+=["']|javascript:""",
    re.IGNORECASE,
)


def unsafe(response: HttpResponse) -> str:
    """Return what a page has that its policy would have to allow, or what its policy allows too much; else nothing."""
    if not response.headers.get("Content-Type", "").startswith("text/html"):
        return ""
    policy = response.headers.get("Content-Security-Policy", "")
    if (
        not policy
        or "unsafe" in policy
        or "object-src 'none'" not in policy
        or "base-uri 'none'" not in policy
    ):
        return f"policy {policy!r}"
    if "frame-ancestors 'none'" not in policy or response.headers.get("X-Frame-Options") != "DENY":
        return "it may be framed"
    if response.headers.get("X-Content-Type-Options") != "nosniff":
        return "its type may be guessed"
    found = INLINE.search(response.content.decode())
    return f"inline: {response.content.decode()[found.start() : found.start() + 60]!r}" if found else ""


def brief(response: HttpResponse) -> str:
    """Return the answer in a line, for a test's message."""
    if response.status_code in (301, 302):
        return f"{response.status_code} to {response.headers['Location']}"
    said = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", getattr(response, "content", b"").decode()))
    return f"{response.status_code} {said[-200:]}"
