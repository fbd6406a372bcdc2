"""The one sign-in page that differs from allauth's: two people who sign up with one address at once."""

from __future__ import annotations

from typing import Any

from allauth.account.views import SignupView as AllauthSignupView
from django.http.response import HttpResponseBase

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
