"""People who load a page again, and press again, until the site answers."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import requests

from stack.clerk import Clerk
from stack.customer import Customer, Unexpected
from stack.manager import Manager

AWAY_SECONDS = 90.0  # how long somebody presses again while the site is away


class PatientCustomer(Customer):
    """A customer."""

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            with contextlib.suppress(requests.RequestException):
                response = super()._request(method, path, **options)
                if response.status_code < 500 or time.monotonic() > deadline:
                    return response
            if time.monotonic() > deadline:
                raise Unexpected(f"{method} {path}: away for {AWAY_SECONDS:.0f} s")
            time.sleep(0.5)


class PatientClerk(Clerk):
    """A member of staff at a till."""

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            with contextlib.suppress(requests.RequestException):
                response = super()._send(method, path, **options)
                if response.status_code < 500:
                    return response
            if time.monotonic() > deadline:
                raise Unexpected(f"{method} {path}: away for {AWAY_SECONDS:.0f} s")
            time.sleep(0.5)


class PatientManager(Manager):
    """One who gives money back."""

    def _sign_in(self, email: str, password: str) -> None:
        """Sign in. Where the site dies after that and before the next page, the form that was used is no good."""
        try:
            super()._sign_in(email, password)
        except Unexpected:
            self._browser = requests.Session()
            super()._sign_in(email, password)

    def _request(self, method: str, path: str, **options: Any) -> str:
        deadline = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return super()._request(method, path, **options)
            except (requests.RequestException, Unexpected):
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)
