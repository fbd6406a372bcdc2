"""What granian serves: `granian --interface wsgi web.wsgi:application`."""

import os

from web.core import startup

startup.begin()

from django.core.wsgi import get_wsgi_application  # noqa: E402  # the collector rests by now

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "web.settings")
application = get_wsgi_application()
startup.done()
