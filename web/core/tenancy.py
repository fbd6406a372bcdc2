"""Who is asking, and in which business: the host name gives the business, the session the person.

A page belongs to a business unless its view says `@any_host`: on a host that serves nobody it answers 404.
Whatever belongs to another business answers 404, never 403: nobody learns that it exists. A person of this
business without the right gets 403, in clear words.
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from web.core import errors, second_factor, sessions
from web.core.groups import GROUP_NAMES, PLATFORM_GROUP_NAMES, PlatformGroup
from web.core.models import Business, BusinessHost, Profile, User

if TYPE_CHECKING:
    from django.db.models import Manager

HOST_SECONDS = 5  # a host that moves to another business is served wrongly for at most this long
UNKNOWN_HOST_SECONDS = 1  # a host that was just added must work at once
IMAGE_ORIGIN = re.compile(r"https://[A-Za-z0-9.-]+(?::\d+)?(?=/|$)")
HOSTS_KEPT = 1000  # names come from strangers: the cache must not grow with them


class TenantRequest(HttpRequest):
    """A request as views see it: the type to annotate a view's `request` with."""

    business: Business
    profile: Profile | None
    user: User | AnonymousUser
    htmx: HtmxDetails


class MemberRequest(TenantRequest):
    """A request behind `sign_in_required` or `staff_required`: someone of this business is signed in."""

    profile: Profile
    user: User


GetResponse = Callable[[HttpRequest], HttpResponseBase]
View = TypeVar("View", bound=Callable[..., HttpResponseBase])
Row = TypeVar("Row", bound=models.Model)

_hosts: dict[str, tuple[Business | None, float]] = {}


def forget_hosts(**_: object) -> None:
    """Drop what this process remembers of hosts; also a signal receiver (see apps.py)."""
    _hosts.clear()


def host_name(request: HttpRequest) -> str:
    """Give the request's host in lower case, without the port and without a trailing dot."""
    host = request.get_host().lower()
    if host.startswith("["):  # IPv6: [::1]:8000
        return host[: host.find("]") + 1]
    return host.partition(":")[0].rstrip(".")


def business_of_host(host: str) -> Business | None:
    """Find the business that a host serves; remembered for a few seconds.

    The caller gets a copy of its own, so that a view which changes it does not change it for others.
    """
    now = time.monotonic()
    known = _hosts.get(host)
    if known is None or known[1] <= now:
        found = BusinessHost.objects.filter(host__iexact=host).select_related("business").first()
        business = found.business if found else None
        if len(_hosts) >= HOSTS_KEPT:
            _hosts.clear()
        known = (business, now + (HOST_SECONDS if business else UNKNOWN_HOST_SECONDS))
        _hosts[host] = known
    return copy.copy(known[0])


class BusinessMiddleware:
    """Set `request.business` from the host name and activate the business's time zone."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        business = business_of_host(host_name(request))
        asking = cast(Any, request)  # Any: HttpRequest has no such attribute before this line
        asking.business = business
        asking.profile = None
        # Not an override that ends with the response: a streamed export is written after this returns.
        if business is None:
            timezone.deactivate()
        else:
            timezone.activate(business.time_zone)
        if "\x00" in request.path_info:  # no database takes it, and nothing of ours is called so
            return errors.not_found(request)
        response = self.get_response(request)
        if business is not None and business.logo:
            _allow_image(response, business.logo)
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: object, kwargs: object
    ) -> HttpResponse | None:
        if cast(Any, request).business is None and not getattr(view, "any_host", False):
            return errors.unknown_host(request)
        return None


def _allow_image(response: HttpResponseBase, address: str) -> None:
    """Let the page's security policy show images from the place of the business's logo, and no other."""
    origin = IMAGE_ORIGIN.match(address)
    if origin is None:
        return
    extended = cast(Any, response)
    update: dict[str, Any] = dict(getattr(extended, "_csp_update", None) or {})
    update["img-src"] = [*update.get("img-src", []), origin.group()]
    extended._csp_update = update  # read by django-csp; a view's own @csp_update stays


class ProfileMiddleware:
    """Set `request.profile` to the person as this business knows them, and speak their language.

    A session of another business counts as signed out here. Without a session cookie nothing is read.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        asking = cast(Any, request)
        asking.profile = profile_of(request)
        if asking.profile is not None and _is_staff(asking) and sessions.is_over(request, now=time.time()):
            logout(request)
            asking.profile = None
        if asking.profile is None:
            asking.user = AnonymousUser()
        else:
            translation.activate(asking.profile.language)
        return self.get_response(request)


