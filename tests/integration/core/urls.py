"""Addresses for the tests of tenancy: a view behind each kind of door, and the site's own addresses."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.utils import timezone, translation

from web.core.models import Item
from web.core.tenancy import (
    MemberRequest,
    TenantRequest,
    any_host,
    get_for_business_or_404,
    sign_in_required,
    staff_required,
)


def whose(request: TenantRequest) -> JsonResponse:
    return JsonResponse(
        {
            "business": request.business.name,
            "time_zone": timezone.get_current_timezone_name(),
            "profile": request.profile.email if request.profile else None,
            "language": translation.get_language(),
            "signed_in": request.user.is_authenticated,
        }
    )


@any_host
def hook(request: HttpRequest) -> HttpResponse:
    return HttpResponse("heard")


@sign_in_required
def mine(request: MemberRequest) -> HttpResponse:
    return HttpResponse(request.profile.name)


@staff_required("purchases", "settings")
def books(request: MemberRequest) -> HttpResponse:
    return HttpResponse(request.profile.name)


@staff_required()
def backroom(request: MemberRequest) -> HttpResponse:
    return HttpResponse(request.profile.name)


def item(request: TenantRequest, key: str) -> HttpResponse:
    return HttpResponse(get_for_business_or_404(Item, request.business, pk=key).name)


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("broken on purpose")


urlpatterns = [
    path("whose/", whose),
    path("hook/", hook),
    path("mine/", mine),
    path("books/", books),
    path("backroom/", backroom),
    path("items/<str:key>/", item),
    path("broken/", broken),
    path("", include("web.urls")),
]

handler400 = "web.core.errors.bad_request"
handler403 = "web.core.errors.bad_rights"
handler404 = "web.core.errors.not_found"
handler500 = "web.core.errors.server_error"
