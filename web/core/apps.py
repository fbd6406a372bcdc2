from django.apps import AppConfig
from django.db.models.signals import post_delete, post_migrate, post_save


class CoreConfig(AppConfig):
    name = "web.core"
    label = "core"

    def ready(self) -> None:
        from web.core import groups, models, reporting, tenancy

        reporting.start()
        post_migrate.connect(groups.create_groups, sender=self, dispatch_uid="create_groups")
        for sender in (models.Business, models.BusinessHost):
            post_save.connect(tenancy.forget_hosts, sender=sender, dispatch_uid="forget_hosts")
            post_delete.connect(tenancy.forget_hosts, sender=sender, dispatch_uid="forget_hosts")
