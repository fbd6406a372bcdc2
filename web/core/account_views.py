"""The sign-in pages that differ from allauth's: two people who sign up with one address at once, factors set up."""

from __future__ import annotations

from typing import Any

from allauth.account.views import SignupView as AllauthSignupView
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.views import ActivateTOTPView
from allauth.mfa.webauthn.views import AddWebAuthnView, RemoveWebAuthnView
from django.http.response import HttpResponseBase
from django.urls import reverse_lazy

from web.core import second_factor
from web.core.account_forms import address_taken_message
from web.core.accounts import AddressTaken


class SignupView(AllauthSignupView):
    """Sign up; who comes second with an address is told so at the form."""

    def form_valid(self, form: Any) -> HttpResponseBase:
        """Create the account, or show the form again with the address refused."""
        try:
            response: HttpResponseBase = super().form_valid(form)
        except AddressTaken:
            form.add_error("email", address_taken_message())
            response = self.form_invalid(form)
        return response


signup = SignupView.as_view()


class ActivateAppView(ActivateTOTPView):
    """Set up an app, which has then been shown in this session."""

    def form_valid(self, form: Any) -> HttpResponseBase:
        """Set it up."""
        response: HttpResponseBase = super().form_valid(form)
        second_factor.note_set_up(self.request, Authenticator.Type.TOTP)
        return response


class AddPasskeyView(AddWebAuthnView):
    """Set up a passkey, which has then been shown in this session."""

    def form_valid(self, form: Any) -> HttpResponseBase:
        """Set it up."""
        response: HttpResponseBase = super().form_valid(form)
        second_factor.note_set_up(self.request, Authenticator.Type.WEBAUTHN)
        return response


class RemovePasskeyView(RemoveWebAuthnView):
    """Remove a passkey, and come back to all of them."""

    success_url = reverse_lazy("mfa_index")


activate_app = ActivateAppView.as_view()
add_passkey = AddPasskeyView.as_view()
remove_passkey = RemovePasskeyView.as_view()
