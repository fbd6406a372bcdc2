"""Every address of the site. `/healthz` and `/readyz` are answered before this, by web/ops/middleware.py."""

from django.conf import settings
from django.urls import include, path
from django.views.generic import RedirectView

from web.core.branding import branding
from web.core.languages import set_language

urlpatterns = [
    path("accounts/", include("web.core.account_urls")),
    path("branding.css", branding, name="branding"),
    path("i18n/set-language/", set_language, name="set_language"),
    path(
        "ops/", include("web.ops.urls")
    ),  # the installation's own, whatever prefix its businesses' pages have
    path("api/", include("web.api.urls")),  # programs keep their addresses, whatever the prefix
    path(settings.PAYMENT_URL_PREFIX, include("web.payment_urls")),
]

if settings.PAYMENT_URL_PREFIX:
    urlpatterns.append(path("", RedirectView.as_view(url=f"/{settings.PAYMENT_URL_PREFIX}"), name="root"))

if settings.DEBUG or settings.PAYDESK_LOCAL:
    from web.core.styleguide import styleguide

    urlpatterns.append(path("styleguide/", styleguide, name="styleguide"))

handler400 = "web.core.errors.bad_request"
handler403 = "web.core.errors.bad_rights"
handler404 = "web.core.errors.not_found"
handler500 = "web.core.errors.server_error"
