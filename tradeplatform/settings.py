"""All settings, from environment variables with working defaults. docs/configuration.md lists them."""

import contextlib
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE

from tradeplatform.admin_look import look
from tradeplatform.common.logging import build_logging, configure_structlog
from tradeplatform.env import (
    DEFAULT_BROKER,
    MEMORY_BROKER,
    origin_of,
    read_cache,
    read_database,
    read_env,
    read_key_ring,
    read_payments,
)

BASE_DIR = Path(__file__).resolve().parent.parent
env = read_env(BASE_DIR / ".env")
VAR_DIR = Path(env.str("VAR_DIR", default=str(BASE_DIR / "var")))
with contextlib.suppress(OSError):
    # A check names a directory that cannot be made or written.
    (VAR_DIR / "static").mkdir(parents=True, exist_ok=True)

# --- What runs where -----------------------------------------------------------------------------------

DEMO_MODE = env.bool("DEMO_MODE", default=True)
DEBUG = False
SITE_NAME = "Tradeplatform"
BUILD_ID = env.str("BUILD_ID", default="")
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
SITE_URL = env.str("SITE_URL", default=f"http://localhost:{PORT}").rstrip("/")
SIMULATOR_PORT = env.int("SIMULATOR_PORT", default=PORT + 100)
SIMULATOR_STATE = VAR_DIR / "simulator.sqlite3"
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# --- Secrets. The defaults are for demo mode only: a system check refuses them elsewhere. ------------------

DEMO_SECRET_KEY = "demo-only-secret-key-not-for-production-0000000000"  # noqa: S105
DEMO_FIELD_KEY = "ZGVtby1vbmx5LWZpZWxkLWtleS1ub3QtZm9yLXByb2Q="
SECRET_KEY = env.str("SECRET_KEY", default=DEMO_SECRET_KEY)
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
FIELD_ENCRYPTION_KEYS = read_key_ring(env, default=DEMO_FIELD_KEY)
FIELD_ENCRYPTION_KEY = FIELD_ENCRYPTION_KEYS

# --- Application ---------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "tradeplatform",
    "billing",
    "brokers",
    "portfolios",
    "risk",
    "orders",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_htmx",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
]

MIDDLEWARE = [
    "tradeplatform.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "tradeplatform.middleware.StoredSessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tradeplatform.middleware.ContentPolicyMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "tradeplatform.middleware.SessionListMiddleware",
    "tradeplatform.middleware.SessionAgeMiddleware",
    "tradeplatform.middleware.PrivatePagesMiddleware",
    "tradeplatform.middleware.RefusalMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "tradeplatform.current_account.CurrentAccountMiddleware",
    "tradeplatform.middleware.TimeZoneMiddleware",
    "tradeplatform.middleware.LivePositionMiddleware",
]

ROOT_URLCONF = "tradeplatform.urls"
WSGI_APPLICATION = "tradeplatform.wsgi.application"
ASGI_APPLICATION = "tradeplatform.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "tradeplatform.context_processors.site",
            ],
        },
    }
]

# --- Storage -------------------------------------------------------------------------------------------

# ASGI gives every request its own thread: connections must not be kept there. asgi.py sets this to 0.
DATABASES = {
    "default": read_database(
        env,
        default=f"sqlite:///{VAR_DIR / 'tradeplatform.sqlite3'}",
        keep_seconds=env.int("DATABASE_KEEP_SECONDS", default=60),
    )
}
CACHES = {"default": read_cache(env)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
# Demo mode serves files from where they are, so that a start needs no collecting step.
WHITENOISE_USE_FINDERS = DEMO_MODE
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEMO_MODE
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}

