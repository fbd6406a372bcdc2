"""Where Stripe's events arrive: one address per business."""

from django.urls import path

from web.webhooks import views

urlpatterns = [path("webhooks/stripe/<uuid:token>/", views.stripe_webhook, name="stripe-webhook")]
