"""Settings for production, all from the environment; MONOLITH_DEVELOPMENT=1 is plain HTTP on one's own machine.

Two databases, each with a role of its own: `default` is the application's (users, sessions), `tasty` holds the
pipeline's tables, where the application's role is a member of tasty_app.
"""

import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

BASE_DIR = Path(__file__).parents[1]


def _required(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise ImproperlyConfigured(f"Set {name}; `make monolith` sets everything for your own machine.")
    return value


def _database(name: str) -> dict[str, Any]:
    """Return Django's description of the database behind a postgresql:// URL in the environment."""
    given = conninfo_to_dict(_required(name))
    words = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    known = {word: given.pop(key) for word, key in words.items() if key in given}
    return {"ENGINE": "django.db.backends.postgresql", **known, "OPTIONS": given} | {
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


DEVELOPMENT = os.environ.get("MONOLITH_DEVELOPMENT") == "1"
DEBUG = DEVELOPMENT
SECRET_KEY = _required("MONOLITH_SECRET_KEY")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"] if DEVELOPMENT else _required("MONOLITH_HOSTS").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "monolith",
    "tasty_django",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "monolith.csp.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tasty_django.middleware.CurrentUserMiddleware",  # the database shows each user his own rows only
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "monolith.urls"
WSGI_APPLICATION = "monolith.wsgi.application"
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
            ]
        },
    }
]

DATABASES = {"default": _database("MONOLITH_DATABASE_URL"), "tasty": _database("MONOLITH_TASTY_URL")}
TASTY_DJANGO = {"DATABASE": "tasty"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "tasty:portfolio"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# passwords and refresh tokens travel over HTTPS alone
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEVELOPMENT
SECURE_HSTS_SECONDS = 0 if DEVELOPMENT else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True
X_FRAME_OPTIONS = "DENY"
if os.environ.get("MONOLITH_BEHIND_PROXY") == "1":
    # only where a proxy stands in front that sets this header itself: a visitor could otherwise claim HTTPS
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LANGUAGE_CODE = "en-us"
TIME_ZONE = "America/New_York"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = Path(os.environ.get("MONOLITH_STATIC_ROOT") or BASE_DIR.parents[1] / "data" / "monolith" / "static")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEVELOPMENT
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
