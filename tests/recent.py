"""A session whose person has just given their password: Django's `force_login` tells nothing of how they signed in."""

from __future__ import annotations

import time

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.test import Client

from web.core.models import User

A_DAY = 86_400  # seconds ahead: recent for as long as the tests run


def just_signed_in(browser: Client, user: User) -> None:
    """Sign somebody in, as recently as pages that change keys want it."""
    browser.force_login(user)
    session = browser.session
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [{"method": "password", "at": time.time() + A_DAY}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
