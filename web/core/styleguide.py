"""Every component on one page, on a developer's machine only: to look at, in light, dark and print."""

from __future__ import annotations

import re

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from web.core.tenancy import any_host

ICON = re.compile(r'<symbol id="([a-z]+)"')


class SampleForm(forms.Form):
    """One field of each kind."""

    name = forms.CharField(label="Name", help_text="As it should stand on the receipt.")
    email = forms.EmailField(label="E-mail address")
    kind = forms.ChoiceField(label="Type", choices=[("pass", "Service pass"), ("gift", "Gift card")])
    reason = forms.CharField(label="Reason", widget=forms.Textarea(attrs={"rows": 3}), required=False)
    to = forms.ChoiceField(
        label="Refund to",
        choices=[
            ("method", "Card ending in 4242"),
            ("balance", "Account balance"),
            ("credits", "Service credits"),
        ],
        widget=forms.RadioSelect,
    )
    agree = forms.BooleanField(label="I have read the refund policy")


@any_host
@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Show the gallery; `?errors` shows the form as it comes back."""
    form = SampleForm({"email": "not an address"}) if "errors" in request.GET else SampleForm()
    if "message" in request.GET:
        messages.success(request, "The settings are saved.")
    icons = ICON.findall((settings.BASE_DIR / "web/static/icons.svg").read_text())
    return render(request, "styleguide.html", {"form": form, "icons": icons})
