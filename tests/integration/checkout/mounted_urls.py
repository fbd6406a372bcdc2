"""The site as it is with PAYMENT_URL_PREFIX=payment/: everything of payments below that."""

from django.urls import include, path

from web.core.branding import branding
from web.core.languages import set_language

urlpatterns = [
    path("accounts/", include("web.core.account_urls")),
    path("payment/", include("web.payment_urls")),
    path("branding.css", branding, name="branding"),
    path("i18n/set-language/", set_language, name="set_language"),
]
