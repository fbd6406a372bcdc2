"""The sign-in pages that are used, of all that allauth has; the rest of its addresses do not exist here."""

from allauth.account import views
from allauth.mfa.base import views as second_factor
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as apps
from allauth.mfa.webauthn import views as passkeys
from allauth.usersessions import views as sessions
from django.urls import path, re_path
from django.views.decorators.http import require_http_methods

from web.core.account_views import activate_app, add_passkey, remove_passkey, signup

form = require_http_methods(["GET", "HEAD", "POST"])  # to allauth a PUT is a POST

urlpatterns = [
    path("login/", views.login, name="account_login"),
    path("logout/", views.logout, name="account_logout"),
    path("signup/", signup, name="account_signup"),
    path("confirm/", form(views.reauthenticate), name="account_reauthenticate"),
    path("confirm/code/", form(second_factor.reauthenticate), name="mfa_reauthenticate"),
    path("confirm/passkey/", form(passkeys.reauthenticate_webauthn), name="mfa_reauthenticate_webauthn"),
    path("sessions/", form(sessions.list_usersessions), name="usersessions_list"),
    path("second-factor/", second_factor.index, name="mfa_index"),
    path("second-factor/sign-in/", form(second_factor.authenticate), name="mfa_authenticate"),
    path("second-factor/app/", form(activate_app), name="mfa_activate_totp"),
    path("second-factor/app/remove/", form(apps.deactivate_totp), name="mfa_deactivate_totp"),
    path("second-factor/codes/", recovery_codes.view_recovery_codes, name="mfa_view_recovery_codes"),
    path(
        "second-factor/codes/new/",
        form(recovery_codes.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path("second-factor/passkeys/", form(add_passkey), name="mfa_add_webauthn"),
    path("second-factor/passkeys/<int:pk>/remove/", form(remove_passkey), name="mfa_remove_webauthn"),
    path("inactive/", views.account_inactive, name="account_inactive"),
    path("password/change/", views.password_change, name="account_change_password"),
    path("password/reset/", views.password_reset, name="account_reset_password"),
    path("password/reset/done/", views.password_reset_done, name="account_reset_password_done"),
    path(
        "password/reset/key/done/",
        views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        views.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
]
