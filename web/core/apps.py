from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class CoreConfig(AppConfig):
    name = "web.core"
    label = "core"

    def ready(self) -> None:
        from web.core import models, tenancy

        for sender in (models.Business, models.BusinessHost):
            post_save.connect(tenancy.forget_hosts, sender=sender, dispatch_uid="forget_hosts")
            post_delete.connect(tenancy.forget_hosts, sender=sender, dispatch_uid="forget_hosts")
