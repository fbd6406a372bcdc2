"""The forms of signing in, up and out. They look people up in the host's business only."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.forms import (
    ChangePasswordForm as AllauthChangePasswordForm,
)
from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.account.forms import ResetPasswordForm as AllauthResetPasswordForm
from allauth.account.forms import ResetPasswordKeyForm as AllauthResetPasswordKeyForm
from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.account.forms import UserTokenForm as AllauthUserTokenForm
from allauth.core import context
from django import forms
from django.contrib.auth import password_validation
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from web.core.accounts import user_of_address
from web.core.models import Business, User


def business_here() -> Business | None:
    """Name the business of the request being served."""
    return cast("Business | None", context.request.business)


class _Plain(forms.Form):
    """Labels instead of placeholders: a placeholder is gone once one types."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)


class LoginForm(_Plain, AllauthLoginForm):
    """Address and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].label = _("E-mail address")
        self.fields["login"].widget.attrs["autofocus"] = True
        self.fields["password"].help_text = ""  # the page has the link to a new password
        self.fields["remember"].label = _("Stay signed in on this device")


class SignupForm(_Plain, AllauthSignupForm):
    """Name, address and password."""

    name = forms.CharField(
        label=_("Name"), max_length=200, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    field_order = ["name", "email", "password1"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("E-mail address")
        self.fields["password1"].help_text = password_validation.password_validators_help_text_html()

    def clean_email(self) -> str:
        """Refuse an address that this business knows already; a race is caught when the row is written."""
        email = cast(str, super().clean_email())
        if user_of_address(business_here(), email) is not None:
            raise forms.ValidationError(address_taken_message(), code="address_taken")
        return email

    def validate_unique_email(self, value: str) -> str:
        """Skip allauth's question, which would look through every business."""
        return value

    def save(self, request: HttpRequest) -> Any:
        """Write account, profile and address, all or none."""
        with transaction.atomic():
            return super().save(request)


def address_taken_message() -> str:
    """Say what to do when there is an account already."""
    return str(_("There is already an account with this address. Sign in, or choose a new password."))


class ResetPasswordForm(_Plain, AllauthResetPasswordForm):
    """Ask for a new password by mail."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("E-mail address")

    def clean_email(self) -> str:
        """Find the account in this business only; whether there is one is said by mail, not on the page."""
        email: str = self.cleaned_data["email"].lower()
        user = user_of_address(business_here(), email)
        self.users = [user] if user is not None and user.is_active else []
        return email


class ResetPasswordKeyForm(_Plain, AllauthResetPasswordKeyForm):
    """Choose the new password."""


class ChangePasswordForm(_Plain, AllauthChangePasswordForm):
    """Change a known password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oldpassword"].help_text = ""


class UserTokenForm(AllauthUserTokenForm):
    """Check the link of a mail: it opens the account at its own business only."""

    def _get_user(self, uidb36: str) -> User | None:
        user = super()._get_user(uidb36)
        here = business_here()
        profile = getattr(user, "profile", None)
        if here is None or profile is None or profile.business_id != here.pk:
            return None
        return cast(User, user)
