"""Following a runbook: each command must stand in its page, and is carried out on the stack as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Mapping

import psycopg
import requests

from stack.processes import ROOT, Stack

PAGES = ROOT / "docs" / "runbooks"
GRACE_SECONDS = 45.0
PORT_IN_COMPOSE = 9100


class NotInThePage(Exception):
    """A step that the runbook does not name."""


class Runbook:
    """One page. `docker compose` is played by the stack: its parts are the services."""

    def __init__(self, page: str, stack: Stack) -> None:
        self.page, self._stack = page, stack
        self._text = _plain((PAGES / page).read_text())
        self.followed: list[str] = []

    def read(self, sentence: str) -> None:
        """Assert that the page says so: for what a person does or sees."""
        if _plain(sentence) not in self._text:
            raise NotInThePage(f"{self.page}: {sentence}")

    def follow(self, command: str, instead: Mapping[str, str] | None = None) -> str:
        """Carry out a command of the page, with what is another one today put in; return what it said."""
        if f"`{_plain(command)}`" not in self._text:
            raise NotInThePage(f"{self.page}: {command}")
        self.followed.append(command)
        for word, value in (instead or {}).items():
            command = command.replace(word, value)
        return self._run(command)

    def _run(self, command: str) -> str:
        words = shlex.split(command)
        match words:
            case ["manage.py", *arguments]:
                return self._stack.manage(*arguments, log="runbook.log")
            case ["docker", "compose", "up", "--wait", *services]:
                for service in services or [one.name for one in self._stack.processes()]:
                    self._bring_up(service)
            case ["docker", "compose", "restart", *services]:
                for service in services:
                    self._stack.replace(self._part(service), seconds=GRACE_SECONDS)
            case ["docker", "compose", "ps", *_] | ["docker", "compose", "logs", *_]:
                return "\n".join(f"{one.name} {one.pid}" for one in self._stack.processes())
            case ["docker", "compose", "exec", "postgres", "psql", "-U", "paydesk", "-c", sql]:
                with psycopg.connect(self._stack.urls.database, autocommit=True) as connection:
                    cursor = connection.execute(sql.encode())
                    return str(cursor.fetchall()) if cursor.description else ""
            case ["docker", "compose", "exec", service, "python", "-c", program]:
                return self._python(service, program)
            case ["curl", "-fsS", url]:
                path = url.partition("://")[2].partition("/")[2]
                answer = requests.get(f"{self._stack.urls.web}/{path}", timeout=10)
                return f"{answer.status_code} {answer.text}"
            case _:
                raise NotInThePage(f"nobody knows how to carry out here: {command}")
        return ""

    def _bring_up(self, service: str) -> None:
        if service == "redis":
            self._stack.redis.restart()
        elif service == "postgres":
            self._stack.postgres.restart()
        else:
            self._stack.bring_up(self._part(service))

    def _part(self, service: str) -> str:
        is_kind = service.startswith("worker-") and not service[-1].isdigit()
        return f"{service}-1" if is_kind else service

    def _python(self, service: str, program: str) -> str:
        port = self._stack.metrics_ports.get(self._part(service), PORT_IN_COMPOSE)
        program = program.replace(f":{PORT_IN_COMPOSE}/", f":{port}/")
        ended = subprocess.run(
            [sys.executable, "-c", program], env=self._stack.env, cwd=ROOT, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        return ended.stdout + ended.stderr


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("\\`", "`"))
