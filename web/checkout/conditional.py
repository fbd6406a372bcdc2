"""Answers to pages that ask again and again: nothing new costs 304 and no body.

The tag is of what would be shown, so that no fact can be forgotten in it. What every
form gets anew with every answer (Django's masked token, our own form token) is no news.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import get_conditional_response, patch_vary_headers

_FORM_TOKEN = re.compile(rb'name="(?:csrfmiddlewaretoken|form_token)" value="[^"]*"')


def if_changed(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Return the answer with its tag, or 304 where the page has it already. Nothing is kept by caches."""
    shown = _FORM_TOKEN.sub(b"", response.content)
    response["ETag"] = f'W/"{hashlib.sha256(shown).hexdigest()[:32]}"'
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["Cookie"])
    answer = get_conditional_response(request, etag=response["ETag"], response=response)
    assert answer is not None  # it is the response that was given, unless it is 304
    answer["Cache-Control"] = "no-store"
    return answer


def fragment(request: HttpRequest, template: str, context: Mapping[str, object]) -> HttpResponse:
    """Draw a part of a page that asks for it again and again."""
    return if_changed(request, render(request, template, dict(context)))


def facts(request: HttpRequest, described: dict[str, object]) -> HttpResponse:
    """Answer a script that asks for the same facts again and again."""
    return if_changed(request, JsonResponse(described))
