from django.apps import AppConfig


class BackofficeConfig(AppConfig):
    name = "web.backoffice"
    label = "backoffice"
