from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "web.ops"
    label = "ops"

    def ready(self) -> None:
        """The last of ours to be ready."""
        from web.core import startup

        startup.ready()
