"""The entry of a server for the one-INSERT view."""

import os

os.environ["DJANGO_SETTINGS_MODULE"] = "bench.limits.settings"

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
