"""Every setting of Paydesk, read from the environment once, at start.

Nothing else reads environment variables. Each variable is described in `.env.example`.
"""

import os
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- what must be given -----------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY")
# Fernet keys, newest first: the first one seals, all of them open (core/crypto.py).
FIELD_ENCRYPTION_KEYS: list[str] = env.list("FIELD_ENCRYPTION_KEYS")
# True on a developer's machine: cookies over plain http, mail to a folder.
PAYDESK_LOCAL = env.bool("PAYDESK_LOCAL", default=False)
# Tests only: a folder of files that arm faults between two steps (core/faultpoints.py).
FAULT_DIR = env.str("PAYDESK_FAULT_DIR", default="")
if FAULT_DIR and not PAYDESK_LOCAL:
    raise ImproperlyConfigured("PAYDESK_FAULT_DIR lets processes die on purpose: it needs PAYDESK_LOCAL.")

# --- servers ----------------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {"default": env.db_url("DATABASE_URL")}
DATABASES["default"]["ENGINE"] = "web.core.postgresql"
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True  # PgBouncer in transaction mode has none
_database_options = DATABASES["default"].setdefault("OPTIONS", {})
PROCESS_NAME = env.str("PROCESS_NAME", default="paydesk")
_database_options["application_name"] = PROCESS_NAME
# Nothing may hold a sale's locks for long: a host that freezes between "lock" and "commit" would stop its
# customers, and every batch of events with one of theirs in it. Behind PgBouncer give "" and set the same on
# the role (ALTER ROLE … SET …); a migration that takes longer gets its own value.
DATABASE_SESSION = env.str(
    "DATABASE_SESSION",
    default="-c lock_timeout=5s -c idle_in_transaction_session_timeout=30s -c statement_timeout=60s",
)
if DATABASE_SESSION:
    _database_options["options"] = DATABASE_SESSION
# A copy that may be a second late, for reports (queries/replica.py); empty: the one database.
DATABASE_REPLICA_URL = env.str("DATABASE_REPLICA_URL", default="")
# A pool pays in web and in threaded workers. Celery's prefork closes it after every task, so prefork
# workers keep one connection a child instead (CELERY_DB_REUSE_MAX in workers/app.py).
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", default=0)
if DATABASE_POOL_SIZE:
    # A pool that cannot connect asks again after 1, 2, 4, 8 … seconds. It gives up as soon as those who wait do,
    # and begins anew with the next request: else it would stay away for as long as the database was.
    _database_options["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_SIZE,
        "timeout": 5,
        "reconnect_timeout": 5,
    }
    DATABASES["default"]["CONN_MAX_AGE"] = 0  # Django refuses a pool together with persistent connections
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 600

if DATABASE_REPLICA_URL:
    DATABASES["replica"] = {
        **DATABASES["default"],
        **env.db_url_config(DATABASE_REPLICA_URL),
        "ENGINE": DATABASES["default"]["ENGINE"],
        "OPTIONS": {
            **_database_options,
            **env.db_url_config(DATABASE_REPLICA_URL).get("OPTIONS", {}),
        },
        "TEST": {"MIRROR": "default"},
    }

REDIS_URL = env.str("REDIS_URL")
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default=REDIS_URL)

# --- Stripe -----------------------------------------------------------------------------------------
# Empty: real Stripe. Set (to the sandbox's address): every call of every business goes there instead.
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="")
STRIPE_JS_URL = env.str("STRIPE_JS_URL", default="https://js.stripe.com/endive/stripe.js")
STRIPE_CONNECT_TIMEOUT_SECONDS = 5
STRIPE_READ_TIMEOUT_SECONDS = 20  # half of a lease (jobs.py): a worker that hears nothing still owns its job

# What may be asked of Stripe in a second for one account, by all workers together: Stripe's own limits. An account
# to which Stripe has granted more has figures of its own (StripeAccount). Explained in docs/operations.md.
STRIPE_CALLS_PER_SECOND = env.int("STRIPE_CALLS_PER_SECOND", default=100)
STRIPE_TEST_CALLS_PER_SECOND = env.int("STRIPE_TEST_CALLS_PER_SECOND", default=25)
STRIPE_CALLS_PER_SECOND_AND_ENDPOINT = env.int("STRIPE_CALLS_PER_SECOND_AND_ENDPOINT", default=25)

