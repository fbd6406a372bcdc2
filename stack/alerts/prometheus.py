"""A Prometheus of our own that watches a running stack (Debian: apt-get install prometheus)."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import requests
import yaml

from stack.alerts import rules
from stack.lifetime import Leashed, StartError
from stack.servers import free_port

LOOK_EVERY = "1s"
SCRAPE_EVERY = "5s"
WEB_EVERY = "10s"  # as patient as a deployment: without its database web needs half of it to say so
READY_SECONDS = 60.0


class Prometheus:
    """What fires now."""

    def __init__(self, url: str) -> None:
        self.url = url

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        answer = requests.get(f"{self.url}/api/v1/alerts", timeout=10).json()
        return {one["labels"]["alertname"] for one in answer["data"]["alerts"] if one["state"] == "firing"}

    def wait(self, is_so: Callable[[set[str]], bool], *, seconds: float) -> tuple[bool, float]:
        """Wait until what fires is as wanted; return whether it came to that, and after how long."""
        began = time.monotonic()
        while not (is_reached := is_so(self.firing())) and time.monotonic() - began < seconds:
            time.sleep(0.5)
        return is_reached, time.monotonic() - began


@contextlib.contextmanager
def watching(
    folder: Path, *, web: str, token: str, workers: Iterable[int], beat: int
) -> Iterator[Prometheus]:
    """Run a Prometheus that reads web with its token, and workers and beat at their ports."""
    binary = shutil.which("prometheus")
    if binary is None:
        raise StartError("no prometheus: apt-get install prometheus")
    folder.mkdir()
    (folder / "alerts.yml").write_text(yaml.safe_dump(rules.hurried(rules.RULES.read_text())))
    (folder / "token").write_text(token)
    configuration = {
        "global": {
            "scrape_interval": SCRAPE_EVERY,
            "scrape_timeout": SCRAPE_EVERY,
            "evaluation_interval": LOOK_EVERY,
            "external_labels": {"runbooks": "docs/runbooks"},
        },
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {
                "job_name": "paydesk-web",
                "scrape_interval": WEB_EVERY,
                "scrape_timeout": WEB_EVERY,
                "authorization": {"credentials_file": "token"},
                "static_configs": [{"targets": [web.partition("://")[2]]}],
            },
            {"job_name": "paydesk-workers", "static_configs": [{"targets": list(map(_at, workers))}]},
            {"job_name": "paydesk-beat", "static_configs": [{"targets": [_at(beat)]}]},
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    port = free_port()
    process = Leashed.start(
        [
            binary,
            *("--config.file", folder / "prometheus.yml", "--storage.tsdb.path", folder / "data"),
            *("--web.listen-address", _at(port), "--log.level", "warn"),
        ],
        log=folder.with_suffix(".log"),
    )
    server = Prometheus(f"http://{_at(port)}")
    try:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{server.url}/-/ready", timeout=5).status_code == 200:
                    break
            if not process.running or time.monotonic() > deadline:
                raise StartError(f"Prometheus did not come up (log: {folder.with_suffix('.log')})")
            time.sleep(0.2)
        yield server
    finally:
        process.stop(15, 10)
        shutil.rmtree(folder, ignore_errors=True)


def _at(port: int) -> str:
    return f"127.0.0.1:{port}"
