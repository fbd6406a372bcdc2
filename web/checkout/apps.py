from django.apps import AppConfig


class CheckoutConfig(AppConfig):
    name = "web.checkout"
    label = "checkout"