# --- jobs -------------------------------------------------------------------------------------------
# On queues that wait on Stripe: less than half of one worker's threads, so that a business whose account hangs
# leaves room for the others (more on that: docs/decisions, the one on accounts that hang).
JOBS_IN_FLIGHT_PER_BUSINESS = env.int("JOBS_IN_FLIGHT_PER_BUSINESS", default=6)

# --- programs of businesses ------------------------------------------------------------------------------
# Calls of the JSON API in a minute, for each token.
API_CALLS_PER_MINUTE = env.int("API_CALLS_PER_MINUTE", default=600)

# --- the application --------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.forms",  # its widgets' templates, for FORM_RENDERER
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_celery_results",
    "web.core",
    "web.payments",
    "web.checkout",
    "web.backoffice",
    "web.webhooks",
    "web.api",
    "web.ops",
    "workers",  # for its commands; it imports Celery only when one of them runs
]
MIDDLEWARE = [
    "web.ops.middleware.HealthMiddleware",
    "web.ops.middleware.MetricsMiddleware",
    "web.core.logs.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",  # by cookie or browser; ProfileMiddleware knows better
    "web.core.tenancy.BusinessMiddleware",
    "web.core.embedding.EmbeddingMiddleware",  # what follows writes the cookies and headers that it changes
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "web.core.tenancy.ProfileMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
ROOT_URLCONF = "web.urls"
CSRF_FAILURE_VIEW = "web.core.errors.csrf_failure"
FORM_RENDERER = "web.core.forms.Renderer"
WSGI_APPLICATION = "web.wsgi.application"
# "" serves the payment pages at the root; "payment/" mounts them under /payment/, as in Ruoom.
PAYMENT_URL_PREFIX = env.str("PAYMENT_URL_PREFIX", default="")
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "web" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "web.core.context.business",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "core.User"
ALLOWED_HOSTS: list[str] = env.list(
    "ALLOWED_HOSTS", default=["localhost", ".localhost", "127.0.0.1", "[::1]"]
)
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# --- people, languages, time ------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ko", "한국어")]
LOCALE_PATHS = [BASE_DIR / "web" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- sign-in (django-allauth); an address is unique per business, see core/accounts.py ----------------
AUTHENTICATION_BACKENDS = ["web.core.accounts.BusinessBackend"]
ACCOUNT_ADAPTER = "web.core.accounts.BusinessAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_FORMS = {
    "login": "web.core.account_forms.LoginForm",
    "signup": "web.core.account_forms.SignupForm",
    "change_password": "web.core.account_forms.ChangePasswordForm",
    "reset_password": "web.core.account_forms.ResetPasswordForm",
    "reset_password_from_key": "web.core.account_forms.ResetPasswordKeyForm",
    "user_token": "web.core.account_forms.UserTokenForm",
    "reauthenticate": "web.core.account_forms.ReauthenticateForm",
}
# Changing keys, and refunds above a business's limit, ask for password or second factor unless it was given within:
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600  # seconds
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "http" if PAYDESK_LOCAL else "https"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
# allauth insists on it for sign-in by e-mail, and means addresses that it verified: here it verifies none.
# An address is unique per business, by a constraint on Profile; core/account_forms.py asks that.
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = "strict"  # the same address elsewhere is no obstacle, nor a thing to tell
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "signup": "20/m/ip",
    "reset_password": "20/m/ip,5/m/key",
}
# A second factor (core/second_factor.py). Passkeys are one: they do not replace the password.
MFA_ADAPTER = "web.core.second_factor.Adapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_TOLERANCE = 1  # a phone's clock may be half a minute off
MFA_ALLOW_UNVERIFIED_EMAIL = True  # staff are made by their business, not by an address that somebody typed
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = PAYDESK_LOCAL
MFA_FORMS = {
    "authenticate": "web.core.account_forms.CodeForm",
    "reauthenticate": "web.core.account_forms.CodeAgainForm",
    "activate_totp": "web.core.account_forms.ActivateAppForm",
    "add_webauthn": "web.core.account_forms.AddPasskeyForm",
    "authenticate_webauthn": "web.core.account_forms.PasskeyForm",
    "reauthenticate_webauthn": "web.core.account_forms.PasskeyAgainForm",
}
# Whoever runs the installation (/ops/) needs one; a business decides about its own staff in its settings.
OPERATORS_NEED_SECOND_FACTOR = env.bool("OPERATORS_NEED_SECOND_FACTOR", default=not PAYDESK_LOCAL)
# How long staff stay signed in: at most, and without doing anything. 0: no limit of its own.
STAFF_SESSION_HOURS = env.int("STAFF_SESSION_HOURS", default=14)
STAFF_IDLE_MINUTES = env.int("STAFF_IDLE_MINUTES", default=120)
LOGIN_REDIRECT_URL = "/"
LOGIN_URL = "account_login"

