from django.apps import AppConfig
from django.db.models.signals import post_delete, post_migrate, post_save


class CoreConfig(AppConfig):
    name = "web.core"
    label = "core"

    def ready(self) -> None:
        from allauth.mfa import signals as mfa_signals
        from django.contrib.auth.signals import user_logged_in

        from web.core import checks as checks  # registers them
        from web.core import groups, models, reporting, second_factor, sessions, tenancy

        reporting.start()
        post_migrate.connect(groups.create_groups, sender=self, dispatch_uid="create_groups")
        user_logged_in.connect(sessions.begin_anew, dispatch_uid="begin_anew")
        mfa_signals.authenticator_removed.connect(second_factor.note_removed, dispatch_uid="note_removed")
        for sender in (models.Business, models.BusinessHost):
            post_save.connect(tenancy.forget_hosts, sender=sender, dispatch_uid="forget_hosts")
            post_delete.connect(tenancy.forget_hosts, sender=sender, dispatch_uid="forget_hosts")