def profile_of(request: HttpRequest) -> Profile | None:
    """Find the signed-in person's profile in the request's business, or None."""
    business: Business | None = cast(Any, request).business
    if business is None or not request.session.session_key:
        return None
    user = request.user
    if not user.is_authenticated:
        return None
    profile: Profile | None = getattr(user, "profile", None)  # a user made by hand may have none
    if profile is None or profile.business_id != business.pk:
        return None
    profile.business = business
    return profile


def _is_staff(asking: Any) -> bool:
    return bool(asking.profile.is_staff or asking.user.is_superuser)


def any_host(view: View) -> View:
    """Let a view answer on a host that serves no business: webhooks, health, static things."""
    view.any_host = True  # type: ignore[attr-defined]
    return view


def business_required(view: View) -> View:
    """Refuse a view without a business. The middleware does so already; this says it where it matters."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if cast(Any, request).business is None:
            return errors.unknown_host(request)
        return view(request, *args, **kwargs)

    return cast(View, wrapper)


def sign_in_required(view: View) -> View:
    """Open a view to anyone signed in to this business; send the others to sign in and come back."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if cast(Any, request).business is None:
            return errors.unknown_host(request)
        if cast(Any, request).profile is None:
            return _ask_to_sign_in(request)
        return view(request, *args, **kwargs)

    return cast(View, wrapper)


def staff_required(*groups: str) -> Callable[[View], View]:
    """Open a view to staff of this business who are in one of the groups; superusers pass.

    Signed out: to the sign-in page, and back. Signed in without the right: 403. Without a group named, any
    member of staff passes. An unknown group fails when the module is imported, not when the page is opened.
    """
    unknown = set(groups) - set(GROUP_NAMES)
    if unknown:
        raise ValueError(f"No such group: {', '.join(sorted(unknown))}")

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            asking = cast(MemberRequest, request)
            if not _has_right(asking, *groups):
                return errors.forbidden(request)
            if lacks_second_factor(asking):
                return _ask_for_second_factor(request)
            return view(request, *args, **kwargs)

        return cast(View, sign_in_required(wrapper))

    return decorate


def may(request: HttpRequest, *groups: str) -> bool:
    """Say whether the request's person is staff here, in one of the groups (any staff if none is named)."""
    return _has_right(request, *groups) and not lacks_second_factor(request)


def _has_right(request: HttpRequest, *groups: str) -> bool:
    """Say the same, whether or not their business wants a second factor that they have not shown."""
    asking = cast(TenantRequest, request)
    profile = getattr(asking, "profile", None)
    if profile is None or not asking.user.is_active:
        return False
    if asking.user.is_superuser:
        return True
    return profile.is_staff and (not groups or not groups_of(request).isdisjoint(groups))


def lacks_second_factor(request: HttpRequest) -> bool:
    """Say whether the business wants a second factor of this member of staff, and has not seen it."""
    asking = cast(Any, request)
    if getattr(asking, "profile", None) is None or not _is_staff(asking):
        return False
    return second_factor.is_needed(asking.business, groups_of(request)) and not second_factor.is_proved(
        request
    )


