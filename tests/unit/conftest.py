"""Unit tests reach no network. The database's Unix socket is open: constraints are part of the unit."""

from collections.abc import Iterator

import pytest
import pytest_socket


@pytest.fixture(autouse=True)
def _closed_network() -> Iterator[None]:
    """Refuse every socket but Unix ones."""
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()