# --- Queue ---------------------------------------------------------------------------------------------

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default=DEFAULT_BROKER)
EMBEDDED = CELERY_BROKER_URL.startswith(MEMORY_BROKER)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "orders.*": {"queue": "orders"},
    "portfolios.*": {"queue": "sync"},
    "brokers.*": {"queue": "sync"},
}
CELERY_TASK_SOFT_TIME_LIMIT = 120
CELERY_TASK_TIME_LIMIT = 180
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"polling_interval": 0.05}
    if EMBEDDED
    else {"socket_timeout": 5, "socket_connect_timeout": 2, "max_retries": 1}
)
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")

# --- People --------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "tradeplatform.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SIGNUPS_OPEN = env.bool("SIGNUPS_OPEN", default=True)
ACCOUNT_ADAPTER = "tradeplatform.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"{SITE_NAME}: "
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "http" if DEMO_MODE else "https"
MFA_ADAPTER = "tradeplatform.accounts.MFAAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = SITE_NAME
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = DEMO_MODE
USERSESSIONS_TRACK_ACTIVITY = True
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
LOGIN_REDIRECT_URL = "dashboard"
LOGIN_URL = "account_login"

SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_IDLE_SECONDS = 12 * 3600
STAFF_SESSION_AGE = 24 * 3600
STAFF_SESSION_IDLE_SECONDS = 30 * 60

# --- Mail: in demo mode into files, shown on a page of the site ---------------------------------------------

DEMO_MAIL_DIR = VAR_DIR / "mail"
EMAIL_FILE_PATH = str(DEMO_MAIL_DIR)
if DEMO_MODE and "EMAIL_URL" not in env:
    EMAIL_BACKEND = "tradeplatform.mail.DemoMailBackend"
else:
    vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="no-reply@localhost")
SERVER_EMAIL = DEFAULT_FROM_EMAIL

# --- Brokers -------------------------------------------------------------------------------------------

BROKER_ADAPTERS = {
    "alpaca": "brokers.adapters.alpaca.adapter.AlpacaAdapter",
    "paper": "brokers.adapters.paper.adapter.PaperAdapter",
}
_SIMULATOR = f"127.0.0.1:{SIMULATOR_PORT}/alpaca"


def _alpaca(name: str, *, simulated: str, real: str) -> str:
    """In demo mode the simulator stands in for the broker unless an address is given."""
    return env.str(f"ALPACA_{name}", default=simulated if DEMO_MODE else real)


ALPACA_CLIENT_ID = _alpaca("CLIENT_ID", simulated="demo-client", real="")
ALPACA_CLIENT_SECRET = _alpaca("CLIENT_SECRET", simulated="demo-client-secret", real="")
ALPACA_AUTHORIZE_URL = _alpaca(
    "AUTHORIZE_URL",
    simulated=f"http://{_SIMULATOR}/oauth/authorize",
    real="https://app.alpaca.markets/oauth/authorize",
)
ALPACA_TOKEN_URL = _alpaca(
    "TOKEN_URL", simulated=f"http://{_SIMULATOR}/oauth/token", real="https://api.alpaca.markets/oauth/token"
)
ALPACA_PAPER_URL = _alpaca(
    "PAPER_URL", simulated=f"http://{_SIMULATOR}/paper", real="https://paper-api.alpaca.markets"
)
ALPACA_LIVE_URL = _alpaca(
    "LIVE_URL", simulated=f"http://{_SIMULATOR}/live", real="https://api.alpaca.markets"
)
ALPACA_PAPER_STREAM_URL = _alpaca(
    "PAPER_STREAM_URL",
    simulated=f"ws://{_SIMULATOR}/paper/stream",
    real="wss://paper-api.alpaca.markets/stream",
)
ALPACA_LIVE_STREAM_URL = _alpaca(
    "LIVE_STREAM_URL", simulated=f"ws://{_SIMULATOR}/live/stream", real="wss://api.alpaca.markets/stream"
)
ALPACA_DATA_URL = _alpaca(
    "DATA_URL", simulated=f"http://{_SIMULATOR}/data", real="https://data.alpaca.markets"
)
ALPACA_DATA_STREAM_URL = _alpaca(
    "DATA_STREAM_URL",
    simulated=f"ws://{_SIMULATOR}/data/v2/iex",
    real="wss://stream.data.alpaca.markets/v2/iex",
)