def groups_of(request: HttpRequest) -> frozenset[str]:
    """Name the groups whose pages the request's person may use; read once a request."""
    asking = cast(Any, request)
    if getattr(asking, "profile", None) is None:
        return frozenset()
    if asking.user.is_superuser:
        return frozenset(GROUP_NAMES)
    return _own_groups(asking)


def _own_groups(asking: Any) -> frozenset[str]:
    """Return the groups that a member of staff was put in; read once a request."""
    if not asking.profile.is_staff:
        return frozenset()
    if not hasattr(asking, "_groups"):
        asking._groups = frozenset(asking.user.groups.values_list("name", flat=True))
    return cast(frozenset[str], asking._groups)


def operator_rights(request: HttpRequest) -> frozenset[str]:
    """Name the rights that the request's person has over the whole installation.

    Nobody has them by being something else: not a business's owner, nor its superuser.
    """
    asking = cast(Any, request)
    if getattr(asking, "profile", None) is None or not asking.user.is_active:
        return frozenset()
    return _own_groups(asking) & frozenset(PLATFORM_GROUP_NAMES)


def operators_only(*, acting: bool = False) -> Callable[[View], View]:
    """Open a view to those who run the installation; `acting` keeps those out who may only look.

    Signed out: to the sign-in page, and back. Somebody of a business without the right gets 404: what is not their
    business's is not there for them. An operator who may only look gets 403 where something would change.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            rights = operator_rights(request)
            if not rights:
                return errors.not_found(request)
            if settings.OPERATORS_NEED_SECOND_FACTOR and not second_factor.is_proved(request):
                return _ask_for_second_factor(request)
            if acting and PlatformGroup.OPS not in rights:
                return _looking_only(request)
            return view(request, *args, **kwargs)

        return cast(View, sign_in_required(wrapper))

    return decorate


def _looking_only(request: HttpRequest) -> HttpResponse:
    return errors.problem(
        request,
        status=403,
        code="looking_only",
        message=_("Your account may look at operations, and change nothing."),
        next_step=_("Ask somebody who may act, or whoever runs the servers for the right."),
    )


def get_for_business_or_404(
    source: type[Row] | models.QuerySet[Row] | Manager[Row], business: Business, **lookup: object
) -> Row:
    """Fetch one row of this business, or answer 404 — also for a row that another business has.

    The rows must have a `business` field. A key that is not even well formed is a 404 as well.
    """
    rows = source._default_manager.all() if isinstance(source, type) else source.all()
    try:
        return rows.get(business=business, **lookup)
    except (ObjectDoesNotExist, ValueError, TypeError) as missing:
        raise Http404(f"No {rows.model._meta.verbose_name} like this here.") from missing


def _ask_for_second_factor(request: HttpRequest) -> HttpResponse:
    """Send somebody to show their second factor, or to set one up, in the way their client understands."""
    if errors.wants_json(request):
        return errors.second_factor_needed(request)
    if getattr(request, "htmx", False):
        page = cast(TenantRequest, request).htmx.current_url_abs_path or "/"
        return HttpResponseClientRedirect(second_factor.way_to_prove(request, page))
    page = request.get_full_path() if request.method in {"GET", "HEAD"} else "/"
    return HttpResponseRedirect(second_factor.way_to_prove(request, page))


def _ask_to_sign_in(request: HttpRequest) -> HttpResponse:
    """Send a signed-out person to the sign-in page, in the way their client understands."""
    from django.contrib.auth.views import redirect_to_login

    if errors.wants_json(request):
        return errors.sign_in_needed(request)
    if getattr(request, "htmx", False):
        # The fragment's address is of no use as a page: come back to the page it was in.
        page = cast(TenantRequest, request).htmx.current_url_abs_path or "/"
        return HttpResponseClientRedirect(redirect_to_login(page).url)
    came_from = request.get_full_path() if request.method in {"GET", "HEAD"} else "/"
    return redirect_to_login(came_from)
