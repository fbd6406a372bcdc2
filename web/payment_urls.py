"""The pages of payments under one namespace, `payment`: at the root, or under a deployment's prefix.

The order matters where addresses could shadow each other: what machines call, then staff, then customers,
whose shop takes the root.
"""

from django.urls import include, path

app_name = "payment"
urlpatterns = [
    path("", include("web.webhooks.urls")),
    path("", include("web.backoffice.urls")),
    path("", include("web.checkout.urls")),
]
