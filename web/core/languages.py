"""The language switch: it works without JavaScript; a signed-in person's choice stays on their profile."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_POST
from django.views.i18n import set_language as set_language_cookie

from web.core.tenancy import any_host


@any_host
@require_POST
def set_language(request: HttpRequest) -> HttpResponseBase:
    """Set the language by cookie for this browser and, when someone is signed in, on their profile."""
    profile = cast(Any, request).profile
    chosen = request.POST.get("language", "")
    if profile is not None and chosen in dict(settings.LANGUAGES) and chosen != profile.language:
        profile.language = chosen
        profile.save(update_fields=["language"])
    return set_language_cookie(request)
