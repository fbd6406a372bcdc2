"""What granian serves: `granian --interface wsgi web.wsgi:application`."""

import os

from web.core import startup

startup.begin()

from django.core.wsgi import get_wsgi_application  # noqa: E402  # the collector rests by now

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "web.settings")
_django = get_wsgi_application()

from web.webhooks.door import Door  # noqa: E402  # Django is set up by now

application = Door(_django)
startup.done()
