"""Django with nothing in it: no middleware, no applications, one table made by bench/limits/__main__.py."""

import os

import environ

_env = environ.Env()
SECRET_KEY = "limits"  # noqa: S105 - nothing is signed
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "bench.limits.urls"
WSGI_APPLICATION = "bench.limits.wsgi.application"
INSTALLED_APPS: list[str] = []
MIDDLEWARE: list[str] = []
USE_TZ = True
DATABASES = {"default": _env.db_url("LIMITS_DATABASE_URL")}
# The same pool as Paydesk's web process has (web/settings.py), or one kept connection a prefork child.
if _pool := int(os.environ.get("DATABASE_POOL_SIZE", "0")):
    DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 1, "max_size": _pool, "timeout": 5}
    DATABASES["default"]["CONN_MAX_AGE"] = 0
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 600
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