# Rate limits and sessions survive without Redis: the database keeps both.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "django_cache",  # made by core's migrations
        # The default of 300 would let a stranger flush everybody's limits with a few hundred addresses.
        "OPTIONS": {"MAX_ENTRIES": 20_000},
    },
}

# --- web security -----------------------------------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not PAYDESK_LOCAL
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"  # a cart's address is a capability: it must not leak by Referer
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", default=False) else None
)
# Rate limits count by address: behind a proxy it is the last one in X-Forwarded-For, else everyone is one.
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if SECURE_PROXY_SSL_HEADER else 0
# On behind a proxy, which says what was https; without one TLS would have to end elsewhere anyway.
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=SECURE_PROXY_SSL_HEADER is not None)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=0 if PAYDESK_LOCAL else 31_536_000)
# A business's host may be its own domain: what is below it, or in a browser's own list, is the business's to decide.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
LANGUAGE_COOKIE_SECURE = not PAYDESK_LOCAL
LANGUAGE_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576  # bytes: no page of ours takes more; Stripe's events stay far below
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- static files -----------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "web" / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = DEBUG or PAYDESK_LOCAL
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG or PAYDESK_LOCAL
        else "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}

# How a customer reaches a business's host from outside: links in mails are made from it.
PUBLIC_ORIGIN = env.str("PUBLIC_ORIGIN", default="https://{host}")

# --- mail -------------------------------------------------------------------------------------------
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 10  # seconds; without it a mail server that hangs would hold its worker for ever
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="receipts@localhost")

# --- metrics (core/metrics.py) --------------------------------------------------------------------------
# A folder that the processes of one server share: granian's, or a prefork pool's. Without it each shows its own.
METRICS_DIR = env.str("METRICS_DIR", default="")
if METRICS_DIR:
    Path(METRICS_DIR).mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = METRICS_DIR  # where prometheus-client looks, at its first import
# Workers and beat show theirs at this port, to whoever is on their network; 0: nowhere.
METRICS_PORT = env.int("METRICS_PORT", default=0)
# Web answers /metrics to who brings this token ("Authorization: Bearer …"); without one, on a developer's machine only.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# What is read from the database for it: kept for so long, and given up after so long.
METRICS_CACHE_SECONDS = 5.0
METRICS_STATEMENT_MS = 2_000

# --- elsewhere, where somebody looks; both need the extra `telemetry`, which the image has -----------------
OTEL_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="")  # http://collector:4318 (core/tracing.py)
SENTRY_DSN = env.str("SENTRY_DSN", default="")  # core/reporting.py

# --- logs: one line a fact, JSON outside of development ------------------------------------------------
LOG_JSON = env.bool("LOG_JSON", default=not (DEBUG or PAYDESK_LOCAL))
LOGGING_CONFIG = "web.core.logs.configure"
LOGGING: dict[str, Any] = {"json": LOG_JSON, "level": env.str("LOG_LEVEL", default="INFO")}
