"""The settings of the Django project that the tests use; `conftest.py` puts the session's database into it.

`default` holds Django's own tables, `tasty` is the application's login to the pipeline's: both are one database here.
"""

import os
from typing import Any
from urllib.parse import unquote, urlsplit


def database(url: str) -> dict[str, Any]:
    """Return Django's settings for a database's URL."""
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
    }


# set for programs that a test starts beside itself
_NONE = "postgresql://nobody@127.0.0.1:1/none"
DATABASES = {
    "default": database(os.environ.get("TASTY_TEST_SITE_DEFAULT", _NONE)),
    "tasty": database(os.environ.get("TASTY_TEST_SITE_TASTY", _NONE)) | {"CONN_MAX_AGE": None},
}
TASTY_DJANGO = {"DATABASE": "tasty"}

SECRET_KEY = "of the tests"
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
USE_TZ = True
TIME_ZONE = "America/New_York"
STATIC_URL = "static/"
ROOT_URLCONF = "site_urls"
LOGIN_URL = "login"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "tasty_django",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "tasty_django.middleware.CurrentUserMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
# quick, since nothing is protected by them here
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# the tests' own handlers stay
LOGGING_CONFIG = None
