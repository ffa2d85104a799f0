"""The app's one setting, `TASTY_DJANGO`, with its defaults.

    TASTY_DJANGO = {"DATABASE": "default", "SCHEMA": "tasty_v1", "TABLES": "tasty"}

`DATABASE` is the alias of the Postgres database that the pipeline writes, `SCHEMA` the schema of the views that the
models read, `TABLES` the schema of the tables that sync requests and connections are written to. All may be left out.
Here belongs reading the setting, nothing else.
"""

import re
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_DEFAULTS = {"DATABASE": "default", "SCHEMA": "tasty_v1", "TABLES": "tasty"}
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def database() -> str:
    """Return the alias of the database that holds the tables."""
    return _setting("DATABASE")


def view(name: str) -> str:
    """Return a view's name with its schema, quoted as SQL wants it and as Django takes it for a table's name."""
    return f'"{_schema("SCHEMA")}"."{name}"'


def table(name: str) -> str:
    """Return a table's name with its schema, quoted as SQL wants it."""
    return f'"{_schema("TABLES")}"."{name}"'


def schemas() -> tuple[str, str]:
    """Return the names of the schemas of the views and of the tables."""
    return _schema("SCHEMA"), _schema("TABLES")


def _schema(key: str) -> str:
    value = _setting(key)
    if not _IDENTIFIER.fullmatch(value):
        raise ImproperlyConfigured(f"TASTY_DJANGO[{key!r}] is {value!r}, which is no name of a schema.")
    return value


def _setting(key: str) -> str:
    given: Any = getattr(settings, "TASTY_DJANGO", {})
    if not isinstance(given, dict) or (unknown := set(given) - set(_DEFAULTS)):
        named = ", ".join(map(repr, sorted(map(str, unknown)))) if isinstance(given, dict) else repr(given)
        raise ImproperlyConfigured(f"TASTY_DJANGO is a dictionary of {', '.join(_DEFAULTS)}; it has {named}.")
    value = given.get(key, _DEFAULTS[key])
    if not isinstance(value, str):
        raise ImproperlyConfigured(f"TASTY_DJANGO[{key!r}] is {value!r}; it must be text.")
    return value
