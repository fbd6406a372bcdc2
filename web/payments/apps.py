from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "web.payments"
    label = "payments"