# Where practice accounts get their prices until their owner links a broker that has some.
PRACTICE_DATA_BROKER = env.str("PRACTICE_DATA_BROKER", default="alpaca")
PRACTICE_DATA_KEY_ID = env.str("PRACTICE_DATA_KEY_ID", default="PKPRACTICEDATA000001" if DEMO_MODE else "")
PRACTICE_DATA_SECRET = env.str("PRACTICE_DATA_SECRET", default="practice-data-secret" if DEMO_MODE else "")
PRACTICE_DATA_LABEL = env.str("PRACTICE_DATA_LABEL", default="Simulated prices" if DEMO_MODE else "")

# --- Payments: without a key nobody is asked to pay, and an admin grants plans ----------------------------

STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRETS, STRIPE_API_URL, STRIPE_AUTOMATIC_TAX = read_payments(
    env, demo=DEMO_MODE, simulator_port=SIMULATOR_PORT
)

# --- API -----------------------------------------------------------------------------------------------

API_CALLS_PER_MINUTE = env.int("API_CALLS_PER_MINUTE", default=300)
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tradeplatform.common.api_auth.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tradeplatform.common.api_parsers.ExactJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "tradeplatform.common.pagination.DefaultCursorPagination",
    "DEFAULT_THROTTLE_CLASSES": ["tradeplatform.common.throttling.CallerThrottle"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tradeplatform.common.api_errors.problem_exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "NUM_PROXIES": ALLAUTH_TRUSTED_PROXY_COUNT,
}
SPECTACULAR_SETTINGS = {
    "TITLE": f"{SITE_NAME} API",
    "DESCRIPTION": (
        "Accounts, orders, positions and live events. Amounts, prices and quantities are decimal strings; "
        "times are ISO 8601 in UTC; errors are application/problem+json with a stable `code`."
    ),
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "OrderStatusEnum": "orders.enums.OrderStatus",
        "AccountStatusEnum": "brokers.api.serializers.ACCOUNT_STATUSES",
    },
}

UNFOLD = look(site_name=SITE_NAME, is_demo=DEMO_MODE)

# --- Language and time ---------------------------------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "tradeplatform.formats"

# --- Browser security ----------------------------------------------------------------------------------

# Health checks of a container ask their own machine by address.
ALLOWED_HOSTS = [*env.list("ALLOWED_HOSTS", default=["localhost", "[::1]"]), "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
CSRF_FAILURE_VIEW = "tradeplatform.views.errors.csrf_failure"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
if not DEMO_MODE:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", default=True)
    SECURE_SSL_REDIRECT = env.bool("SSL_REDIRECT", default=True)
    SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]
    if ALLAUTH_TRUSTED_PROXY_COUNT:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        # Starting to link a broker is a form whose answer leads to the broker's sign-in page.
        "form-action": [SELF, origin_of(ALPACA_AUTHORIZE_URL)],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}
# The admin's Alpine evaluates expressions in attributes; nothing but the admin gets this.
ADMIN_CONTENT_POLICY = {
    "script-src": [SELF, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "form-action": [SELF],
}
# The API's interactive documentation styles itself.
API_DOCS_CONTENT_POLICY = {"style-src": [SELF, UNSAFE_INLINE]}

# --- Limits of what a request may carry ------------------------------------------------------------------

DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500

# --- Events --------------------------------------------------------------------------------------------

EVENT_RETENTION_DAYS = env.int("EVENT_RETENTION_DAYS", default=7)
EVENT_POLL_SECONDS = 0.25
EVENT_HEARTBEAT_SECONDS = 15

# --- Logs ----------------------------------------------------------------------------------------------

LOGGING = build_logging(
    as_json=env.bool("LOG_JSON", default=not DEMO_MODE), level=env.str("LOG_LEVEL", default="INFO")
)
configure_structlog()
