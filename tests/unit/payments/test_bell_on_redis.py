"""What a bell is on the wire: a message in the list of its queue, that names the queue and nothing else."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator

import pytest
import pytest_socket
import redis
from fakeredis import TcpFakeServer
from pytest_django import Settings

from web.payments.bell import BELL_SECONDS, Bell


@pytest.fixture
def broker(settings: Settings) -> Iterator[redis.Redis]:
    pytest_socket.enable_socket()  # this machine only: Celery's client wants a real connection
    pytest_socket.socket_allow_hosts(["127.0.0.1"])
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    port = server.server_address[1]
    settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{port}/0"
    client = redis.Redis(host="127.0.0.1", port=port)
    yield client
    client.close()
    server.shutdown()
    server.server_close()
    pytest_socket._remove_restrictions()


def test_a_bell_is_one_json_message_in_its_queue(broker: redis.Redis) -> None:
    bell = Bell()
    bell.ring("receipts")
    bell.wait_until_rung(seconds=5)
    (raw,) = broker.lrange("receipts", 0, -1)
    message = json.loads(raw)
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == "paydesk.drain"
    assert message["headers"]["ignore_result"] is True
    assert message["headers"]["expires"] is not None
    assert BELL_SECONDS > 0
    positional, named, _embedded = json.loads(base64.b64decode(message["body"]))
    assert (positional, named) == ([], {"queue": "receipts"})
