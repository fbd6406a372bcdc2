"""Runs a command with a RabbitMQ of its own as the broker: `python -m stack.rabbitmq COMMAND…`.

RabbitMQ is on no package index of Python's: install it (Debian: apt-get install rabbitmq-server). Its node, cookie
data and Erlang's port mapper are of this run: nothing of a RabbitMQ that runs here already is touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from stack.servers import free_port

READY_SECONDS = 120.0
PLACES = ("/usr/lib/rabbitmq/bin", "/usr/sbin", "/usr/local/sbin")
VARIABLE = "PAYDESK_FAULTS_BROKER"  # tests/faults/house.py gives it to its stack


class NoRabbit(Exception):
    """RabbitMQ is not installed, or did not come up."""


def binary() -> Path:
    """Find rabbitmq-server itself, not a wrapper that wants to be root."""
    found = shutil.which("rabbitmq-server", path=os.pathsep.join([*PLACES, os.environ.get("PATH", "")]))
    if found is None:
        raise NoRabbit("no rabbitmq-server: apt-get install rabbitmq-server")
    return Path(found)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run a node that keeps everything in a folder; yield its address."""
    port, mapper, peers = free_port(), free_port(), free_port()
    env = {
        **os.environ,
        "HOME": str(folder),  # Erlang's cookie
        "RABBITMQ_NODENAME": f"paydesk-{os.getpid()}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(peers),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    (folder / "plugins").write_text("[].\n")
    (folder / "epmd").write_text(str(mapper))  # for rabbitmqctl: ERL_EPMD_PORT
    log = (folder / "rabbitmq.log").open("wb")
    node = subprocess.Popen([str(binary())], env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait(port, node, folder)
        yield f"amqp://guest:guest@127.0.0.1:{port}//"
    finally:
        node.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            node.wait(30)
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                ["epmd", "-port", str(mapper), "-kill"], capture_output=True, timeout=10, check=False
            )
        log.close()


def _wait(port: int, node: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            if probe.recv(1):
                return
        if node.poll() is not None or time.monotonic() > deadline:
            raise NoRabbit(f"RabbitMQ did not come up (log: {folder / 'rabbitmq.log'})")
        time.sleep(0.3)


def main(command: list[str]) -> int:
    """Run the command while the node runs; return its exit code."""
    with tempfile.TemporaryDirectory(prefix="paydesk-rabbit-") as name, running(Path(name)) as address:
        return subprocess.run(command, env={**os.environ, VARIABLE: address}, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except NoRabbit as reason:
        sys.exit(str(reason))
