"""A manager with a browser, over real HTTP: signs in and gives money back, in the two steps of the page."""

from __future__ import annotations

import re
import time

import requests

from stack.customer import PATIENCE_SECONDS, Unexpected

_CSRF = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
_LINE = re.compile(r'name="(line_\d+)"')


class Manager:
    """One browser of a member of staff who may give money back."""

    def __init__(self, *, site: str, email: str, password: str) -> None:
        self._site, self._browser = site, requests.Session()
        self._sign_in(email, password)

    def _sign_in(self, email: str, password: str) -> None:
        self._send("/accounts/login/", self._page("/accounts/login/"), login=email, password=password)

    def give_back_first_item(self, number: str, *, reason: str) -> None:
        """Give one of the first line of an order back, and press the last button twice."""
        path = f"/purchases/{number}/refund/"
        form = self._page(path)
        line = _LINE.search(form)
        if line is None:
            raise Unexpected("a refund form without lines")
        asked = {"how": "items", line[1]: "1", "destination": "method", "reason": reason, "step": "check"}
        confirm = self._send(path, form, **asked)
        fields = {name: value for name, value in _HIDDEN.findall(confirm) if name != "csrfmiddlewaretoken"}
        for _ in range(2):
            self._send(path, confirm, **{**fields, "step": "give"})

    def wait_until_given_back(self, number: str) -> None:
        """Look at the order's refunds, as its page does, until none is under way."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "hx-get" in (shown := self._page(f"/purchases/{number}/refunds/")):
            if time.monotonic() > deadline:
                raise Unexpected(f"the refund of {number} is still under way")
            time.sleep(0.3)
        if "Refunded" not in shown:
            raise Unexpected(f"the refund of {number} did not come through")

    # --- plumbing ---------------------------------------------------------------------------------------

    def _request(
        self,
        method: str,
        path: str,
        *,
        data: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> str:
        for cookie in self._browser.cookies:  # localhost is taken for secure, as browsers do
            cookie.secure = False
        response = self._browser.request(method, self._site + path, timeout=20, data=data, headers=headers)
        if response.status_code != 200:
            raise Unexpected(f"{method} {path}: {response.status_code}")
        return response.text

    def _page(self, path: str) -> str:
        return self._request("GET", path)

    def _send(self, path: str, page: str, **data: str) -> str:
        token = _CSRF.search(page)
        if token is None:
            raise Unexpected("a page without a form token")
        fields = {**data, "csrfmiddlewaretoken": token[1]}
        return self._request("POST", path, data=fields, headers={"Referer": self._site + "/"})
