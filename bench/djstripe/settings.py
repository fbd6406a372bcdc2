"""A Django project with dj-stripe, as its documentation sets it up: its own webhook view and its own handlers."""

import environ

_env = environ.Env()
SECRET_KEY = "peer"  # noqa: S105 - nothing is signed
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "peer.urls"
WSGI_APPLICATION = "peer.wsgi.application"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "djstripe"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": _env.db_url("PEER_DATABASE_URL")}
# The same pool as Paydesk's web process has.
DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": 4, "timeout": 5}
DATABASES["default"]["CONN_MAX_AGE"] = 0
# Its tables as its models say: the same as by its hundred migrations, in seconds.
MIGRATION_MODULES = dict.fromkeys(("djstripe", "auth", "contenttypes"))
STRIPE_LIVE_MODE = False
STRIPE_TEST_SECRET_KEY = _env.str("PEER_STRIPE_KEY")
STRIPE_API_HOST = _env.str("STRIPE_API_BASE")
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"
DJSTRIPE_WEBHOOK_VALIDATION = "verify_signature"
