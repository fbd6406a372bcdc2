"""Signing in by e-mail address, inside the business that the host name names.

The same address in two businesses is two accounts, each with its own password. Nothing here looks an account
up by address alone: a stranger at one business learns nothing about the customers of another.
"""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formataddr
from typing import Any, cast

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group as AuthGroup
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import get_language, gettext_lazy

from web.core.models import Business, Profile, User
from web.core.second_factor import is_recent
from web.core.tenancy import may

# How somebody proves who they are, by allauth's names.
WAYS = {
    "reauthenticate": gettext_lazy("Use the password"),
    "mfa_reauthenticate": gettext_lazy("Use a code of the app"),
    "mfa_reauthenticate:webauthn": gettext_lazy("Use a passkey"),
}
# The two ways in which the database says that an address is already taken in a business.
ADDRESS_CONSTRAINTS = frozenset({"an_email_exists_once_per_business", "core_user_username_key"})


class AddressTaken(Exception):
    """This business already knows a person with this e-mail address: sign in, or reset the password."""


def user_name(email: str, business: Business) -> str:
    """Form the user name as Ruoom does: the address with the business's number, in lower case."""
    return f"{email.strip().lower()}:{business.business_id}"


def user_of_address(business: Business | None, email: str) -> User | None:
    """Find who signs in with this address at this business."""
    if business is None:
        return None
    return (
        User.objects.select_related("profile")
        .filter(profile__business=business, profile__email__iexact=email.strip())
        .first()
    )


def create_person(
    *,
    business: Business,
    email: str,
    name: str,
    password: str | None = None,
    role: str = Profile.Role.CUSTOMER,
    groups: Iterable[str] = (),
    language: str = "en",
    phone: str = "",
    user: User | None = None,
) -> Profile:
    """Create a person of a business: their account and their profile, both or neither.

    Without a password they cannot sign in until they have reset it by mail. Raises AddressTaken, also when
    two requests race for the same address.
    """
    user = user or User()
    user.email = email.strip().lower()
    user.username = user_name(email, business)
    if password is not None:
        user.set_password(password)
    elif not user.password:
        user.set_unusable_password()
    try:
        with transaction.atomic():
            user.save()
            profile = Profile.objects.create(
                user=user,
                business=business,
                role=role,
                name=name,
                email=user.email,
                language=language,
                phone=phone,
            )
            user.groups.set(AuthGroup.objects.filter(name__in=tuple(groups)))
    except IntegrityError as error:
        if constraint_of(error) in ADDRESS_CONSTRAINTS:
            raise AddressTaken(business.pk) from error
        raise
    return profile


def constraint_of(error: IntegrityError) -> str | None:
    """Name the constraint that PostgreSQL refused a row for."""
    return cast("str | None", getattr(getattr(error.__cause__, "diag", None), "constraint_name", None))


class BusinessBackend(ModelBackend):
    """Check an address and a password within the request's business."""

    def authenticate(  # type: ignore[override]  # addressed by e-mail, not by user name
        self,
        request: HttpRequest | None,
        email: str | None = None,
        password: str | None = None,
        **_: object,
    ) -> User | None:
        """Give the user, or None. An unknown address costs as much time as a wrong password."""
        if request is None or not email or not password:
            return None
        user = user_of_address(cast(Any, request).business, email)
        if user is None:
            User().set_password(password)
            return None
        if user.check_password(password) and self.user_can_authenticate(user):
            return user
        return None

    def get_user(self, user_id: int) -> User | None:
        """Load the session's user together with the profile: every page needs both."""
        user = User.objects.select_related("profile").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class BusinessAdapter(DefaultAccountAdapter):
    """What allauth asks us: who may sign up, how an account is saved, where to go, what mails say."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Let people sign up wherever there is a business to sign up at."""
        return cast(Any, request).business is not None

    def populate_username(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        """Give the user name that is unique in the business; allauth would invent one."""
        account = cast(User, user)
        account.username = user_name(account.email, cast(Any, request).business)

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        """Save the account with a customer's profile in the host's business. Raises AddressTaken."""
        super().save_user(request, user, form, commit=False)
        create_person(
            business=cast(Any, request).business,
            email=user.email,
            name=form.cleaned_data["name"],
            language=(get_language() or settings.LANGUAGE_CODE)[:2],
            user=user,
        )
        return user

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Bring staff to the till and customers to the shop."""
        profile = user_profile(request)
        cast(Any, request).profile = profile
        if may(request, "store", "checkin"):
            try:
                return reverse("payment:checkout")
            except NoReverseMatch:
                return settings.LOGIN_REDIRECT_URL
        return settings.LOGIN_REDIRECT_URL

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Ask for the password again, unless it was given a few minutes ago, at sign-in too."""
        return super().is_reauthentication_required(app=app, **kwargs) and not is_recent(self.request)

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Name the ways to prove who one is, in our words."""
        found: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        return [{**one, "description": WAYS.get(one["id"], one["description"])} for one in found]

    def get_client_ip(self, request: HttpRequest) -> str:
        """Give the address; one for all where a server passes none on (a Unix socket)."""
        return super().get_client_ip(request) if request.META.get("REMOTE_ADDR") else "0.0.0.0"  # noqa: S104

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Leave the form behind once the password is changed."""
        return settings.LOGIN_REDIRECT_URL

    def is_safe_url(self, url: str) -> bool:
        """Follow `next` on this host alone: other allowed hosts are other businesses."""
        return url_has_allowed_host_and_scheme(
            url, allowed_hosts={self.request.get_host()}, require_https=self.request.is_secure()
        )

    def format_email_subject(self, subject: str) -> str:
        """Begin every subject with the business's name."""
        return f"{self.request.business.name}: {subject}"

    def get_from_email(self) -> str:
        """Send in the business's name, from the address that this installation may send from."""
        return formataddr((self.request.business.name, settings.DEFAULT_FROM_EMAIL))

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Let every mail name the business."""
        super().send_mail(template_prefix, email, {**context, "business": self.request.business})


def user_profile(request: HttpRequest) -> Profile | None:
    """Find the profile of the request's user, who may have signed in during this very request."""
    profile: Profile | None = getattr(request.user, "profile", None)
    business: Business | None = cast(Any, request).business
    return profile if profile is not None and business and profile.business_id == business.pk else None
