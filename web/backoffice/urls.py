"""The addresses of this room; they are joined under the namespace `payment` in web/payment_urls.py."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
