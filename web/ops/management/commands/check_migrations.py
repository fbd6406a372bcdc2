"""`manage.py check_migrations`: may every migration run while the previous release still serves?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from web.ops import releases


class Command(BaseCommand):
    help = "Refuse migrations that the previous release could not run beside (docs/deploying.md)."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        found = list(releases.unsafe())
        for one in found:
            self.stderr.write(str(one))
        if found:
            raise CommandError(
                f"{len(found)} operations are unsafe: make them in two releases, or say why they are not "
                f"(`{releases.EXCUSE}` in the migration)."
            )
        self.stdout.write("Every migration can run beside the previous release.")
