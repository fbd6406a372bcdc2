from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "web.webhooks"
    label = "webhooks"
