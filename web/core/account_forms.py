"""The forms of signing in, up and out. They look people up in the host's business only."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.forms import (
    ChangePasswordForm as AllauthChangePasswordForm,
)
from allauth.account.forms import LoginForm as AllauthLoginForm
from allauth.account.forms import ReauthenticateForm as AllauthReauthenticateForm
from allauth.account.forms import ResetPasswordForm as AllauthResetPasswordForm
from allauth.account.forms import ResetPasswordKeyForm as AllauthResetPasswordKeyForm
from allauth.account.forms import SignupForm as AllauthSignupForm
from allauth.account.forms import UserTokenForm as AllauthUserTokenForm
from allauth.core import context
from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.base.forms import AuthenticateForm as AllauthCodeForm
from allauth.mfa.base.forms import ReauthenticateForm as AllauthCodeAgainForm
from allauth.mfa.totp.forms import ActivateTOTPForm as AllauthActivateAppForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm as AllauthAddPasskeyForm
from allauth.mfa.webauthn.forms import AuthenticateWebAuthnForm as AllauthPasskeyForm
from allauth.mfa.webauthn.forms import ReauthenticateWebAuthnForm as AllauthPasskeyAgainForm
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


class ReauthenticateForm(_Plain, AllauthReauthenticateForm):
    """Show that it is still the same person: the password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = ""
        self.fields["password"].widget.attrs["autofocus"] = True


class _Code(_Plain):
    """A code that an app shows, or one of those that were written down."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].label = _("Code")
        self.fields["code"].widget.attrs |= {"autofocus": True, "inputmode": "numeric", "maxlength": 32}


class CodeForm(_Code, AllauthCodeForm):
    """The second step of signing in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].help_text = _("From your app, or one of your recovery codes.")


class CodeAgainForm(_Code, AllauthCodeAgainForm):
    """Show that it is still the same person: a code."""


class ActivateAppForm(_Code, AllauthActivateAppForm):
    """Set up an app: the code that it shows proves that it has the secret."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].help_text = _("The six digits that the app shows now.")


class CredentialField(forms.JSONField):
    """What a browser says of a passkey, as JSON."""

    def to_python(self, value: Any) -> Any:
        """Read it; a number of thousands of digits is refused by Python, not by JSON."""
        try:
            return super().to_python(value)
        except ValueError as error:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from error

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Show nothing again: what a device said is good once."""
        return None

    def prepare_value(self, value: Any) -> str:
        """Draw an empty field; the page's script fills it."""
        return ""


class _Passkey(forms.Form):
    """What a browser says of a passkey. Whatever else is sent in its place is a wrong code, not an error of ours."""

    credential = CredentialField(widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """Check what allauth checks."""
        try:
            return cast(dict[str, Any], super().clean())
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, forms.ValidationError):
                raise
            raise get_mfa_adapter().validation_error("incorrect_code") from error

    def clean_credential(self) -> Any:
        """Check what allauth checks."""
        inner = getattr(super(), "clean_credential", None)
        if inner is None:
            return self.cleaned_data["credential"]
        try:
            return inner()
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, forms.ValidationError):
                raise
            raise get_mfa_adapter().validation_error("incorrect_code") from error


class AddPasskeyForm(_Plain, _Passkey, AllauthAddPasskeyForm):
    """Set up a passkey."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name")
        self.fields["name"].help_text = _("To tell it from your other ones.")
        self.fields["name"].widget.attrs["maxlength"] = 60

    def clean_name(self) -> str:
        """Keep names short."""
        return str(super().clean_name())[:60]


class PasskeyForm(_Passkey, AllauthPasskeyForm):
    """The second step of signing in."""


class PasskeyAgainForm(_Passkey, AllauthPasskeyAgainForm):
    """Show that it is still the same person: a passkey."""
