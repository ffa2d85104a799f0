"""The model and the rows of the two ways through an ORM: Django, as an application keeps its own tables.

Here belongs what both share; they differ in how they write.
"""

import json
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import django
import fields
import harness
from django.conf import settings
from django.db import connection, models

TASK = harness.task()


def _configure() -> None:
    parts = urlsplit(TASK.database)
    host = parts.hostname or parse_qs(parts.query)["host"][0]
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username,
        "HOST": host,
        "PORT": parts.port,
    }
    settings.configure(DATABASES={"default": database}, USE_TZ=True)
    django.setup()


_configure()
_FIELDS: dict[str, type["models.Field[Any, Any]"]] = {
    "bigint": models.BigIntegerField,
    "text": models.TextField,
    "date": models.DateField,
    "timestamp": models.DateTimeField,
    "bool": models.BooleanField,
}


def _field(name: str, kind: str) -> "models.Field[Any, Any]":
    if name == "id":
        return models.BigIntegerField(primary_key=True)
    if kind == "decimal":
        return models.DecimalField(max_digits=fields.PRECISION, decimal_places=fields.SCALE, null=True)
    return _FIELDS[kind](null=True)


def _model() -> type[models.Model]:
    columns = {fields.column(name): _field(name, kind) for name, kind in fields.KINDS.items()}
    meta = type("Meta", (), {"app_label": "bench", "db_table": "transactions"})
    return type("Transaction", (models.Model,), {"__module__": __name__, "Meta": meta, **columns})


Transaction: Any = _model()
_PARSE: dict[str, Callable[[str], Any]] = {
    "decimal": Decimal,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
}
_NAMES = {name: (fields.column(name), _PARSE.get(kind)) for name, kind in fields.KINDS.items()}


def make_table() -> None:
    """Create the table if it is not there."""
    if Transaction._meta.db_table not in connection.introspection.table_names():
        with connection.schema_editor() as editor:
            editor.create_model(Transaction)


def pages() -> Iterator[list[dict[str, Any]]]:
    """The rows of each page in turn, as keywords of the model."""
    number, count = 0, 1
    while number < count:
        query = urlencode({**TASK.query, "page-offset": number})
        with urllib.request.urlopen(f"{TASK.api}{TASK.path}?{query}") as answer:  # noqa: S310 - the fake API
            page = json.load(answer)
        yield [dict(_values(row)) for row in page["data"]["items"]]
        number, count = number + 1, page["pagination"]["total-pages"]


def _values(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        column, parse = _NAMES[name]
        yield column, parse(value) if parse and value is not None else value
